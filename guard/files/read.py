"""Reads a file that somebody else may have put there: never waits, never acts, never without end.

The order is the same for every reader. First `stat` (or `lstat`, where links do not count),
because opening a device can already do something. Then `open` with O_NONBLOCK, so that a FIFO put
there in the meantime does not hold us up, O_NOCTTY, so that no terminal becomes ours, O_CLOEXEC,
and O_NOFOLLOW where links do not count. Then `fstat`, because the file may have been exchanged.
At most one byte more than the limit is read, whatever size the file claims to have.

What is absent is None: no such file, or a part of the path that is no directory. Everything else
that yields no content raises UnreadableError.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 1 << 20
"""Bytes read unless a caller says otherwise: what people write by hand is smaller."""

_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_EXCHANGED = (errno.ELOOP, errno.ENXIO)  # a link that does not count, a socket
CHUNK = 1 << 20
"""Bytes read at once at most."""
_SMALLEST = 1 << 16
_NOT_ONLY_OURS = 0o177


class UnreadableError(Exception):
    """A file that is there and cannot be used. The text completes "PATH …", without content."""


class NotRegularError(UnreadableError):
    """A directory, device, socket or pipe; or a link, where links do not count."""


class TooLargeError(UnreadableError):
    """A file of more bytes than the caller wants."""


class MalformedError(UnreadableError):
    """Not of its format, or not accepted. `offset` is the character it was noticed at."""

    def __init__(self, why: str, offset: int = 0) -> None:
        super().__init__(why)
        self.offset = offset


class BeyondLimitsError(MalformedError):
    """Of its format, as far as it was read, and too long or too deep for routeguard alone: the
    program that it is for may well read it."""


def read_bytes(
    path: str,
    limit: int = MAX_BYTES,
    *,
    links: bool = True,
    cut: bool = False,
    judge: Callable[[os.stat_result], None] | None = None,
    seen: bool = False,
) -> bytes | None:
    """The content of the regular file at `path`, at most `limit` bytes; None if there is none.

    `links` False refuses a link in the last part of the path. With `cut`, of a larger file the
    first `limit` bytes. `judge` gets the open file's status before anything is read, and raises
    what it likes. `seen` says that the caller saw a regular file there: it is not looked at again
    before it is opened (only root could have put a device there since). Raises UnreadableError:
    NotRegularError, TooLargeError, or with the system's reason.
    """
    handle = opened(path, links=links, seen=seen)
    if handle < 0:
        return None
    try:
        found = regular(handle)
        if judge is not None:
            judge(found)
        if found.st_size > limit and not cut:
            raise too_large(limit)
        content = _up_to(handle, limit if cut else limit + 1, found.st_size + 1)
    except OSError as error:
        raise unreadable(error) from None
    finally:
        os.close(handle)
    if len(content) > limit:
        raise too_large(limit)
    return content


def opened(path: str, *, links: bool = True, seen: bool = False) -> int:
    """A descriptor of the regular file at `path`, -1 if there is none. Raises UnreadableError."""
    try:
        if not seen:
            mode = os.stat(path, follow_symlinks=links).st_mode
            if not stat.S_ISREG(mode):
                raise NotRegularError("is a link" if stat.S_ISLNK(mode) else _NOT_REGULAR)
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(path, flags if links else flags | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _ABSENT:
            return -1
        if seen and error.errno in _EXCHANGED:
            raise NotRegularError(_NOT_REGULAR) from None
        raise unreadable(error) from None
    except ValueError:
        raise UnreadableError("is not a path") from None


def regular(handle: int) -> os.stat_result:
    """The status of the open file. Raises NotRegularError for what is no regular file."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise NotRegularError(_NOT_REGULAR)
    return found


def unreadable(error: OSError) -> UnreadableError:
    """What is raised for `error`, with the system's reason."""
    return UnreadableError(error.strerror or "cannot be read")


def too_large(limit: int) -> TooLargeError:
    """What is raised for a file of more than `limit` bytes."""
    return TooLargeError(f"is larger than {limit} bytes")


def text_of(raw: bytes, limit: int) -> str:
    """`raw` as UTF-8, without a byte order mark. Raises UnreadableError, and for more bytes."""
    if len(raw) > limit:
        raise too_large(limit)
    try:
        # `utf-8-sig` is a module, which takes longer to load than most files to read
        return raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableError("is not UTF-8") from None


def read_own(path: str, limit: int = MAX_BYTES) -> bytes | None:
    """The content of a file that this user alone wrote, or None: for what can be made again.

    None for a link, a file of another owner, one that others can read or write, one that is
    larger than `limit`, and one that cannot be read.
    """
    try:
        return read_bytes(path, limit, links=False, judge=_only_ours)
    except UnreadableError:
        return None


def _only_ours(found: os.stat_result) -> None:
    if found.st_uid != os.geteuid() or found.st_mode & _NOT_ONLY_OURS:
        raise UnreadableError("is not this user's alone")


_NOT_REGULAR = "is not a regular file"


def _up_to(handle: int, limit: int, expected: int) -> bytes:
    """What can be read, `limit` bytes at most; `expected` is one more than there should be."""
    first = os.read(handle, min(limit, max(expected, _SMALLEST), CHUNK))
    if len(first) == expected - 1:
        return first  # as long as the file says it is, and more was asked for: the end
    parts, part = [first], first
    while part and (limit := limit - len(part)) > 0:
        part = os.read(handle, min(limit, max(expected, _SMALLEST), CHUNK))
        parts.append(part)
    return b"".join(parts)
