"""The nodes of a structured file: maps, lists and scalars, each with its place.

One shape for YAML, JSON and TOML, so that a rule about a key does not know the format.
"""

from __future__ import annotations

from collections.abc import Iterator

from guard.sources.positions.text import Text

MAP = "map"
LIST = "list"
SCALAR = "scalar"

MAX_DEPTH = 200
"""Nesting beyond which a file is given up: real ones have about ten levels."""


class Node:
    """One value. `start` and `end` are file offsets.

    A map has `pairs` of (key, value) nodes in the order of the file, a list has `items`, a scalar
    has `text`: its characters without quotes, escapes and indentation. `quoted` tells that a
    scalar is a string whatever it looks like.
    """

    __slots__ = ("end", "items", "kind", "pairs", "quoted", "start", "text")

    def __init__(self, kind: str, start: int, end: int, text: Text | None = None) -> None:
        self.kind = kind
        self.start = start
        self.end = end
        self.text = Text("", (start,)) if text is None else text
        self.quoted = False
        self.items: list[Node] = []
        self.pairs: list[tuple[Node, Node]] = []

    def __repr__(self) -> str:
        return f"Node({self.kind}, {self.start}:{self.end})"

    @property
    def value(self) -> str:
        """The scalar's characters, "" for a map or list."""
        return self.text.value

    def entries(self) -> Iterator[tuple[Node, Node]]:
        """The (key, value) pairs, those that YAML's merge key `<<` brings in after its own."""
        seen: set[int] = set()
        open_ = [self]
        while open_ and len(seen) < 1000:
            node = open_.pop(0)
            if id(node) in seen:
                continue
            seen.add(id(node))
            for key, value in node.pairs:
                if key.value == "<<" and not key.quoted:
                    open_.extend(value.items if value.kind == LIST else [value])
                else:
                    yield key, value

    def get(self, *names: str) -> Node | None:
        """The value behind the keys `names`, one level each; None if there is none."""
        node: Node | None = self
        for name in names:
            if node is None:
                return None
            node = next((v for k, v in node.entries() if k.value == name), None)
        return node

    def strings(self) -> list[Node]:
        """The scalar itself, or the scalars of a list (also of the lists in it)."""
        found: list[Node] = []
        seen: set[int] = set()
        open_ = [self]
        while open_:
            node = open_.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if node.kind == SCALAR:
                found.append(node)
            elif node.kind == LIST:
                open_.extend(reversed(node.items))
        return found

    def walk(self) -> Iterator[Node]:
        """This node and every node below it, each once, in the order of the file."""
        seen: set[int] = set()
        open_ = [self]
        while open_:
            node = open_.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            yield node
            below = list(node.items)
            for key, value in node.pairs:
                below += (key, value)
            open_.extend(reversed(below))
