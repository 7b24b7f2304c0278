"""Agents that a command of `exec` starts with no shim in front: `nice AGENT`, `sh -c "AGENT …"`.

Not on the hot path: only a command comes here that has the name of an agent among its words.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from guard.agents.runners import run_by_package_runner
from guard.catalog.programs import CONTAINERS
from guard.catalog.starters import APART, ELSEWHERE
from guard.errors import GuardError, either
from guard.launch.resolve import is_shim

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from guard.sources.positions.shell_calls import Call
    from guard.sources.shell_commands import Word

_MAX_LINE = 1000
"""Characters of a command that a message repeats."""


def require_none(words: Sequence[str], names: Collection[str], shims: str) -> None:
    """Raise GuardError (RG502) if the command `words` starts one of the agents called `names`
    where no shim of the directory `shims` would be met: by a path, by a package runner, or with no
    such shim.

    What a container or another machine runs is not looked at, nor what a script starts.
    """
    from guard.sources.positions.shell_calls import read_words
    from guard.sources.positions.text import Text
    from guard.sources.shell_commands import UnparsedError, Word

    made = [Word(Text.of(word), 0, len(word)) for word in words]
    try:
        calls = read_words(made, elsewhere=ELSEWHERE | CONTAINERS | APART).calls
    except UnparsedError:
        return
    for call in calls:
        if call.package:
            continue
        typed = call.words[0].shown
        package = run_by_package_runner([word.shown for word in call.words])
        if package:
            raise fetching(typed, package)
        name = call.program
        by_path = "/" in typed
        if name not in names or (by_path and os.path.isdir(typed)):
            continue
        if by_path or not is_shim(os.path.join(shims, name)):
            raise _refusal(words, typed, _index(made, call), by_path)


def fetching(runner: str, package: str) -> GuardError:
    """The refusal (RG502) where the package runner `runner` would start the agent `package`."""
    return GuardError(
        f"{runner} would fetch and start {package} unguarded",
        where="command line",
        why="a program that was just fetched cannot be planned",
        fix="install the agent, then start it by its name",
        rule="RG502",
    )


def _index(made: Sequence[Word], call: Call) -> int:
    """Where in the command the program of `call` stands, -1 if within one of its words."""
    return next((at for at, word in enumerate(made) if word is call.words[0]), -1)


def _refusal(words: Sequence[str], typed: str, at: int, by_path: bool) -> GuardError:
    ways = []
    if not by_path:
        ways.append("routeguard shim install")
    if at > 0:
        line = shlex.join([*words[:at], "routeguard", "exec", "--", *words[at:]])
        fits = line.isprintable() and len(line) <= _MAX_LINE
        ways.append(
            line if fits else f"the same, with this in front of {typed}:\nrouteguard exec --"
        )
    elif by_path:
        ways.append("name the agent without a path, with its shim there:\nrouteguard shim install")
    return GuardError(
        f"{words[0]} was not started: it would start {typed} unguarded",
        where="command line",
        why="a path leads past its shim" if by_path else "there is no shim of it",
        fix=either(*ways),
        rule="RG502",
    )
