"""TOML as nodes with positions: values by its one reader, places by the policy's locator."""

from __future__ import annotations

from typing import Any

from guard.files import toml
from guard.files.read import BeyondLimitsError
from guard.policy.locate import Locations
from guard.sources.positions.nodes import LIST, MAP, SCALAR, Node
from guard.sources.positions.text import Text


def document(text: str) -> Node:
    """The table that `text` holds. Raises MalformedError.

    The place of a value is that of its key: where a value stands is not known, and a scalar's
    characters all have that place.
    """
    if len(text) > toml.MAX_BYTES:
        raise BeyondLimitsError(f"is longer than {toml.MAX_BYTES // 1024} KiB of TOML")
    content = toml.parse(text)
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    where = Locations(text.replace("\r\n", "\n"))

    def node(value: Any, path: tuple[str | int, ...]) -> Node:
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
