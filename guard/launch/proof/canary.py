"""Canaries: random values that stand in for keys, and the search for them in what was left behind.

A canary opens nothing anywhere, so it may be printed; that it is found outside its place is what
counts.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DIRECT_KEYS = ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY")
"""The variables by which developers most often reach a model provider directly."""

_CHUNK = 1 << 20


def plant(names: tuple[str, ...] = DIRECT_KEYS) -> dict[str, str]:
    """A fresh canary for each of `names`: letters and digits only, 40 long."""
    return {name: f"canary{secrets.token_hex(17)}" for name in names}


def forms(value: str) -> tuple[bytes, ...]:
    """The ways `value` may be written: plain, reversed, UTF-16, hex, base64 in any alignment."""
    plain = value.encode()
    written = {plain, plain[::-1], value.encode("utf-16-le"), plain.hex().encode()}
    written.add(plain.hex().upper().encode())
    for before in range(3):
        # six bits to a character: what a neighbouring byte has a share in is cut off
        code = base64.b64encode(b"\0" * before + plain)
        first, last = (before * 8 + 5) // 6, (before + len(plain)) * 8 // 6
        written.add(code[first:last])
    return tuple(sorted(written))


class CanarySearch:
    """Looks for canaries, by name, in bytes and in files."""

    def __init__(self, canaries: Mapping[str, str]) -> None:
        self._forms = [(name, form) for name, value in canaries.items() for form in forms(value)]
        self._overlap = max((len(form) for _, form in self._forms), default=1) - 1

    def found(self, data: bytes) -> set[str]:
        """The names of the canaries that `data` holds in any form."""
        return {name for name, form in self._forms if form in data}

    def found_under(self, root: str) -> Iterator[tuple[str, str]]:
        """(name, path) for each canary in the content or the name of a file under `root`.

        Symbolic links are not followed. A file that cannot be read is an OSError: a search that
        skips a file proves nothing about it. What is gone when it is looked into holds nothing.
        """

        def fail(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError) or error.filename == root:
                raise error

        for folder, folders, files in os.walk(root, onerror=fail):
            for entry in (*folders, *files):
                path = os.path.join(folder, entry)
                names = self.found(os.fsencode(entry))
                with contextlib.suppress(FileNotFoundError):
                    if os.path.islink(path):
                        names |= self.found(os.fsencode(os.readlink(path)))
                    elif os.path.isfile(path):
                        names |= self._found_in(path)
                yield from ((name, path) for name in sorted(names))

    def _found_in(self, path: str) -> set[str]:
        names: set[str] = set()
        tail = b""
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                names |= self.found(tail + chunk)
                tail = chunk[-self._overlap :] if self._overlap else b""
        return names
