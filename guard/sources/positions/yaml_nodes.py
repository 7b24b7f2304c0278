"""YAML as nodes with positions, built from the parser's events.

Nothing is constructed, so tags mean nothing and no object is made. An alias is a reference to the
node it names, never a copy: a bomb of anchors stays as small as its text. The events come from
libyaml where PyYAML has it; nesting, size and the number of events are bounded.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from guard.files.read import BeyondLimitsError, MalformedError
from guard.sources.positions.nodes import LIST, MAP, MAX_DEPTH, SCALAR, Node
from guard.sources.positions.text import Text

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_CHARACTERS = 1024 * 1024 if _LOADER is not yaml.SafeLoader else 128 * 1024
"""Characters. Without libyaml the parser is thirty times slower."""

_ODD = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_ESCAPE_LENGTH = {"x": 4, "u": 6, "U": 10}


def documents(text: str) -> list[Node]:
    """The root of each document in `text`. Raises MalformedError.

    What was read before an error is lost: half a file is no ground for a finding.
    """
    if len(text) > MAX_CHARACTERS:
        raise BeyondLimitsError(f"is longer than {MAX_CHARACTERS // 1024} KiB of YAML")
    # characters that YAML forbids, one for one, so that offsets stay
    clean = _ODD.sub("\ufffd", text)
    try:
        return _Builder(text, clean).build()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise MalformedError("is not valid YAML", mark.index if mark else 0) from None
    except yaml.YAMLError:
        raise MalformedError("is not valid YAML") from None
    except RecursionError:
        raise BeyondLimitsError("is nested too deeply") from None


def _index(mark: Any) -> int:
    offset: int = mark.index
    return offset


class _Builder:
    def __init__(self, text: str, clean: str) -> None:
        self._text = text
        self._clean = clean
        self._anchors: dict[str, Node] = {}

    def build(self) -> list[Node]:
        roots: list[Node] = []
        # a map that is being read, with the key that waits for its value
        open_: list[tuple[Node, list[Node]]] = []

        def put(node: Node) -> None:
            if not open_:
                roots.append(node)
                return
            parent, waiting = open_[-1]
            if parent.kind == LIST:
                parent.items.append(node)
            elif waiting:
                parent.pairs.append((waiting.pop(), node))
            else:
                waiting.append(node)

        events: Any = yaml.parse(self._clean, Loader=_LOADER)
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                node = self._scalar(event)
                self._name(event, node)
                put(node)
            elif isinstance(event, yaml.AliasEvent):
                put(self._alias(event))
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                kind = MAP if isinstance(event, yaml.MappingStartEvent) else LIST
                node = Node(kind, _index(event.start_mark), _index(event.end_mark))
                self._name(event, node)
                put(node)
                open_.append((node, []))
                if len(open_) > MAX_DEPTH:
                    raise BeyondLimitsError("is nested too deeply", _index(event.start_mark))
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                node, _ = open_.pop()
                node.end = _index(event.end_mark)
            elif isinstance(event, yaml.DocumentEndEvent):
                self._anchors.clear()
        return roots

    def _name(self, event: Any, node: Node) -> None:
        if event.anchor:
            self._anchors[event.anchor] = node

    def _alias(self, event: Any) -> Node:
        found = self._anchors.get(event.anchor)
        if found is None:
            raise MalformedError(
                "refers to an anchor that does not exist", _index(event.start_mark)
            )
        return found

    def _scalar(self, event: Any) -> Node:
        start, end = _index(event.start_mark), _index(event.end_mark)
        node = Node(SCALAR, start, end, self._text_of(event.value, event.style or "", start, end))
        node.quoted = event.style in ("'", '"', "|", ">")
        return node

    def _text_of(self, value: str, style: str, start: int, end: int) -> Text:
        source = self._text[start:end]
        if source == value:
            return Text(value, range(start, start + len(value) + 1))
        if style == "|":
            return _literal(value, self._clean, start, end)
        if style == '"':
            return _double_quoted(value, self._clean, start, end)
        return _in_order(value, self._clean, start, end)


def _literal(value: str, source: str, start: int, end: int) -> Text:
    """A `|` block: each line of the value ends a line of the source."""
    at = source.find("\n", start, end) + 1
    if at == 0:
        return _in_order(value, source, start, end)
    places: list[int] = []
    for line in value.split("\n"):
        stop = source.find("\n", at, end)
        stop = end if stop < 0 else stop
        bare = stop - 1 if stop > at and source[stop - 1] == "\r" else stop
        first = max(at, bare - len(line))
        places.extend(range(first, first + len(line)))
        places.append(min(bare, end))
        at = min(stop + 1, end)
    return Text(value, places[: len(value) + 1])


def _in_order(value: str, source: str, start: int, end: int) -> Text:
    """Plain, folded and single-quoted scalars: all but white space keeps its order."""
    at = start
    if source[start : start + 1] in "|>":
        at = source.find("\n", start, end) + 1 or start
    elif source[start : start + 1] == "'":
        at = start + 1
    places: list[int] = []
    for char in value:
        if char.isspace():
            places.append(min(at, end))
            if at < end and source[at] == char:
                at += 1
            continue
        while at < end and source[at] != char:
            at += 1
        places.append(min(at, end))
        at += 2 if char == "'" and source[at + 1 : at + 2] == "'" else 1
    places.append(min(at, end))
    return Text(value, places)


def _double_quoted(value: str, source: str, start: int, end: int) -> Text:
    at = start + 1
    places: list[int] = []
    for char in value:
        while at < end and source[at] == "\\" and source[at + 1 : at + 2] in ("\n", "\r"):
            at += 2
            while at < end and source[at].isspace():
                at += 1
        places.append(min(at, end))
        if at < end and source[at] == "\\":
            at += _ESCAPE_LENGTH.get(source[at + 1 : at + 2], 2)
        elif char.isspace() and at < end and source[at].isspace():
            folded = source[at] in "\r\n" or source[at] != char
            while folded and at < end and source[at].isspace():
                at += 1
            at += not folded
            # blanks before a line break are folded with it
            rest = at
            while rest < end and source[rest] in " \t":
                rest += 1
            if not folded and rest < end and source[rest] in "\r\n":
                while rest < end and source[rest].isspace():
                    rest += 1
                at = rest
        else:
            at += 1
    places.append(min(at, end))
    return Text(value, places)
