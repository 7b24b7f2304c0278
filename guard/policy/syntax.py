"""The text of a policy file as TOML, and what mends a text that is none."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

from guard.errors import PolicyError
from guard.files import toml
from guard.policy.locate import position
from guard.policy.problems import InvalidPolicyError, Problem

MAX_PARTS: Final = 20_000
"""Lines, keys, list items, dots and escapes in a file of a project. They are counted before it is
parsed, because that is what parsing takes time for: 1 MiB of tables took 9 s."""

_MAX_DEPTH: Final = 32
_TOO_DEEP: Final = "nested too deeply to be a policy"

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TUPLE = re.compile(r"\('.*'\)")
_SYNTAX_FIXES = (
    ("Invalid value", 'quote text: key = "value"'),
    ("Expected '='", 'write key = "value"'),
    ("Illegal character '\\n'", "close the quote at the end of the line"),
    ("Unterminated string", "close the quote"),
    ("Expected ']", "close the name of the table with ]"),
    ("Unclosed array", "close the list with ]"),
    ("Unclosed inline table", "close the table with } on the same line"),
    ("Invalid initial character for a key part", "a table in { } ends on the same line"),
    ("Cannot declare", "join the two tables of that name"),
)
"""What mends a policy, by the start of what `tomllib` says of it."""


def decoded(data: bytes, path: str) -> str:
    """`data` as text without what editors on Windows leave. Raises InvalidPolicyError."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        raise _invalid(
            path,
            position(before, len(before)),
            f"not UTF-8: byte 0x{data[error.start]:02x}",
            accepted="TOML, which is always UTF-8",
        ) from None
    # a byte order mark and carriage returns
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def parsed(text: str, path: str, *, bounded: bool) -> dict[str, Any]:
    """The tables of `text`, which stands at `path`; not more than MAX_PARTS if `bounded`.

    Raises InvalidPolicyError with what mends it, PolicyError for a text that is too large.
    """
    if bounded:
        parts = sum(text.count(mark) for mark in "\n=[{,.\\")
        if parts > MAX_PARTS:
            raise PolicyError(
                "a policy file is too big",
                where=path,
                why=f"it has about {parts} lines, keys and list items; a project's has {MAX_PARTS}"
                " at most",
                fix="remove what is not policy; a policy is about a page of text",
            )
    deep = toml.long_key(text, _MAX_DEPTH)
    if deep >= 0:
        raise _invalid(path, position(text, deep), _TOO_DEEP)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _invalid(path, (0, 0), _TOO_DEEP) from None
    except ValueError as error:
        found = _PLACE.search(str(error))
        message = _PLACE.sub("", str(error))
        if found and found.group(1):
            at = (int(found.group(1)), int(found.group(2)))
        else:
            at = position(text, len(text)) if found else (0, 0)
        # a table's name is a tuple of Python there
        message = _TUPLE.sub(lambda name: ".".join(re.findall("'(.*?)'", name[0])), message)
        fix = next((fix for start, fix in _SYNTAX_FIXES if message.startswith(start)), "")
        if message == "Invalid value" and at >= position(text, len(text.rstrip())):
            fix = "close the list with ]"
        raise _invalid(path, at, f"not valid TOML: {message}", fix=fix) from None


def _invalid(
    path: str, place: tuple[int, int], message: str, *, accepted: str = "", fix: str = ""
) -> InvalidPolicyError:
    """One problem of the text at `place` (line and column, zeros for the whole file)."""
    return InvalidPolicyError([Problem(path, *place, "", message, accepted=accepted, fix=fix)])
