"""Where a key stands in a TOML text: tomllib gives values without positions.

The scanner reads a text that tomllib has already accepted, so it can stay simple: it follows
tables, keys and values, and judges nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

Path = tuple[str | int, ...]
"""Keys and list indexes from the top of the document to a value."""


class Position(NamedTuple):
    """A place in a text; line and column count characters from 1."""

    line: int
    column: int


_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\r\n]*")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_STRING = re.compile(
    r'"""(?:[^\\]|\\[\s\S])*?"{3,5}(?!")|'
    r"'''[\s\S]*?'{3,5}(?!')|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'[^'\n]*'"
)


class Locations:
    """The positions of the keys and list items of one TOML text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._offsets: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}
        self._lines: list[int] = []
        self._at = 0
        try:
            self._document()
        except (IndexError, ValueError, RecursionError):
            # a text tomllib would refuse too, or values nested too deeply: what was found so far
            # still serves, and `find` answers with the nearest key around
            pass

    def find(self, path: Path) -> Position:
        """Where `path` is set: its key, else the nearest key around it, else the first line."""
        for length in range(len(path), 0, -1):
            offset = self._offsets.get(path[:length])
            if offset is not None:
                # not `position`: counting the lines before each key of a long text takes long
                if not self._lines:
                    self._lines = [0, *(end.end() for end in re.finditer("\n", self._text))]
                line = bisect_right(self._lines, offset)
                return Position(line, offset - self._lines[line - 1] + 1)
        return Position(1, 1)

    def rename(self, old: Path, new: Path) -> None:
        """Let what stands at and below `old` be found as `new`."""
        for path, offset in list(self._offsets.items()):
            if path[: len(old)] == old:
                self._mark(new + path[len(old) :], offset)

    def _document(self) -> None:
        table: Path = ()
        while True:
            self._skip(_BLANK)
            if self._at >= len(self._text):
                return
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()

    def _mark(self, path: Path, offset: int) -> None:
        self._offsets.setdefault(path, offset)

    def _header(self) -> Path:
        is_list = self._text.startswith("[[", self._at)
        start = self._at
        self._at += 2 if is_list else 1
        keys = self._keys()
        self._at += 2 if is_list else 1
        path: Path = ()
        for index, (key, _) in enumerate(keys):
            path += (key,)
            last = index == len(keys) - 1
            self._mark(path, start)
            if is_list and last:
                self._tables[path] = self._tables.get(path, -1) + 1
            if path in self._tables:
                path += (self._tables[path],)
                self._mark(path, start)
        return path

    def _keys(self) -> list[tuple[str, int]]:
        keys = []
        while True:
            self._skip(_SPACE)
            start = self._at
            if self._text[start] in "\"'":
                keys.append((self._string(), start))
            else:
                found = _BARE.match(self._text, start)
                if found is None:
                    raise ValueError(start)
                self._at = found.end()
                keys.append((found.group(), start))
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return keys
            self._at += 1

    def _pair(self, table: Path) -> None:
        path = table
        for key, start in self._keys():
            path += (key,)
            self._mark(path, start)
        self._at += 1  # "="
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        char = self._text[self._at]
        if char in "\"'":
            self._string()
        elif char == "[":
            self._at += 1
            for index in range(len(self._text)):
                self._skip(_BLANK)
                if self._text[self._at] == "]":
                    break
                item = (*path, index)
                self._mark(item, self._at)
                self._value(item)
                self._skip(_BLANK)
                if self._text[self._at] == ",":
                    self._at += 1
            self._at += 1
        elif char == "{":
            self._at += 1
            self._skip(_BLANK)
            while self._text[self._at] != "}":
                self._pair(path)
                self._skip(_BLANK)
                if self._text[self._at] == ",":
                    self._at += 1
                self._skip(_BLANK)
            self._at += 1
        else:
            found = _SCALAR.match(self._text, self._at)
            if found is None or found.end() == self._at:
                raise ValueError(self._at)
            self._at = found.end()

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        if found is None:
            raise ValueError(self._at)
        self._at = found.end()
        text = found.group()
        if text[0] == "'":
            return text[1:-1]
        return _ESCAPE.sub(_unescaped, text[1:-1])


_SHORT = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


def _unescaped(found: re.Match[str]) -> str:
    code = found.group(1) or found.group(2)
    if code:
        return chr(int(code, 16))
    return _SHORT.get(found.group(3), found.group(3))


def position(text: str, offset: int) -> Position:
    """The line and column of `offset` in `text`."""
    line = text.count("\n", 0, offset) + 1
    return Position(line, offset - (text.rfind("\n", 0, offset) + 1) + 1)
