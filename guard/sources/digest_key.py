"""The user's random key under which secrets are recognised without being kept."""

from __future__ import annotations

import os
from collections.abc import Mapping

from guard import paths
from guard.errors import GuardError
from guard.files.read import read_own
from guard.files.write import write_new

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
        if not os.path.lexists(path):
            # where another process was first, its key is the one
            write_new(path, fresh)
    except OSError:
        return fresh
    known = read_own(path)
    return known if known is not None and len(known) == _LENGTH else fresh
