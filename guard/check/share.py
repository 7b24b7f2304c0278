"""A part of a check that a process of its own does, on another processor.

Forked, so that it has all that was prepared: detectors, the policy, Hyperscan's database. Whatever
goes wrong there (no process to be had, killed for its memory, an exception) costs time, not
findings: the part is then done here, where an exception is heard.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

FROM = 24_000_000
"""Bytes from which a process more is worth it: one takes about 20 ms and 30 MB."""

MOST = 4
"""Processes. More only wait for the same disk."""


def count(size: int) -> int:
    """In how many parts files of `size` bytes together are checked, this process's own included."""
    if size < FROM or sys.platform != "linux":
        # on macOS a fork without exec is not safe (Python's documentation of os.fork)
        return 1
    return min(len(os.sched_getaffinity(0)), MOST, size * 2 // FROM)


class Share(Generic[T]):
    """One part: begun when it is made, `outcome()` waits for it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._pid = 0
        try:
            self._answer, answering = os.pipe()
        except OSError:
            return
        asking = os.getpid()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self._answer)
            os.close(answering)
            return
        if self._pid == 0:
            _answer(work, answering, asking)
        os.close(answering)

    def outcome(self) -> T:
        """What came out. Raises what the work raises."""
        if not self._pid:
            return self._work()
        with open(self._answer, "rb") as answer:
            said = answer.read()
        pid, self._pid = self._pid, 0
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            status = 1  # SIGCHLD is ignored: how it ended is not known
        if status:
            return self._work()
        import pickle

        outcome: T = pickle.loads(said)  # noqa: S301 - our own child's
        return outcome

    def end(self) -> None:
        """Stop the process if it is still needed by nobody."""
        if self._pid:
            import signal

            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            os.close(self._answer)
            self._pid = 0


def leave_if_alone(_: str = "") -> None:
    """End this process if the one that asked for its part is gone: nobody reads the answer."""
    if _asking and os.getppid() != _asking:
        raise SystemExit


_asking = 0
"""The process that a part is done for, in the one that does it; 0 in any other."""


def _answer(work: Callable[[], T], to: int, asking: int) -> None:
    """The whole life of the other process: nothing of this program may run behind it."""
    global _asking
    _asking = asking
    status = 1
    try:
        import pickle  # here: few checks have more than one part

        with open(to, "wb") as answer:
            pickle.dump(work(), answer)
        status = 0
    except BaseException:  # noqa: S110 - the part is done again, and heard, where it was asked for
        pass
    finally:
        os._exit(status)
