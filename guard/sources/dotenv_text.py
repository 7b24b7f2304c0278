"""The assignments of a dotenv text as the tools that load one read them, with their places.

python-dotenv reads it. A line that it gives up, for a quote that is never closed or another mark
than `=`, is read as other tools do: the rest of the line is the value. npm's dotenv 18.0.10 takes
`KEY: value` with a blank, and text in backticks (run); docker's `--env-file` knows no quotes (its
documentation).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from guard.late import late
from guard.sources.positions.text import Text, joined

if TYPE_CHECKING:
    from dotenv.parser import Binding

LIMIT = 256 * 1024
"""Bytes. A dotenv file beyond this is not one that a person wrote; it would take seconds."""

_NAME = late(r"\s*(?:export[^\S\r\n]+)?'?")
_VALUE = late(
    r"'?[^\S\r\n]*=[^\S\r\n]*"
    r"(?:\"(?P<double>(?:\\.|[^\"\\])*)\"|'(?P<single>(?:\\.|[^'\\])*)'|(?P<plain>[^\r\n]*))",
    re.DOTALL,
)
_GIVEN_UP = late(
    r"^[^\S\r\n]*(?:export[^\S\r\n]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[^\S\r\n]*"
    r"(?:=|:[^\S\r\n])[^\S\r\n]*(?P<value>[^\r\n]*)",
    re.MULTILINE,
)
_COMMENT = late(r"(?:^|\s)#")
_QUOTES = "\"'`"
_NEW_LINE = late(r"\r\n|\n|\r")
_BLANKS = late(r"[^\S\r\n]{64,}")


class DotenvAssignment(NamedTuple):
    """A name and its value, without quotes and escapes.

    `name_at` is the offset of the name; the value as it is written, without its quotes, begins at
    `start` and ends at `end`. `line` counts from 1; 0 is not known.
    """

    name: str
    value: str
    name_at: int
    start: int
    end: int
    line: int = 0


def assignments(text: str) -> Iterator[DotenvAssignment]:
    """Every assignment in `text`, in order; a name without a value is none."""
    # the parser's search for a trailing comment takes quadratic time in a run of blanks
    whole, parts, at = Text.of(text), [], 0
    for run in _BLANKS.finditer(text):
        parts.append(whole[at : run.start() + 64])
        at = run.end()
    short = joined([*parts, whole[at:]])
    at = len(text) - len(text.removeprefix("\ufeff"))  # which the parser drops
    line, counted = 1, 0
    from dotenv.parser import parse_stream

    for binding in parse_stream(io.StringIO(short.value)):
        for name, value, *inside in _parts(binding):
            name_at, start, end = (short.places[at + place] for place in inside)
            # not the parser's own count: it takes `\r\n` for two lines behind one it gives up
            line += len(_NEW_LINE.findall(text, counted, name_at))
            counted = name_at
            yield DotenvAssignment(name, value, name_at, start, end, line)
        at += len(binding.original.string)


def _parts(binding: Binding) -> Iterator[tuple[str, str, int, int, int]]:
    """(name, value, and the places of both in the text of `binding`) of each assignment in it."""
    written = binding.original.string
    if binding.error:
        for match in _GIVEN_UP.finditer(written):
            value = _COMMENT.split(match["value"], maxsplit=1)[0].rstrip()
            start = match.start("value") + len(value) - len(value.lstrip(_QUOTES))
            value = value.strip(_QUOTES)
            yield match["name"], value, match.start("name"), start, start + len(value)
    elif binding.key is not None and binding.value is not None:
        head = _NAME.match(written)
        assert head is not None
        found = _VALUE.match(written, head.end() + len(binding.key))
        assert found is not None
        group = found.lastgroup or "plain"
        start, end = found.span(group)
        value = binding.value
        if group == "plain":
            # a backtick is a quote of npm's dotenv
            value = value.strip("`")
            start += binding.value.find(value)
            end = start + len(value)
        yield binding.key, value, head.end(), start, end
