"""Tables for people: columns that fit the terminal, whatever is in the cells.

Cells come from other people's programs: control characters are escaped, wide characters counted
by the columns they take.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

from guard.errors import printable

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


def render(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int = 0,
    style: Callable[[int, int, str], str] | None = None,
) -> str:
    """`rows` under `columns`, at most `width` terminal columns wide; 0 is as wide as needed.

    Where they do not fit, cells are wrapped; where that would not do either, each row becomes a
    block of `title: cell` lines. `style(row, column, text)` may colour a text that has its final
    width.
    """
    cells = [[printable(cell) or "-" for cell in row] for row in rows]
    widths = [
        max([columns_of(column.title), *(columns_of(row[index]) for row in cells)])
        for index, column in enumerate(columns)
    ]
    room = width - len(_GAP) * (len(columns) - 1)
    if width > 0 and sum(widths) > room:
        widths = _narrowed(columns, widths, room)
        if sum(widths) > room:
            return _blocks(columns, cells, width, style)
    lines = [_line([(c.title, w, c.right) for c, w in zip(columns, widths, strict=True)])]
    for number, row in enumerate(cells):
        folded = [wrapped(cell, size) for cell, size in zip(row, widths, strict=True)]
        for part in range(max(len(cell) for cell in folded)):
            line = []
            for index, cell in enumerate(folded):
                text = cell[part] if part < len(cell) else ""
                line.append((text, widths[index], columns[index].right))
            lines.append(_line(line, number, style))
    return "\n".join(lines)


def _narrowed(columns: Sequence[Column], widths: list[int], room: int) -> list[int]:
    """`widths` with the widest shrinking columns made smaller until they fit, if they can."""
    narrowed = list(widths)
    while sum(narrowed) > room:
        able = [
            (size, index)
            for index, (column, size) in enumerate(zip(columns, narrowed, strict=True))
            if column.least and size > column.least
        ]
        if not able:
            break
        narrowed[max(able)[1]] -= 1
    return narrowed


def _line(
    cells: Sequence[tuple[str, int, bool]],
    row: int = -1,
    style: Callable[[int, int, str], str] | None = None,
) -> str:
    last = max((index for index, (text, _, _) in enumerate(cells) if text), default=-1)
    parts = []
    for index, (text, size, right) in enumerate(cells[: last + 1]):
        blank = " " * (size - columns_of(text))
        shown = style(row, index, text) if style is not None and row >= 0 and text else text
        # no blanks after the last cell: they would wrap in a terminal that has just the room
        parts.append(blank + shown if right else shown + blank * (index < last))
    return _GAP.join(parts)


def _blocks(
    columns: Sequence[Column],
    cells: Sequence[Sequence[str]],
    width: int,
    style: Callable[[int, int, str], str] | None,
) -> str:
    label = max(columns_of(column.title) for column in columns) + len(_GAP)
    blocks = []
    for number, row in enumerate(cells):
        lines = []
        for index, (column, cell) in enumerate(zip(columns, row, strict=True)):
            if cell == "-":
                continue
            for part, text in enumerate(wrapped(cell, max(width - label, 8))):
                head = column.title if part == 0 else ""
                shown = style(number, index, text) if style is not None else text
                lines.append(f"{head:<{label}}{shown}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def columns_of(text: str) -> int:
    """How many columns of a terminal `text` takes (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns, broken at blanks, in words only if it must be."""
    lines: list[str] = []
    line, size = "", 0
    for word in text.split(" "):
        while True:
            needed = columns_of(word)
            gap = 1 if line else 0
            if size + gap + needed <= width:
                line += " " * gap + word
                size += gap + needed
                break
            if line:
                lines.append(line)
                line, size = "", 0
                continue
            head = _head(word, width)
            lines.append(head)
            word = word[len(head) :]
    return [*lines, line] if line or not lines else lines


def _head(word: str, width: int) -> str:
    """The beginning of `word` that takes at most `width` columns, at least one character."""
    size = 0
    for index, char in enumerate(word):
        size += _columns(char)
        if size > width and index:
            return word[:index]
    return word
