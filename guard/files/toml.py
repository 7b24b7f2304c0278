"""TOML of somebody else's: the one reader, for a launch and for `check`.

Hot-path module; `tomllib` and `re` are imported on first use.
"""

from __future__ import annotations

from guard.files import quick_toml
from guard.files.read import BeyondLimitsError, MalformedError, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_BYTES = 128 * 1024
"""Bytes of one file: a repository's own must not take long to read."""

MAX_DEPTH = 50


def decode(raw: bytes) -> dict[str, Any]:
    """The tables of a file with the content `raw`. Raises UnreadableError."""
    return parse(text_of(raw, MAX_BYTES))


def parse(text: str) -> dict[str, Any]:
    """The tables of `text`. Raises MalformedError, with a line number if there is one."""
    plain = quick_toml.plain(text)
    if plain is not None:
        return plain
    import tomllib

    deep = long_key(text, MAX_DEPTH)
    if deep >= 0:
        raise BeyondLimitsError(_TOO_DEEP, deep)
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise BeyondLimitsError(_TOO_DEEP) from None
    except ValueError as error:
        # its words can quote the file: only the number of the line is taken from them
        _, _, place = str(error).partition(" (at line ")
        number = place.partition(",")[0]
        before = text.split("\n")[: int(number) - 1] if number else [text]
        offset = min(len("\n".join([*before, ""])), len(text))
        line = number or text.count("\n") + 1
        raise MalformedError(f"is not valid TOML at line {line}", offset) from None
    _inspect(content)
    return content


_TOO_DEEP = "is nested too deeply"


def long_key(text: str, most: int) -> int:
    """The offset of the first dotted key of more than `most` parts in `text`, -1 if there is none.

    tomllib takes time that grows with the square of these parts: minutes for a line of a megabyte.
    Every repetition is possessive, and starts only where a key can, to stay linear.
    """
    import re

    part = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
    dotted = rf"(?<![A-Za-z0-9_.-]){part}(?:[ \t]*+\.[ \t]*+{part}){{{most},}}+"
    found = re.search(dotted, text)
    return found.start() if found else -1


def _inspect(content: dict[str, Any]) -> None:
    """Raises MalformedError for what is nested deeper than MAX_DEPTH."""
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            inside = item.values() if isinstance(item, dict) else item
            below += [part for part in inside if isinstance(part, (dict, list))]
        if not below:
            return
        level = below
    raise BeyondLimitsError(_TOO_DEEP)
