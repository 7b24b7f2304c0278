"""The random suffix of a user's provider ids: nobody else can name them. Hot-path module."""

from __future__ import annotations

import os

from guard import paths
from guard.errors import ExitCode, GuardError
from guard.files.read import read_own
from guard.files.write import write, write_new

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIX_LENGTH = 10
"""Characters of the suffix: 50 bits, and it never leaves the machine."""

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


def suffix(environ: Mapping[str, str], agent: str, *, create: bool) -> str:
    """The random suffix of this user's provider ids of `agent`; made on the first launch.

    Without `create` and before the first launch it is a row of `x`, for a plan that is only
    shown. Kept for good: a session remembers the provider id it was made with.
    """
    directory = os.path.join(paths.routeguard_state(environ), agent)
    path = os.path.join(directory, "provider-suffix")
    known = _read(path)
    if known:
        return known
    if not create:
        return "x" * SUFFIX_LENGTH
    paths.private_directory(paths.routeguard_state(environ))
    paths.private_directory(directory)
    fresh = random_suffix()
    try:
        if not write_new(path, f"{fresh}\n".encode()) and not _read(path):
            write(path, f"{fresh}\n".encode())  # what is there is damaged
    except OSError as error:
        raise unusable(path, error.strerror or "") from None
    known = _read(path)
    if not known:
        raise unusable(path, "does not keep what is written to it")
    return known


def random_suffix() -> str:
    """A new random suffix."""
    return "".join(_ALPHABET[b % len(_ALPHABET)] for b in os.urandom(SUFFIX_LENGTH))


def unusable(path: str, why: str) -> GuardError:
    """The error for a file of a launch's own, at `path`, that cannot be made."""
    return GuardError(
        "cannot prepare the agent's private directory",
        where=path,
        why=why,
        fix="make it writable for you, or remove it; it is made again at the next launch",
        rule="RG503",
        exit_code=ExitCode.CONFIG,
    )


def _read(path: str) -> str:
    raw = (read_own(path) or b"").decode("ascii", "replace").strip()
    return raw if len(raw) == SUFFIX_LENGTH and all(c in _ALPHABET for c in raw) else ""
