"""Where here-documents of other languages than a shell's end."""

from __future__ import annotations

from bisect import bisect_left

from guard.late import late

_FIRST_WORD = late(r"\n[ \t]*+(\w++)")


class Ends:
    """The lines of a text by their first words, read once: a search for each document's end would
    read what lies behind those that have none again and again."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: dict[str, list[tuple[int, int]]] | None = None

    def find(self, tag: str, at: int) -> tuple[int, int] | None:
        """Where the document ends whose text begins at `at`: the offsets of the line end in front
        of the first line that begins with the word `tag`, and behind that word."""
        if self._lines is None:
            self._lines = {}
            for line in _FIRST_WORD.finditer(self._text):
                self._lines.setdefault(line[1], []).append(line.span())
        lines = self._lines.get(tag, [])
        number = bisect_left(lines, (at, 0))
        return lines[number] if number < len(lines) else None
