"""Keeps a compiled policy where `guard.policy.cache` finds it: the directory, its entries, and when
what was read may be kept at all."""

from __future__ import annotations

import os
import time

from guard import paths
from guard.errors import GuardError
from guard.files.write import remove, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_ENTRIES = 128
_SECOND_NS = 1_000_000_000
_SETTLED_NS = 100_000_000
"""Nanoseconds. A file that changed this recently can change again within one tick of the file
system's clock, so what was read from it is not kept."""


def settled(seen: Iterable[tuple[str | int, ...]]) -> bool:
    """Whether every file that was `seen` (`cache.identities`) is absent, or is there to be read and
    did not change a moment ago, which is longer where a file system tells whole seconds only: only
    then does a look at its times show the next change."""
    now = time.time_ns()
    for _, state, *rest in seen:
        if state == "unreadable":
            return False
        if rest:
            changed = int(rest[0])
            fine = changed % _SECOND_NS
            if changed > now - (_SETTLED_NS if fine else 2 * _SECOND_NS):
                return False
    return True


def keep(path: str, seen: Iterable[tuple[str | int, ...]], content: bytes) -> None:
    """Write `content`, made of the files that were `seen`, to `path` below our cache directory; do
    nothing where that is not possible or not safe."""
    if not settled(seen):
        return
    directory = os.path.dirname(path)
    try:
        paths.private_directory(os.path.dirname(directory))
        paths.private_directory(directory)
        _make_room(directory)
        write(path, content)
    except (GuardError, OSError, ValueError):
        pass


def _make_room(directory: str) -> None:
    """Remove the oldest entries beyond the limit: a project that is gone is never asked for."""
    entries = sorted(
        (os.lstat(f"{directory}/{name}").st_mtime_ns, name) for name in os.listdir(directory)
    )
    for _, name in entries[: max(0, len(entries) - _ENTRIES + 1)]:
        remove(f"{directory}/{name}")
