"""Writes a policy file: in one step, and never over one that is there without keeping it."""

from __future__ import annotations

import os

from guard.errors import PolicyError


def write_policy(path: str, text: str, mode: int, force: bool) -> str:
    """Write `text` to `path` in one step; returns where an existing file was kept, or "".

    Follows a link to the file it stands for. Raises PolicyError if the file exists and `force`
    is not set, or if it cannot be written.
    """
    if os.path.lexists(path) and not force:
        raise PolicyError(
            "there is a policy already",
            where=path,
            why="it is yours, so it stays",
            fix="edit it; or --force, which keeps the old one beside it; or --dry-run",
            rule="",
        )
    target = os.path.realpath(path)
    temporary = f"{target}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, mode)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(fd)
            kept = _keep(target) if force else ""
            if force:
                os.replace(temporary, target)
            else:
                # link, unlike rename, never replaces a file that appeared in the meantime
                os.link(temporary, target)
        finally:
            if os.path.lexists(temporary):
                os.unlink(temporary)
    except OSError as error:
        raise PolicyError(
            "cannot write the policy",
            where=path,
            why=error.strerror or str(error),
            fix="make its directory writable for you",
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
