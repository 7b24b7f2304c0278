"""JSON with comments and trailing commas as nodes with positions.

A scanner with a list of what is open: no recursion, linear in the length of the text.
"""

from __future__ import annotations

import re

from guard.sources.positions.nodes import LIST, MAP, MAX_DEPTH, SCALAR, MalformedError, Node
from guard.sources.positions.text import Text

MAX_CHARACTERS = 2 * 1024 * 1024
"""Characters. A config or manifest beyond this is not one that a person wrote."""

_BLANK = re.compile(r"(?:[\s\ufeff]++|//[^\n\r]*+|/\*(?:[^*]|\*(?!/))*+\*/)*+")
_STRING = re.compile(r'"(?:[^"\\\n]++|\\[\s\S])*+"')
_SCALAR = re.compile(r"[A-Za-z0-9_+.\-]++")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|([\s\S]))")
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def document(text: str) -> Node:
    """The value that `text` holds. Raises MalformedError."""
    if len(text) > MAX_CHARACTERS:
        raise MalformedError(f"is longer than {MAX_CHARACTERS // 1024} KiB of JSON")
    return _Scanner(text).document()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def document(self) -> Node:
        self._blank()
        root = self._value()
        open_ = [root] if root.kind != SCALAR else []
        while open_:
            node = open_[-1]
            self._blank()
            closer = "}" if node.kind == MAP else "]"
            if self._here() == closer:
                self._at += 1
                node.end = self._at
                open_.pop()
                self._separator(open_)
                continue
            if node.kind == MAP:
                key = self._string()
                self._blank()
                if self._here() != ":":
                    raise self._malformed()
                self._at += 1
                self._blank()
                child = self._value()
                node.pairs.append((key, child))
            else:
                child = self._value()
                node.items.append(child)
            if child.kind == SCALAR:
                self._separator(open_)
            else:
                open_.append(child)
                if len(open_) > MAX_DEPTH:
                    raise MalformedError("is nested too deeply", self._at)
        self._blank()
        if self._at < len(self._text):
            raise self._malformed()
        return root

    def _here(self) -> str:
        return self._text[self._at : self._at + 1]

    def _blank(self) -> None:
        found = _BLANK.match(self._text, self._at)
        if found:
            self._at = found.end()

    def _separator(self, open_: list[Node]) -> None:
        """The comma behind a value, which may be left out before a closing bracket."""
        if not open_:
            return
        self._blank()
        if self._here() == ",":
            self._at += 1
        elif self._here() not in ("}", "]") or not self._here():
            raise self._malformed()

    def _value(self) -> Node:
        char = self._here()
        if char == "{" or char == "[":
            node = Node(MAP if char == "{" else LIST, self._at, self._at + 1)
            self._at += 1
            return node
        if char == '"':
            return self._string()
        found = _SCALAR.match(self._text, self._at)
        if found is None:
            raise self._malformed()
        self._at = found.end()
        return Node(SCALAR, found.start(), found.end(), Text.of(found.group(), found.start()))

    def _string(self) -> Node:
        found = _STRING.match(self._text, self._at)
        if found is None:
            raise self._malformed()
        start, self._at = found.span()
        node = Node(SCALAR, start, self._at, unescaped(found.group()[1:-1], start + 1))
        node.quoted = True
        return node

    def _malformed(self) -> MalformedError:
        return MalformedError("is not valid JSON", min(self._at, len(self._text)))


def unescaped(body: str, start: int) -> Text:
    """What stands between the quotes of a JSON string that begins at `start`."""
    if "\\" not in body:
        return Text.of(body, start)
    values: list[str] = []
    places: list[int] = []
    at = 0
    for match in _ESCAPE.finditer(body):
        values.append(body[at : match.start()])
        places.extend(range(start + at, start + match.start()))
        code, short = match.groups()
        values.append(chr(int(code, 16)) if code else _SHORT.get(short, short))
        places.append(start + match.start())
        at = match.end()
    values.append(body[at:])
    places.extend(range(start + at, start + len(body) + 1))
    return Text("".join(values), places)
