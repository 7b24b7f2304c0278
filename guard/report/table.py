"""Tables for people: columns that fit the terminal, whatever is in the cells.

Cells come from other people's programs: control characters are escaped, wide characters counted
by the columns they take. A cell may be painted as a whole (`terminal.paint`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from guard.errors import printable
from guard.masking import masked
from guard.report.terminal import columns as columns_of_terminal
from guard.report.terminal import columns_of, split_paint, wrapped

_GAP = "  "


class Column:
    """One column. `shrinks` to not less than `least` columns of the terminal where room is short.

    0 for `least` is a column that keeps its width.
    """

    __slots__ = ("least", "right", "title")

    def __init__(self, title: str, *, least: int = 0, right: bool = False) -> None:
        self.title = title
        self.least = least
        self.right = right


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int | None = None
) -> str:
    """`rows` under `columns`, at most `width` terminal columns wide; 0 is as wide as needed.

    None for `width` is the terminal on stdout. Where they do not fit, columns without anything in
    them are left out and cells are wrapped; where that would not do either, each row becomes a
    block of `title  cell` lines.
    """
    width = columns_of_terminal() if width is None else width
    cells = [[_clean(cell) for cell in row] for row in rows]
    shown = list(range(len(columns)))
    widths = _widths(columns, cells, shown)
    if width > 0 and _total(widths) > width:
        shown = [index for index in shown if any(row[index] != "-" for row in cells)]
        widths = _narrowed(columns, _widths(columns, cells, shown), shown, width)
        if _total(widths) > width:
            return _blocks(columns, cells, width)
    lines = [_line([(columns[i].title, i, columns[i].right) for i in shown], widths)]
    for row in cells:
        folded = {index: wrapped(row[index], widths[index]) for index in shown}
        for part in range(max(len(cell) for cell in folded.values())):
            line = [
                (cell[part] if part < len(cell) else "", index, columns[index].right)
                for index, cell in folded.items()
            ]
            lines.append(_line(line, widths))
    return "\n".join(lines)


def fields(rows: Iterable[tuple[str, str]], *, indent: int = 0) -> str:
    """`label  text` lines, the texts below each other; a row without text is left out.

    A label, and each line of a text, may be painted as a whole; other control characters are
    escaped.
    """
    shown = [
        (_printable(label), "\n".join(map(_printable, text.split("\n"))))
        for label, text in rows
        if text
    ]
    width = max((columns_of(label) for label, _ in shown), default=0)
    lines = []
    for label, text in shown:
        first, *rest = text.split("\n")
        gap = " " * (width - columns_of(label) + len(_GAP))
        lines.append(f"{'':{indent}}{label}{gap}{first}")
        lines += [f"{'':{indent + width + len(_GAP)}}{line}" for line in rest]
    return "\n".join(lines)


def _printable(text: str) -> str:
    start, inner, end = split_paint(text)
    return f"{start}{printable(inner)}{end}"


def _clean(cell: str) -> str:
    """`cell` as it can be shown, "-" for nothing.

    Masked here: half of a key on each of two lines is not recognised later.
    """
    start, text, end = split_paint(cell)
    return f"{start}{printable(masked(text))}{end}" if text else "-"


def _widths(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], shown: Sequence[int]
) -> dict[int, int]:
    return {
        index: max(columns_of(text) for text in (columns[index].title, *(r[index] for r in cells)))
        for index in shown
    }


def _total(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1)


def _narrowed(
    columns: Sequence[Column], widths: dict[int, int], shown: Sequence[int], width: int
) -> dict[int, int]:
    """`widths` with the widest shrinking columns made smaller until they fit, if they can."""
    least = {index: max(columns[index].least, columns_of(columns[index].title)) for index in shown}
    narrowed = dict(widths)
    while _total(narrowed) > width:
        able = [(narrowed[i], i) for i in shown if columns[i].least and narrowed[i] > least[i]]
        if not able:
            break
        narrowed[max(able)[1]] -= 1
    return narrowed


def _line(cells: Sequence[tuple[str, int, bool]], widths: Mapping[int, int]) -> str:
    """One line of (text, column, whether it goes to the right)."""
    last = max((place for place, (text, _, _) in enumerate(cells) if text), default=-1)
    parts = []
    for place, (text, index, right) in enumerate(cells[: last + 1]):
        blank = " " * (widths[index] - columns_of(text))
        # no blanks after the last cell: they would wrap in a terminal that has just the room
        parts.append(blank + text if right else text + blank * (place < last))
    return _GAP.join(parts)


def _blocks(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> str:
    label = max(columns_of(column.title) for column in columns) + len(_GAP)
    blocks = []
    for row in cells:
        lines = []
        for column, cell in zip(columns, row, strict=True):
            if cell == "-":
                continue
            for part, text in enumerate(wrapped(cell, max(width - label, 8))):
                head = column.title if part == 0 else ""
                lines.append(f"{head:<{label}}{text}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
