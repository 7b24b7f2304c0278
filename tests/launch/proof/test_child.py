"""A child ends when it ends or when its time is up, and takes its own children with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import psutil
import pytest

from guard.launch.proof import child

ENVIRON = {"PATH": os.defpath}


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-c", code]


def gone(pid: int) -> bool:
    """Whether `pid` ends within a minute (a killed process takes a moment to be dead)."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            # a zombie that nobody has reaped yet counts as dead
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def test_output_status_and_input(tmp_path: Path) -> None:
    code = "import sys; print(sys.stdin.read()); print('e', file=sys.stderr); sys.exit(7)"
    ended = child.run(
        python(code), environ=ENVIRON, cwd=str(tmp_path), timeout=30, stdin=b"typed\n"
    )
    assert (ended.status, ended.out, ended.err) == (7, b"typed\n\n", b"e\n")
    assert not ended.timed_out


def test_input_is_empty_unless_given(tmp_path: Path) -> None:
    code = "import sys; print(repr(sys.stdin.read()))"
    ended = child.run(python(code), environ=ENVIRON, cwd=str(tmp_path), timeout=30)
    assert ended.out == b"''\n"


def test_a_signal_reads_as_in_a_shell(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    ended = child.run(python(code), environ=ENVIRON, cwd=str(tmp_path), timeout=30)
    assert ended.status == 137


STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if (pid := os.fork()) == 0:
    time.sleep(600)
print(pid, flush=True)
%s
"""


def test_time_up_ends_the_whole_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_GRACE", 0.1)
    # the time is up as soon as both of them run
    up = tmp_path / "up"
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 600 * up.exists())
    monkeypatch.setattr(child, "time", clock)
    code = STUBBORN % "open('up', 'w').close(); time.sleep(600)"
    ended = child.run(
        python(code), environ=ENVIRON, cwd=str(tmp_path), timeout=600, enough=lambda: False
    )
    assert ended.timed_out
    assert ended.status == 137
    assert gone(int(ended.out))


def test_what_outlives_its_parent_is_ended(tmp_path: Path) -> None:
    ended = child.run(
        python(STUBBORN % "sys.exit(0)"), environ=ENVIRON, cwd=str(tmp_path), timeout=30
    )
    assert (ended.status, ended.timed_out) == (0, False)
    assert gone(int(ended.out))


def test_an_interrupt_ends_the_child_and_goes_on(tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupt(pid: int) -> None:
        pids.append(pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        child.run(
            python("import time; time.sleep(600)"),
            environ=ENVIRON,
            cwd=str(tmp_path),
            timeout=30,
            started=interrupt,
        )
    assert gone(pids[0])


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        child.run(["/nowhere/agent"], environ=ENVIRON, cwd=str(tmp_path), timeout=30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_child_starts_leaves_no_child(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It already runs, and `Popen` has not returned yet: under load that takes a while."""
    started: list[int] = []

    class Slow(subprocess.Popen[bytes]):
        def __init__(self, *words: Any, **options: Any) -> None:
            super().__init__(*words, **options)
            started.append(self.pid)
            os.kill(os.getpid(), number)
            time.sleep(0)

    def end(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    monkeypatch.setattr(child.subprocess, "Popen", Slow)
    before = signal.signal(number, end)
    try:
        with pytest.raises(SystemExit) as raised:
            child.run(
                python("import time; time.sleep(60)"),
                environ=ENVIRON, cwd=str(tmp_path), timeout=60,
            )  # fmt: skip
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)
    assert raised.value.code == 128 + number
    assert gone(started[0])
