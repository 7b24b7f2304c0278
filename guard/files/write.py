"""Writes a file whole or not at all: another process sees the old content or the new one.

The new content goes into a file of its own in the same directory (O_EXCL, O_NOFOLLOW, mode 0600
until it is complete), which then takes the name. Every failure raises OSError and leaves what was
there, and no other file behind. A link at the name is replaced, not followed: a caller that wants
the file behind it passes `os.path.realpath`.
"""

from __future__ import annotations

import errno
import os

_PREFIX, _SUFFIX = ".routeguard-", ".tmp"
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


def write(path: str, content: bytes, mode: int | None = 0o600, *, sync: bool = False) -> None:
    """Put `content` at `path`, in place of what is there.

    `mode` is set whatever the umask is; with None the umask decides, as for a file that an editor
    makes. `sync` waits until the content is on the disk: for what cannot be made again.
    """
    temporary = _temporary(path, content, mode, sync)
    try:
        os.replace(temporary, path)
    except OSError:
        remove(temporary)
        raise


def write_new(path: str, content: bytes, mode: int | None = 0o600, *, sync: bool = False) -> bool:
    """Put `content` at `path` unless something is there; whether this call did it."""
    temporary = _temporary(path, content, mode, sync)
    try:
        # unlike a rename, never onto a file that has appeared in the meantime
        os.link(temporary, path)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    finally:
        remove(temporary)
    # a file system without hard links: nothing is replaced here either
    try:
        _create(path, content, mode, sync)
    except FileExistsError:
        return False
    return True


def obstacle(path: str, *, in_place: bool = False) -> str:
    """Why nothing can be put at `path`, in the system's words; "" where no reason shows.

    Writes nothing. `in_place` is for what is opened and overwritten, and not replaced by `write`.
    """
    place = os.path.realpath(path) if in_place else path
    directory = os.path.dirname(place) or "."
    if in_place and os.path.isdir(place):
        code = errno.EISDIR
    elif not os.path.lexists(directory):
        code = errno.ENOENT
    elif not os.path.isdir(directory):
        code = errno.ENOTDIR
    elif in_place and os.path.lexists(place):
        code = 0 if os.access(place, os.W_OK) else errno.EACCES
    else:
        code = 0 if os.access(directory, os.W_OK | os.X_OK) else errno.EACCES
    return os.strerror(code).lower() if code else ""


def sweep(directory: str) -> None:
    """Remove what a `write` left in `directory` that was killed; the caller lets no other run."""
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
            remove(os.path.join(directory, name))


def _temporary(path: str, content: bytes, mode: int | None, sync: bool) -> str:
    # not made from the last part of `path`, which may be as long as a name can be
    name = f"{_PREFIX}{os.getpid()}-{os.urandom(4).hex()}{_SUFFIX}"
    temporary = os.path.join(os.path.dirname(path), name)
    _create(temporary, content, mode, sync)
    return temporary


def _create(path: str, content: bytes, mode: int | None, sync: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o666 if mode is None else 0o600)
    try:
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(handle, left) :]
            if mode is not None:
                os.fchmod(handle, mode)
            if sync:
                os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException:
        remove(path)
        raise


def remove(path: str) -> None:
    """Remove the file at `path`, if that is possible."""
    try:
        os.unlink(path)
    except OSError:
        pass
