"""The digest of a file or of a folder that somebody else may have put there, read as by
`guard.files.read`."""

from __future__ import annotations

import os
import stat

from guard.files.read import (
    CHUNK,
    TooLargeError,
    UnreadableError,
    opened,
    read_bytes,
    regular,
    too_large,
    unreadable,
)

MAX_FOLDER_FILES = 20_000
MAX_FOLDER_BYTES = 256 << 20


def digest(path: str, limit: int) -> str:
    """The SHA-256 of the regular file at `path` in hexadecimal; "" if there is none.

    Read in pieces, `limit` bytes at most. Raises UnreadableError as `read_bytes` does.
    """
    import hashlib

    handle = opened(path)
    if handle < 0:
        return ""
    total = hashlib.sha256()
    size = 0
    try:
        regular(handle)
        while part := os.read(handle, CHUNK):
            size += len(part)
            if size > limit:
                raise too_large(limit)
            total.update(part)
    except OSError as error:
        raise unreadable(error) from None
    finally:
        os.close(handle)
    return total.hexdigest()


def digest_folder(path: str) -> str:
    """The SHA-256 over everything below the folder `path`: names, kinds, links' targets, contents.

    Every entry counts, hidden ones as well; times and owners do not. Raises UnreadableError, also
    for more than MAX_FOLDER_FILES entries or MAX_FOLDER_BYTES bytes, and for what is neither a
    folder, a file nor a link.
    """
    import hashlib

    total = hashlib.sha256()
    count, left = 0, MAX_FOLDER_BYTES
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(os.path.join(path, folder)) as entries:
                names = sorted(entry.name for entry in entries)
        except (OSError, ValueError) as error:
            raise UnreadableError(getattr(error, "strerror", "") or "cannot be read") from None
        for name in names:
            count += 1
            if count > MAX_FOLDER_FILES:
                raise TooLargeError(f"holds more than {MAX_FOLDER_FILES} files")
            inside = f"{folder}/{name}" if folder else name
            full = os.path.join(path, inside)
            try:
                mode = os.lstat(full).st_mode
                target = os.readlink(full) if stat.S_ISLNK(mode) else ""
            except OSError as error:
                raise unreadable(error) from None
            if stat.S_ISDIR(mode):
                kind, content = "folder", ""
                pending.append(inside)
            elif target:
                kind, content = "link", target
            else:
                raw = read_bytes(full, left, links=False) or b""
                left -= len(raw)
                kind, content = "file", hashlib.sha256(raw).hexdigest()
            # NUL is in no name: no two trees yield the same text
            total.update(os.fsencode(f"{kind}\0{inside}\0{content}\0"))
    return total.hexdigest()
