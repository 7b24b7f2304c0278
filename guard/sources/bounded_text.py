"""Text of a file that somebody else may have put there: never waits, never reads without end."""

from __future__ import annotations

from guard.files import read as files
from guard.sources.records import Skipped

LIMIT = 1024 * 1024
"""Bytes. A startup file or dotenv file beyond this is not one that a person wrote."""


def read(path: str, limit: int = LIMIT) -> str | Skipped | None:
    """The text of the regular file at `path` (links are followed), None if there is none.

    Anything else comes back as Skipped: a directory, a FIFO or device (opening it could wait or
    act), more than `limit` bytes, no permission. Bytes that are not UTF-8 become U+FFFD.
    """
    if "\0" in path:
        return None  # a name with a NUL in it names no file
    try:
        data = files.read_bytes(path, limit)
    except files.TooLargeError:
        return Skipped(path, f"larger than {limit // 1024} KiB")
    except files.NotRegularError:
        return Skipped(path, "not a regular file")
    except files.UnreadableError as error:
        return Skipped(path, str(error))
    return None if data is None else data.decode("utf-8", "replace")
