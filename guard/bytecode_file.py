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

    from guard.bytecode import Kept, Piece

    _Module = tuple[str, tuple[str, tuple[int, ...], bool], int, CodeType]

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
    # each group as the source of its modules, how many before it each asks for, and the code
    groups: list[list[_Module]] = []
    for known in finder.groups:
        group: list[_Module] = []
        for name, code in finder.group(known):
            path, identity, package, _, first, last = finder.kept[name]
            group.append((name, (path, identity, package), last - first, code))
        if all(name not in finder.noted and is_still(*of[:2]) for name, of, _, _ in group):
            groups.append(group)
    for root in finder.roots:
        group = []
        for name in filter(new.__contains__, root):
            path, identity, package, code = finder.noted[name]
            before = len(new.intersection(finder.asked[name]))
            group.append((name, (path, identity, package), before, code))
        groups.append(group)
    index: dict[str, Kept] = {}
    placed: list[tuple[Piece, ...]] = []
    content: list[bytes] = []
    back = 0
    for group in filter(None, groups):
        pieces = []
        for names, codes in _in_pieces(group):
            content.insert(0, _summed(marshal.dumps(codes)))
            back += len(content[0])
            pieces.append((names, back, len(content[0])))
        for place, (name, source, before, _) in enumerate(group):
            index[name] = *source, len(placed), place - before, place
        placed.append(tuple(pieces))
    rest = marshal.dumps((index, placed)) + b"".join(content)
    if len(rest) - back < INDEX_BYTES:
        write(FILE, head(rest, len(rest)) + b"\n" + rest, 0o644)


def _in_pieces(
    group: list[_Module],
) -> Iterator[tuple[tuple[str, ...], tuple[CodeType, ...]]]:
    """The names and the bytecode of `group`, a piece at a time."""
    names: tuple[str, ...] = ()
    codes: tuple[CodeType, ...] = ()
    for name, _, _, code in group:
        if codes and len(marshal.dumps((*codes, code))) > _PIECE_BYTES:
            yield names, codes
            names = codes = ()
        names, codes = (*names, name), (*codes, code)
    yield names, codes


def _summed(content: bytes) -> bytes:
    return checksum(content) + content
