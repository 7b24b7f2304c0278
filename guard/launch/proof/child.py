"""Runs one program to its end, or to ours: bounded in time, and nothing it started stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

_LOOK = 0.1
_GRACE = 2.0
"""Seconds between asking a process group to end and ending it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    `status` is its exit status (128 + N for signal N, as a shell has it); `timed_out` says that
    it was ended because its time was up, `cut_short` that it was because that was enough.
    `seconds` is wall clock.
    """

    status: int
    out: bytes
    err: bytes
    seconds: float
    timed_out: bool
    cut_short: bool = False


def run(
    argv: Sequence[str | bytes],
    *,
    environ: Mapping[str, str],
    cwd: str,
    timeout: float,
    stdin: bytes = b"",
    started: Callable[[int], None] | None = None,
    enough: Callable[[], bool] | None = None,
) -> Ended:
    """Run `argv` in a session of its own, reading `stdin`, for `timeout` seconds at most.

    `started` is told the process id; `enough` is asked now and then whether we may end it.
    Whatever is left of its process group afterwards is ended: also when we are interrupted. Raises
    OSError if the program cannot be started.
    """
    begun = time.monotonic()
    timed_out = cut_short = False
    # files, not pipes: a grandchild that keeps a pipe open would keep us waiting
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        tempfile.TemporaryFile() as source,
    ):
        source.write(stdin)
        source.seek(0)
        process: subprocess.Popen[bytes] | None = None
        try:
            with _signals_held():
                process = subprocess.Popen(
                    argv,
                    env=environ,
                    cwd=cwd,
                    stdin=source,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            if started is not None:
                started(process.pid)
            if enough is None:
                process.wait(timeout)
            else:
                cut_short = not _wait_until(process, begun + timeout, enough)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            if process is not None:
                end_group(process)
        assert process is not None, "what ended it has left this function"
        out.seek(0)
        err.seek(0)
        return Ended(
            status=process.returncode if process.returncode >= 0 else 128 - process.returncode,
            out=out.read(),
            err=err.read(),
            seconds=time.monotonic() - begun,
            timed_out=timed_out,
            cut_short=cut_short,
        )


def _wait_until(process: subprocess.Popen[bytes], end: float, enough: Callable[[], bool]) -> bool:
    """Wait for `process`, or until it is `enough`; whether it ended by itself.

    Raises TimeoutExpired at `end`.
    """
    while not enough():
        try:
            process.wait(_LOOK)
            return True
        except subprocess.TimeoutExpired:
            if time.monotonic() > end:
                raise
    return False


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Delay our signal handlers: a child that runs already, but is not registered yet,
    would stay behind if one of them raised. In a thread none does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handlers = {
        number: handler
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
        if callable(handler := signal.getsignal(number))
    }
    for number in handlers:
        signal.signal(number, lambda *call: came.append(call))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for each, frame in came:
            handlers[signal.Signals(each)](each, frame)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the process group that `process` leads, and reap `process`."""
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            pass
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        # gone already (macOS says EPERM of a group of zombies)
        pass
