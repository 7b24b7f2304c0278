"""Tables for people: columns that fit the terminal, whatever is in the cells.

Cells come from other people's programs: control characters are escaped, wide characters counted
by the columns they take.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence

from guard.errors import printable
from guard.masking import masked

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

    Where they do not fit, columns without anything in them are left out and cells are wrapped;
    where that would not do either, each row becomes a block of `title  cell` lines.
    `style(row, column, text)` may colour a text that has its final width.
    """
    # masked here: half of a key on each of two lines is not recognised later
    cells = [[printable(masked(cell)) or "-" for cell in row] for row in rows]
    shown = list(range(len(columns)))
    widths = _widths(columns, cells, shown)
    if width > 0 and _total(widths) > width:
        shown = [index for index in shown if any(row[index] != "-" for row in cells)]
        widths = _narrowed(columns, _widths(columns, cells, shown), shown, width)
        if _total(widths) > width:
            return _blocks(columns, cells, width, style)
    lines = [_line([(columns[i].title, i, columns[i].right) for i in shown], widths)]
    for number, row in enumerate(cells):
        folded = {index: wrapped(row[index], widths[index]) for index in shown}
        for part in range(max(len(cell) for cell in folded.values())):
            line = [
                (cell[part] if part < len(cell) else "", index, columns[index].right)
                for index, cell in folded.items()
            ]
            lines.append(_line(line, widths, number, style))
    return "\n".join(lines)


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


def _line(
    cells: Sequence[tuple[str, int, bool]],
    widths: Mapping[int, int],
    row: int = -1,
    style: Callable[[int, int, str], str] | None = None,
) -> str:
    """One line of (text, column, whether it goes to the right)."""
    last = max((place for place, (text, _, _) in enumerate(cells) if text), default=-1)
    parts = []
    for place, (text, index, right) in enumerate(cells[: last + 1]):
        blank = " " * (widths[index] - columns_of(text))
        shown = style(row, index, text) if style is not None and row >= 0 and text else text
        # no blanks after the last cell: they would wrap in a terminal that has just the room
        parts.append(blank + shown if right else shown + blank * (place < last))
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
    if columns_of(text) <= width:
        return [text]
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
