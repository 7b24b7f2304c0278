"""Text of a file that somebody else may have put there: never waits, never reads without end."""

from __future__ import annotations

import errno
import os
import stat

from guard.sources import Skipped

LIMIT = 1024 * 1024
"""Bytes. A startup file or dotenv file beyond this is not one that a person wrote."""

_ABSENT = {errno.ENOENT, errno.ENOTDIR}


def read(path: str, limit: int = LIMIT) -> str | Skipped | None:
    """The text of the regular file at `path` (links are followed), None if there is none.

    Anything else comes back as Skipped: a directory, a FIFO or device (opening it could wait or
    act), more than `limit` bytes, no permission. Bytes that are not UTF-8 become U+FFFD.
    """
    try:
        # asked before opening, because opening a device can already do something
        if not stat.S_ISREG(os.stat(path).st_mode):
            return Skipped(path, "not a regular file")
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        return None if error.errno in _ABSENT else Skipped(path, error.strerror or str(error))
    except ValueError:
        # a name with a NUL in it names no file
        return None
    try:
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return Skipped(path, "not a regular file")
            data = file.read(limit + 1)
    except OSError as error:
        return Skipped(path, error.strerror or str(error))
    if len(data) > limit:
        return Skipped(path, f"larger than {limit // 1024} KiB")
    return data.decode("utf-8", "replace")
