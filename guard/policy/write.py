"""Writes a policy file: in one step, and never over one that is there without keeping it."""

from __future__ import annotations

import errno
import os

from guard.errors import PolicyError
from guard.files.write import write, write_new


def write_policy(path: str, text: str, mode: int, force: bool) -> str:
    """Write `text` to `path` in one step; returns where an existing file was kept, or "".

    Follows a link to the file it stands for. Raises PolicyError if the file exists and `force`
    is not set, or if it cannot be written.
    """
    if os.path.lexists(path) and not force:
        raise PolicyError(
            "there is a policy already",
            where=path,
            why="it is not overwritten",
            fix="edit it; or --force, which keeps the old one beside it; or --dry-run",
            rule="",
        )
    target = os.path.realpath(path)
    content = text.encode()
    try:
        if not force:
            if not write_new(target, content, mode, sync=True):
                raise FileExistsError(errno.EEXIST, "another program has just created it")
            return ""
        kept = _keep(target)
        write(target, content, mode, sync=True)
    except OSError as error:
        raise PolicyError(
            "cannot write the policy",
            where=path,
            why=error.strerror or str(error),
            fix="make its directory writable",
            rule="",
        ) from None
    return kept


def _keep(target: str) -> str:
    """Another name for the existing `target`: the first free of .bak, .bak2, .bak3 …"""
    if not os.path.lexists(target):
        return ""
    number = 1
    while True:
        kept = f"{target}.bak{number if number > 1 else ''}"
        try:
            os.link(target, kept)
        except FileExistsError:
            number += 1
            continue
        return kept
