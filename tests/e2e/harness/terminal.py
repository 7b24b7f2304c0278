"""A real terminal for an agent: tmux."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from typing import TYPE_CHECKING

import psutil
from harness.waiting import PATIENCE, await_true

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextlib.contextmanager
def screen(
    tmux: str, socket: Path, argv: list[str], environ: dict[str, str], cwd: str = ""
) -> Iterator[Callable[..., str]]:
    """A tmux session of 101 columns and 31 rows that runs `argv`; yields its command runner."""

    def run(*words: str) -> str:
        done = subprocess.run(
            [tmux, "-S", socket, *words], env=environ, capture_output=True, text=True, check=True
        )
        return done.stdout

    size = ("-x", "101", "-y", "31")
    place = ("-c", cwd or environ["HOME"])
    run("-f", os.devnull, "new-session", "-d", *size, *place, shlex.join(argv))
    run("set-option", "-g", "status", "off")
    try:
        yield run
    finally:
        # none of its own may still write into the home, or be asked for by the next test
        with contextlib.suppress(subprocess.CalledProcessError, psutil.NoSuchProcess):
            pids = run("list-panes", "-a", "-F", "#{pane_pid}").split()
            shown = [psutil.Process(int(pid)) for pid in pids]
            run("kill-server")
            psutil.wait_procs(shown, PATIENCE)


def await_words(
    run: Callable[..., str], words: str, look: Callable[[str], None] = lambda _: None
) -> str:
    """What the session shows once it shows `words`. Raises AssertionError if it does not.

    `look` is given what it shows until then.
    """

    def shown() -> str:
        seen = run("capture-pane", "-p")
        if words in seen:
            return seen
        look(seen)
        return ""

    return await_true(shown, lambda: f"{words!r} did not appear:\n{run('capture-pane', '-p')}")


STILL = 2.0
"""Seconds after which a screen that stays as it is has taken no notice of a key."""


def press_until(run: Callable[..., str], key: str, words: str) -> str:
    """Press `key`, and again whenever the session stays as it is, until it shows `words`.

    A dialog that has just appeared may drop a key: seen of Codex 0.171.0 on a busy machine, whose
    question of trust stood for 180 s with Enter sent once. So this is for a way on which the key
    pressed once more does no harm. Returns what is shown; raises AssertionError as `await_words`.
    """
    run("send-keys", key)
    before, since = "", time.monotonic()

    def press_again(seen: str) -> None:
        nonlocal before, since
        if seen != before:
            before, since = seen, time.monotonic()
        elif time.monotonic() - since >= STILL:
            run("send-keys", key)
            since = time.monotonic()

    return await_words(run, words, press_again)


def paste(run: Callable[..., str], words: str) -> None:
    """Give the program `words` as one paste, and wait until it shows them.

    Typed at once they are a paste to some programs, and Enter behind them a new line.
    """
    run("set-buffer", words)
    run("paste-buffer", "-p")
    await_words(run, words)
