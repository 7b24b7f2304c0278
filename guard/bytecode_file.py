"""Writes the file that `guard.bytecode` reads, after a launch that imported what is not in it."""

from __future__ import annotations

import marshal
import time

from guard.bytecode import (
    FILE,
    INDEX_BYTES,
    Finder,
    checksum,
    head,
    is_still,
)
from guard.files.write import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

    from guard.bytecode import Piece

_PIECE_BYTES = 100_000
"""Read at a time: a larger text would get memory of its own, page by page, each time."""

_OLD_NS, _SEEN_NS = 2_000_000_000, 100_000_000
"""Nanoseconds. A source that was written, or changed otherwise, more recently is not kept: Python
tells its own file from a source by whole seconds, and the clock of a file system has its ticks."""


def keep(finder: Finder) -> None:
    """Write the file again: the groups of which nothing has changed, and what `finder` noted.

    A file that cannot be written costs time, not the launch.
    """
    try:
        _write(finder)
    except (OSError, ValueError):
        pass


def _write(finder: Finder) -> None:
    now = time.time_ns()
    new = {
        name
        for name, (origin, identity, _, _) in finder.noted.items()
        if identity[0] < now - _OLD_NS
        and identity[1] < now - _SEEN_NS
        and is_still(origin, identity)
    }
    if not new:
        return
    # each group as the index entry and the code of its modules
    groups = [
        [(name, finder.kept[name][:3], code) for name, code in finder.group(pieces)]
        for pieces in finder.groups
    ]
    groups = [
        group
        for group in groups
        if all(name not in finder.noted and is_still(*known[:2]) for name, known, _ in group)
    ]
    for root in finder.roots:
        found = [(name, finder.noted[name]) for name in root if name in new]
        groups.append([(name, noted[:3], noted[3]) for name, noted in found])
    index: dict[str, tuple[str, tuple[int, ...], bool, int]] = {}
    placed: list[tuple[Piece, ...]] = []
    content: list[bytes] = []
    back = 0
    for group in filter(None, groups):
        pieces = []
        for names, codes in _in_pieces(group):
            content.insert(0, _summed(marshal.dumps(codes)))
            back += len(content[0])
            pieces.append((names, back, len(content[0])))
        index.update({name: (*known, len(placed)) for name, known, _ in group})
        placed.append(tuple(pieces))
    rest = marshal.dumps((index, placed)) + b"".join(content)
    if len(rest) - back < INDEX_BYTES:
        write(FILE, head(rest, len(rest)) + b"\n" + rest, 0o644)


def _in_pieces(
    group: list[tuple[str, tuple[str, tuple[int, ...], bool], CodeType]],
) -> Iterator[tuple[tuple[str, ...], tuple[CodeType, ...]]]:
    """The names and the bytecode of `group`, a piece at a time."""
    names: tuple[str, ...] = ()
    codes: tuple[CodeType, ...] = ()
    for name, _, code in group:
        if codes and len(marshal.dumps((*codes, code))) > _PIECE_BYTES:
            yield names, codes
            names = codes = ()
        names, codes = (*names, name), (*codes, code)
    yield names, codes


def _summed(content: bytes) -> bytes:
    return checksum(content) + content
