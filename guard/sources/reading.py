"""Reading one file that a check looks at, without being held up or led astray.

Names, links and file types are whatever somebody put there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from guard.files.read import NotRegularError, TooLargeError, UnreadableError, read_bytes
from guard.sources import packed
from guard.sources.file import SourceFile, wide_encoding
from guard.sources.records import Skipped

LIMIT = 8 * 1024 * 1024
"""Bytes. A larger file is not checked."""

TOO_LARGE = f"larger than {LIMIT // (1024 * 1024)} MiB"

_TEXTS = (
    *(".json", ".jsonc", ".md", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"),
    *(".env", ".toml", ".yml", ".yaml", ".sh", ".bash", ".zsh", ".fish", ".py"),
)
"""Ends of the names of files that programs read as text, however they begin."""

LINE_LIMIT = 1024 * 1024
"""Bytes. A file with a longer line is not checked: no person wrote it, and it takes long."""

_HEAD = 8 * 1024
_BEGINS = 200
"""Bytes by which a script is told."""
_CONTROLS = bytes((*range(8), 11, *range(14, 27), *range(28, 32), 127))
"""What no text holds: not a tab, a line or page end, a backspace or an escape."""


class Entry(NamedTuple):
    """A file to check: `path` as it is shown, `absolute` where it lies, its size in bytes.

    With `blob`, its content is that object of the repository, not the file in the work tree.
    `other` is the path of the entry with the same content that comes before it, which it links to.
    """

    path: str
    absolute: str
    size: int = 0
    blob: str = ""
    other: str = ""


class Opaque(NamedTuple):
    """A file at `path` that is no text, with its bytes."""

    path: str
    data: bytes


IsText = Callable[[str, bytes], bool]
"""Whether the file at a path, by its first bytes, is read as text by what it is for, whatever it
holds."""


def never(_: str, __: bytes) -> bool:
    """Nothing is."""
    return False


def read(
    entry: Entry, *, digest_key: bytes = b"", is_text: IsText = never
) -> SourceFile | Opaque | Skipped | None:
    """The file at `entry`; None if it is gone, or binary and too large; Skipped if it cannot be
    checked.

    A regular file was seen there. Never waits (a FIFO is opened without), never follows a
    link, never reads more than LIMIT bytes. A file that changes meanwhile is read once more, and
    given up if it goes on changing.
    """
    data: bytes | _Large | str | None = None
    for _ in range(2):
        data = _read_once(entry.absolute, entry.path, is_text)
        if data != _CHANGED:
            break
    return _source(entry, data, digest_key, is_text)


def source(
    entry: Entry, data: bytes, digest_key: bytes, is_text: IsText = never
) -> SourceFile | Opaque | Skipped | None:
    """The file at `entry` with the content `data`, as `read` has it."""
    if len(data) > LIMIT:
        head = data[:_HEAD]
        large = None if _is_binary(head, entry.path, is_text) else _Large(head)
        return _source(entry, large, digest_key, is_text)
    return _source(entry, data, digest_key, is_text)


def _source(
    entry: Entry, data: bytes | _Large | str | None, digest_key: bytes, is_text: IsText
) -> SourceFile | Opaque | Skipped | None:
    if isinstance(data, str):
        return Skipped(entry.path, data, entry.absolute)
    if isinstance(data, _Large):
        return _not_read(entry, TOO_LARGE, data.head)
    if data is None:
        return None
    if _is_binary(data[:_HEAD], entry.path, is_text):
        return Opaque(entry.path, data)
    if _has_long_line(data):
        why = f"a line is longer than {LINE_LIMIT // 1024} KiB"
        return _not_read(entry, why, data)
    return SourceFile(
        entry.path, data, absolute=entry.absolute, digest_key=digest_key, other=entry.other
    )


def _not_read(entry: Entry, why: str, data: bytes) -> Skipped:
    return Skipped(entry.path, why, entry.absolute, has_content=True, head=data[:_BEGINS])


_CHANGED = "it changes while it is read"


class _Large(NamedTuple):
    """A text that is too large, by how it begins."""

    head: bytes


def _read_once(path: str, shown: str, is_text: IsText) -> bytes | _Large | str | None:
    """The content; or that it is a text too large; or why it cannot be read, in words; or None for
    a missing file, and for a binary one that is too large."""
    opened: list[os.stat_result] = []
    try:
        try:
            data = read_bytes(path, LIMIT, links=False, judge=opened.append, seen=True)
        except TooLargeError:
            head = read_bytes(path, _HEAD, links=False, cut=True)
            if head is None or _is_binary(head, shown, is_text):
                return None
            return _Large(head)
        if data is None:
            return None
        after = os.lstat(path)
    except NotRegularError:
        return kind(path)
    except UnreadableError as error:
        return str(error).lower()
    except OSError:
        return _CHANGED
    return data if _state(opened[0]) == _state(after) else _CHANGED


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _is_binary(head: bytes, path: str, is_text: IsText) -> bool:
    """Whether a file is no text: it is compressed, or there is a NUL in its head, unless its name
    says what reads it anyway, or everything else in it is text: one NUL must not hide a file."""
    name = path.lower()
    if name.endswith(_TEXTS):
        return False
    if not head.startswith(packed.BEGINS):
        if b"\0" not in head or wide_encoding(head):
            return False
        rest = head.translate(None, b"\0")
        if len(rest) * 2 >= len(head) and len(rest.translate(None, _CONTROLS)) == len(rest):
            return False
    return name.endswith(packed.NAMES) or not is_text(path, head)


def _has_long_line(data: bytes) -> bool:
    """Whether a line is longer than LINE_LIMIT: no line end in as many bytes, and one more."""
    start = 0
    while len(data) - start > LINE_LIMIT:
        end = data.rfind(b"\n", start, start + LINE_LIMIT + 1)
        if end < 0:
            return True
        start = end + 1
    return False


def reason(error: OSError) -> str:
    """Why a file cannot be read, in words."""
    return (error.strerror or str(error)).lower()


def kind(path: str) -> str:
    """What is no regular file at `path`, in words."""
    try:
        mode = os.lstat(path).st_mode
    except OSError as error:
        return reason(error)
    if stat.S_ISLNK(mode):
        return "a link"
    if stat.S_ISFIFO(mode):
        return "a FIFO, not a file"
    if stat.S_ISSOCK(mode):
        return "a socket, not a file"
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        return "a device, not a file"
    return "not a regular file"
