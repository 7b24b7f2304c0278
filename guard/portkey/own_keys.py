"""The person's own keys in what a gateway answers: replaced before anything is kept or shown.

A gateway that says which key it was asked with would otherwise have it printed, and kept in the
cache of the account. The forms looked for are those that gateways and their errors write: plain, a
part of it, in another letter case, percent-encoded, escaped as in JSON or HTML, base64, and
hexadecimal.
"""

from __future__ import annotations

import html
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote

REMOVED: Final = "****"

_PART = 12
"""Characters of a key by which a part of it is recognised; Portkey's own mask shows five."""

_SHORT = 8
"""Characters that a key has at least: shorter words are in every text."""

_VARIED = 5
"""Different characters that such a part has at least: twelve zeros are in every identifier."""

_ROUNDS = 3
"""How often a text may be encoded: JSON in JSON in a URL."""

_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\([\"\\/])")


class OwnKeys:
    """Finds `keys` in texts. Holds them in memory only."""

    def __init__(self, keys: Iterable[str]) -> None:
        parts: dict[str, None] = {}
        for key in keys:
            for form in _forms(key.strip()):
                parts[form] = None
                for start in range(len(form) - _PART + 1):
                    part = form[start : start + _PART]
                    if len(set(part)) >= _VARIED:
                        parts[part] = None
        self._parts = tuple(part for part in parts if len(part) >= _SHORT)

    def __repr__(self) -> str:
        return "OwnKeys()"

    def are_in(self, text: str) -> bool:
        """Whether one of them is in `text`, in whatever form."""
        for _ in range(_ROUNDS):
            lower = text.lower()
            if any(part in lower for part in self._parts):
                return True
            decoded = _decoded(text)
            if decoded == text:
                return False
            text = decoded
        lower = text.lower()
        return any(part in lower for part in self._parts)

    def without(self, text: str) -> str:
        """`text` with REMOVED for every one of them."""
        if not self.are_in(text):
            return text
        lower = text.lower()
        if len(lower) != len(text):
            return REMOVED
        hidden = bytearray(len(text))
        for part in self._parts:
            at = lower.find(part)
            while at >= 0:
                hidden[at : at + len(part)] = b"\1" * len(part)
                at = lower.find(part, at + 1)
        out = []
        for at, char in enumerate(text):
            if not hidden[at]:
                out.append(char)
            elif not at or not hidden[at - 1]:
                out.append(REMOVED)
        rest = "".join(out)
        # what is left is encoded: where in the text it stands is not worth finding out
        return REMOVED if self.are_in(rest) else rest

    def without_all(self, value: Any) -> Any:
        """`value` of parsed JSON with REMOVED for every one of them, in names of fields, too."""
        if isinstance(value, str):
            return self.without(value)
        if isinstance(value, list):
            return [self.without_all(item) for item in value]
        if isinstance(value, dict):
            return {self.without(key): self.without_all(item) for key, item in value.items()}
        return value


def _decoded(text: str) -> str:
    if "\\" in text:
        text = _ESCAPED.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[2], text)
    if "&" in text:
        text = html.unescape(text)
    return unquote(text) if "%" in text else text


def _forms(key: str) -> Iterable[str]:
    """`key` as it may stand in a text, in lower case."""
    if not key:
        return
    raw = key.encode("utf-8", "replace")
    yield key.lower()
    yield raw.hex()
    for offset in range(3):
        # where the key stands in what was encoded decides which characters it has
        encoded = b64encode(b"\0" * offset + raw).decode().rstrip("=")
        core = encoded[(0, 2, 3)[offset] : len(encoded) - 1].lower()
        yield core
        yield core.replace("+", "-").replace("/", "_")
