"""A lock between processes of one user: flock(2), which ends with its process however that ends."""

from __future__ import annotations

import os
import time

_PAUSE = 0.01


class Lock:
    """A lock that this process alone has; the end of its `with` block lets the next one in."""

    __slots__ = ("_handle",)

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def lock(path: str, seconds: float, *, directory: bool = False) -> Lock:
    """The lock on `path`, once no other process has it.

    `path` is a file, made (mode 0600) if it is missing, or with `directory` an existing directory,
    in which nothing is left behind. A link is not followed. Raises TimeoutError if another process
    has held it for `seconds`, OSError if it cannot be opened or locked.
    """
    import fcntl

    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    if directory:
        handle = os.open(path, flags | os.O_RDONLY | os.O_DIRECTORY)
    else:
        handle = os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return Lock(handle)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise TimeoutError(f"{path} has been held for {seconds:g} s") from None
                time.sleep(_PAUSE)
    except BaseException:
        os.close(handle)
        raise
