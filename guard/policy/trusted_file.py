"""The content of a policy file: whose it may be, who may write it, how large it may be."""

from __future__ import annotations

import os
import shlex
import stat
from functools import partial
from typing import Final

from guard.errors import PolicyError
from guard.files.read import NotRegularError, TooLargeError, UnreadableError, read_bytes
from guard.paths import SYSTEM_POLICY
from guard.policy.authority import ROOT, changed_by_others, give_to_root

MAX_BYTES: Final = 1024 * 1024
"""A policy file is a page of text; this bounds what a repository can make us read."""


def content(path: str, *, judged: bool, foreign: bool) -> bytes | None:
    """What the file at `path` holds, None if there is none. `judged` tells that its owner and mode
    count, `foreign` that it lies among somebody else's.

    Raises PolicyError for one that cannot be read or trusted.
    """
    try:
        data = read_bytes(path, MAX_BYTES, judge=partial(_trusted, path) if judged else None)
    except TooLargeError:
        raise PolicyError(
            "a policy file is too big",
            where=path,
            why=f"it has more than {MAX_BYTES} bytes",
            fix="remove what is not policy; a policy is about a page of text",
        ) from None
    except NotRegularError:
        raise PolicyError(
            "a policy is not a regular file",
            where=path,
            why="a directory, device, socket or pipe cannot hold a policy",
            fix="remove it, or put the policy there",
        ) from None
    except UnreadableError as error:
        if foreign and not os.path.lexists(path):
            # a directory above that this user may not look into holds nothing of theirs
            return None
        raise _unreadable(path, str(error)) from None
    if data is None and os.path.lexists(path):
        raise _unreadable(path, "it is a dangling link")
    return data


def start(path: str) -> bytes:
    """The first MAX_BYTES of a regular file, b"" for anything else."""
    try:
        return read_bytes(path, MAX_BYTES, cut=True) or b""
    except UnreadableError:
        return b""


def _trusted(path: str, found: os.stat_result) -> None:
    if path == SYSTEM_POLICY:
        _of_root(path)
    if found.st_uid not in (0, os.geteuid()):
        raise PolicyError(
            "a policy file belongs to another user",
            where=path,
            why=f"its owner, user id {found.st_uid}, could change where calls go",
            fix=f"read it, then make it yours:\nsudo chown $(id -u) {shlex.quote(path)}",
        )
    if found.st_mode & 0o022:
        raise PolicyError(
            "others can write a policy file",
            where=path,
            why=f"its mode is {stat.S_IMODE(found.st_mode):04o}",
            fix=f"read it, then:\nchmod go-w {shlex.quote(path)}",
        )


def _of_root(path: str) -> None:
    """Raise PolicyError where others than root could change the system policy at `path`."""
    place, why = changed_by_others(path, ROOT)
    if place:
        raise PolicyError(
            "others than root could change the system policy",
            where=path,
            why=f"{why}; it outranks what every user says",
            fix=f"read it, then:\n{give_to_root(place)}",
        )


def _unreadable(path: str, why: str) -> PolicyError:
    return PolicyError(
        "cannot read a policy file",
        where=path,
        why=why,
        fix="make it readable, or remove it",
    )
