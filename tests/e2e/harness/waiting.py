"""Waiting for the thing itself, never for a time: a busy machine is slow, not wrong."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.launch.recorder import RecordingServer, Request

PATIENCE = 180.0
"""Seconds to wait for something that should happen."""

Seen = TypeVar("Seen")


def await_true(look: Callable[[], Seen], what: Callable[[], object] = str) -> Seen:
    """What `look` returns, once that is true.

    Raises AssertionError with what `what` returns then if it never is.
    """
    until = time.monotonic() + PATIENCE
    while not (seen := look()):
        assert time.monotonic() < until, what()
        time.sleep(0.05)
    return seen


@contextlib.contextmanager
def answers_once(
    look: Callable[[], object], server: RecordingServer, part: bytes = b""
) -> Iterator[None]:
    """While this holds, requests with `part` in them get no answer from `server` until `look` is
    true: an agent that is answered may end, and what it started in passing with it."""

    def wait(request: Request) -> None:
        if part in request.raw:
            await_true(look)

    server.watchers.append(wait)
    try:
        yield
    finally:
        server.watchers.remove(wait)
