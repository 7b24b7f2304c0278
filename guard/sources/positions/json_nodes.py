"""JSON with comments and trailing commas as nodes with positions.

What is JSON is decided by its one reader (guard/files/jsonc.py); here the tokens of what it takes
are given their places, without recursion and in time that is linear in the length of the text.
"""

from __future__ import annotations

from guard.files import jsonc
from guard.files.read import BeyondLimitsError
from guard.late import late
from guard.sources.positions.nodes import LIST, MAP, MAX_DEPTH, SCALAR, Node
from guard.sources.positions.text import Text

MAX_CHARACTERS = 2 * 1024 * 1024
"""Characters. A config or manifest beyond this is not one that a person wrote."""

_TOKEN = late(r'[{}\[\]]|"(?:[^"\\]++|\\.)*+"|[^\s{}\[\]",:]++')
_PAIR = r"u([Dd][89ABab][0-9A-Fa-f]{2})\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})"
_ESCAPE = late(rf"\\(?:{_PAIR}|u([0-9A-Fa-f]{{4}})|(.))")
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def document(text: str) -> Node:
    """The value that `text` holds. Raises MalformedError."""
    if len(text) > MAX_CHARACTERS:
        raise BeyondLimitsError(f"is longer than {MAX_CHARACTERS // 1024} KiB of JSON")
    return _root(jsonc.valid(text))


def _root(text: str) -> Node:
    """The nodes of `text`, which is valid JSON."""
    root = key = None
    open_: list[Node] = []
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        first = text[start]
        if first in "}]":
            open_.pop().end = end
            continue
        node = Node(_KINDS.get(first, SCALAR), start, end)
        if first == '"':
            node.text, node.quoted = unescaped(token.group()[1:-1], start + 1), True
        elif node.kind == SCALAR:
            node.text = Text.of(token.group(), start)
        if not open_:
            root = node
        elif open_[-1].kind == LIST:
            open_[-1].items.append(node)
        elif key is None:
            key = node
            continue
        else:
            open_[-1].pairs.append((key, node))
            key = None
        if node.kind != SCALAR:
            open_.append(node)
            if len(open_) > MAX_DEPTH:
                raise BeyondLimitsError("is nested too deeply", start)
    assert root is not None
    return root


_KINDS = {"{": MAP, "[": LIST}


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
        high, low, code, short = match.groups()
        if high:
            values.append(chr(0x10000 + (int(high, 16) - 0xD800) * 0x400 + int(low, 16) - 0xDC00))
        else:
            values.append(chr(int(code, 16)) if code else _SHORT.get(short, short))
        places.append(start + match.start())
        at = match.end()
    values.append(body[at:])
    places.extend(range(start + at, start + len(body) + 1))
    return Text("".join(values), places)
