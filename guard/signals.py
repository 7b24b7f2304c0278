"""What a signal that asks for the end does to a command."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

from guard.errors import ExitCode

INTERRUPTED = 130


@contextlib.contextmanager
def ended_with_us() -> Iterator[None]:
    """While it holds, a signal that ends us is an exception, so children and directories go too.

    A signal that is ignored stays ignored: `nohup` means it.
    """

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Ending:
    """Waits, and ends on a signal: 130 for INT, 0 for TERM. A context that restores handlers.

    A signal that is ignored stays ignored: `nohup`, or a shell's `&`, means it.
    """

    def __init__(self) -> None:
        self._status: int | None = None
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Ending:
        self._reads, self._writes = os.pipe()
        for end in (self._reads, self._writes):
            os.set_blocking(end, False)
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._old[number] = signal.signal(number, self._note)
        self._wakeup = signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._old.items():
            signal.signal(number, handler)
        os.close(self._reads)
        os.close(self._writes)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._status = INTERRUPTED if number == signal.SIGINT else ExitCode.OK

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait up to `seconds` (None: for ever); the exit status once a signal came, else None."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._status is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            if select.select([self._reads], [], [], left)[0]:
                os.read(self._reads, 64)
        return self._status
