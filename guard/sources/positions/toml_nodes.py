"""TOML as nodes with positions: values from tomllib, places from the policy's own locator."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from guard.policy.locate import Locations
from guard.sources.positions.nodes import LIST, MAP, SCALAR, MalformedError, Node
from guard.sources.positions.text import Text

MAX_CHARACTERS = 64 * 1024
"""Characters. tomllib takes time that is quadratic in the number of dotted keys."""

_MAX_DEPTH = 50

# tomllib takes time that grows with the square of the parts of a dotted key; every repetition
# here is possessive, and starts only where a key can, to stay linear
_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_.-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{_MAX_DEPTH},}}+")


def document(text: str) -> Node:
    """The table that `text` holds. Raises MalformedError.

    The place of a value is that of its key: where a value stands is not known, and a scalar's
    characters all have that place.
    """
    if len(text) > MAX_CHARACTERS:
        raise MalformedError(f"is longer than {MAX_CHARACTERS // 1024} KiB of TOML")
    if _LONG_KEY.search(text):
        raise MalformedError("is nested too deeply")
    try:
        content = tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        raise MalformedError("is not valid TOML") from None
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    where = Locations(text.replace("\r\n", "\n"))

    def node(value: Any, path: tuple[str | int, ...]) -> Node:
        if len(path) > _MAX_DEPTH:
            raise MalformedError("is nested too deeply")
        place = where.find(path)
        start = min(starts[place.line - 1] + place.column - 1, len(text))
        line_end = text.find("\n", start)
        end = len(text) if line_end < 0 else line_end
        if isinstance(value, dict):
            made = Node(MAP, start, end)
            for key, below in value.items():
                child = node(below, (*path, key))
                name = Node(
                    SCALAR, child.start, child.start, Text(key, [child.start] * (len(key) + 1))
                )
                made.pairs.append((name, child))
            return made
        if isinstance(value, list):
            made = Node(LIST, start, end)
            made.items = [node(below, (*path, index)) for index, below in enumerate(value)]
            return made
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        made = Node(SCALAR, start, end, Text(shown, [start] * len(shown) + [end]))
        made.quoted = isinstance(value, str)
        return made

    return node(content, ())
