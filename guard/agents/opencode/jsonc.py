"""Reads JSON with comments and trailing commas, as opencode's config files may have them.

opencode parses its config with the `jsonc-parser` package after it has replaced `{env:NAME}` and
`{file:path}` in the raw text (run on 1.18.33). Only what a strict reader can make sense of is
accepted here: a file that we cannot read but opencode can is refused by the caller, so being
stricter is safe and being more tolerant would not be.

Hot-path module; `json` is imported on first use.
"""

from __future__ import annotations

from guard.files.read import MAX_BYTES as MAX_BYTES
from guard.files.read import UnreadableError as UnreadableError
from guard.files.read import read_bytes as read_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_DEPTH = 64


def read(path: str) -> dict[str, Any] | None:
    """The object in the config file at `path`; None if there is no such file or it is blank.

    Raises UnreadableError.
    """
    raw = read_bytes(path)
    if raw is None:
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableError("is not UTF-8") from None
    if not text.strip():
        return None
    return parse(text)


def parse(text: str) -> dict[str, Any]:
    """The object that `text` holds. Raises UnreadableError, with a line number if there is one."""
    import json

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            # which of the two wins is the other parser's choice, not ours
            raise UnreadableError("names a key twice")
        return found

    try:
        value = json.loads(plain(text), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise UnreadableError(f"is not valid JSON at line {error.lineno}") from None
    except RecursionError:
        raise UnreadableError("is nested too deeply") from None
    except ValueError:
        # Python reads no number of more than 4300 digits
        raise UnreadableError("holds a number that is too long") from None
    if not isinstance(value, dict):
        raise UnreadableError("is not a JSON object")
    if _deeper_than(value, _MAX_DEPTH):
        raise UnreadableError("is nested too deeply")
    return value


def plain(text: str) -> str:
    """`text` with comments blanked and trailing commas removed; lines stay where they were."""
    if "/" not in text and not _may_trail(text):
        return text
    out: list[str] = []
    at, end = 0, len(text)
    comma = -1
    while at < end:
        char = text[at]
        if char == '"':
            stop = at + 1
            while stop < end and text[stop] != '"':
                stop += 2 if text[stop] == "\\" else 1
            out.append(text[at : stop + 1])
            at = stop + 1
            comma = -1
        elif text.startswith("//", at):
            stop = at
            while stop < end and text[stop] not in "\r\n":
                stop += 1
            at = stop
        elif text.startswith("/*", at):
            stop = text.find("*/", at + 2)
            if stop < 0:
                raise UnreadableError("has a comment without an end")
            out.append("\n" * text.count("\n", at, stop))
            at = stop + 2
        else:
            if char == ",":
                comma = len(out)
            elif char in "]}" and comma >= 0:
                out[comma] = ""
                comma = -1
            elif not char.isspace():
                comma = -1
            out.append(char)
            at += 1
    return "".join(out)


def _may_trail(text: str) -> bool:
    squeezed = "".join(text.split())
    return ",}" in squeezed or ",]" in squeezed


def _deeper_than(value: object, limit: int) -> bool:
    level = [value]
    while level:
        if limit == 0:
            return True
        limit -= 1
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level = [item for item in below if isinstance(item, (dict, list))]
    return False
