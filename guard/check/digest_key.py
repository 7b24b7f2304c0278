"""The user's random key under which secrets are recognised without being kept."""

from __future__ import annotations

import os
from collections.abc import Mapping

from guard import paths
from guard.errors import GuardError

_LENGTH = 32


def load(environ: Mapping[str, str]) -> bytes:
    """The key, made on first use (mode 0600, in the state directory).

    Where it cannot be kept, it is a fresh one: digests then compare within one run only.
    """
    fresh = os.urandom(_LENGTH)
    try:
        directory = paths.private_directory(paths.routeguard_state(environ))
    except GuardError:
        return fresh
    path = os.path.join(directory, "digest-key")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        temporary = f"{path}.{os.getpid()}"
        if not os.path.lexists(path):
            fd = os.open(temporary, flags, 0o600)
            try:
                os.write(fd, fresh)
            finally:
                os.close(fd)
            try:
                # a link fails where another process was first; its key is the one then
                os.link(temporary, path)
            except FileExistsError:
                pass
            finally:
                os.unlink(temporary)
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            known = os.read(fd, _LENGTH + 1)
        finally:
            os.close(fd)
    except OSError:
        return fresh
    private = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return known if private and len(known) == _LENGTH else fresh
