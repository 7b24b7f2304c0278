"""Escapes: every spelling of every character of a key, and of no other character."""

from __future__ import annotations

import pytest

from guard.sources.escapes import KEY, unescaped

SPELLINGS = ("\\x{:02x}", "\\x{:02X}", "\\u{:04x}", "\\U{:08x}", "\\{:03o}", "\\0000{:02x} ")
SPELLINGS += ("%{:02x}", "%25{:02X}", "&#{:d};", "&#x{:x};")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_escape_of_a_character_of_keys_is_read_and_no_other(spelling: str) -> None:
    for number in range(0x100):
        found = unescaped(f"(({spelling.format(number)}))")
        if chr(number) in KEY:
            assert found is not None
            assert found.value == f"(({chr(number)}))"
        else:
            assert found is None or chr(number) not in found.value
