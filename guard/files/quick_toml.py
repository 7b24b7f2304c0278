"""TOML that is plain, read without `tomllib`, whose import (with `re` and `datetime`) takes as long
as the start of Python.

Plain is what programs write: a line for each key, tables by their headers, strings without escapes,
whole numbers, and arrays and inline tables that end on their line. Of everything else, and of all
that is wrong, `tomllib` has the word.

Hot-path module. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_BLANK = " \t"
_CONTROLS = "".join(map(chr, (*range(9), *range(11, 32), 127)))
_MAX_PARTS = 8
"""Of a header, and of what is nested in a value: more is not plain."""
_MAX_DIGITS = 18


class _NotPlainError(Exception):
    """This text is for `tomllib`."""


def plain(text: str) -> dict[str, Any] | None:
    """The tables of `text` as `tomllib.loads` gives them, None where it is not plain."""
    if text.translate(_WITHOUT_CONTROLS) != text:
        return None
    try:
        return _document(text)
    except _NotPlainError:
        return None


_WITHOUT_CONTROLS = dict.fromkeys(map(ord, _CONTROLS))


def _document(text: str) -> dict[str, Any]:
    root: dict[str, Any] = {}
    tables: dict[tuple[str, ...], dict[str, Any]] = {
        (): root
    }  # that headers made, also on the way to another
    headed: set[tuple[str, ...]] = set()
    table = root
    for line in text.split("\n"):
        line = line.strip(_BLANK)
        if not line or line[0] == "#":
            continue
        if line[0] == "[":
            parts, at = _header(line)
            _end(line, at)
            if parts in headed:
                raise _NotPlainError
            headed.add(parts)
            table = _table(tables, parts)
            continue
        key, at = _key(line, 0)
        value, at = _value(line, _equals(line, at), 0)
        _end(line, at)
        if key in table:
            raise _NotPlainError
        table[key] = value
    return root


def _table(tables: dict[tuple[str, ...], dict[str, Any]], parts: tuple[str, ...]) -> dict[str, Any]:
    """The table of the header `parts`. What a key made is no table that a header can reopen."""
    for count in range(1, len(parts) + 1):
        path = parts[:count]
        if path not in tables:
            above = tables[path[:-1]]
            if path[-1] in above:
                raise _NotPlainError
            above[path[-1]] = tables[path] = {}
    return tables[parts]


def _header(line: str) -> tuple[tuple[str, ...], int]:
    parts: list[str] = []
    at = 0
    while len(parts) < _MAX_PARTS:
        part, at = _key(line, at + 1)
        parts.append(part)
        if line[at : at + 1] == "]":
            return tuple(parts), at + 1
        if line[at : at + 1] != ".":
            break
    raise _NotPlainError


def _key(line: str, at: int) -> tuple[str, int]:
    """The key, or the part of one, that begins at `at`, and where it ends."""
    if line[at : at + 1] in ('"', "'"):
        return _string(line, at)
    end = at
    while end < len(line) and line[end] in _BARE:
        end += 1
    if end == at:
        raise _NotPlainError
    return line[at:end], end


def _string(line: str, at: int) -> tuple[str, int]:
    quote = line[at]
    end = line.find(quote, at + 1)
    found = line[at + 1 : end]
    # two quotes may be the first of three, of a text that has lines
    if end < 0 or (quote == '"' and "\\" in found) or line[end + 1 : end + 2] == quote:
        raise _NotPlainError
    return found, end + 1


def _equals(line: str, at: int) -> int:
    at = _after_blanks(line, at)
    if line[at : at + 1] != "=":
        raise _NotPlainError
    return _after_blanks(line, at + 1)


def _after_blanks(line: str, at: int) -> int:
    while line[at : at + 1] in (" ", "\t"):
        at += 1
    return at


def _end(line: str, at: int) -> None:
    at = _after_blanks(line, at)
    if at < len(line) and line[at] != "#":
        raise _NotPlainError


def _value(line: str, at: int, depth: int) -> tuple[Any, int]:
    first = line[at : at + 1]
    if first in ('"', "'"):
        return _string(line, at)
    if first in ("[", "{"):
        if depth == _MAX_PARTS:
            raise _NotPlainError
        return (_array if first == "[" else _inline_table)(line, at, depth + 1)
    end = at
    while end < len(line) and line[end] in _BARE:
        end += 1
    word = line[at:end]
    if line[end : end + 1] in (".", ":", "+"):  # a float or a time
        raise _NotPlainError
    if word in ("true", "false"):
        return word == "true", end
    digits = word.removeprefix("-")
    if not digits.isdigit() or len(digits) > _MAX_DIGITS or (digits[0] == "0" and word != "0"):
        raise _NotPlainError
    return int(word), end


def _array(line: str, at: int, depth: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    at = _after_blanks(line, at + 1)
    while line[at : at + 1] != "]":
        value, at = _value(line, at, depth)
        found.append(value)
        at = _after_blanks(line, at)
        if line[at : at + 1] == ",":
            at = _after_blanks(line, at + 1)
        elif line[at : at + 1] != "]":
            raise _NotPlainError
    return found, at + 1


def _inline_table(line: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    at = _after_blanks(line, at + 1)
    if line[at : at + 1] == "}":
        return found, at + 1
    while True:
        key, at = _key(line, at)
        value, at = _value(line, _equals(line, at), depth)
        if key in found:
            raise _NotPlainError
        found[key] = value
        at = _after_blanks(line, at)
        if line[at : at + 1] == "}":
            return found, at + 1
        if line[at : at + 1] != ",":
            raise _NotPlainError
        at = _after_blanks(line, at + 1)
