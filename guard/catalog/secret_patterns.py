"""What provider keys look like, from secrets.toml. Cold path: only `check` reads it."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from guard.catalog import entries


class PrefixedKey(NamedTuple):
    """A key that begins in its own way.

    `prefix` is exact, `charset` the inside of a regex class, `body` a regex for all that follows
    the prefix, `entropy` the least entropy of that in bits per character. With `words`, one of
    them (lower case) has to stand nearby.
    """

    owner: str
    prefix: str
    charset: str
    body: str
    entropy: float
    words: tuple[str, ...]
    source: str
    sure: str


class NamedKey(NamedTuple):
    """A key without a form of its own, recognised by one of `words` (lower case) in its name."""

    owner: str
    words: tuple[str, ...]
    value: str
    entropy: float
    source: str
    sure: str


class SecretPatterns(NamedTuple):
    """All of them, the lower-case words of placeholders, and the examples of vendors' pages."""

    prefixed: tuple[PrefixedKey, ...]
    named: tuple[NamedKey, ...]
    placeholders: tuple[str, ...]
    documented: frozenset[str]


@cache
def secret_patterns() -> SecretPatterns:
    """The patterns in the order of the file, longer prefixes first."""
    content = entries.data("secrets.toml")
    rows = [{**entry, "words": tuple(entry["words"])} for entry in content["key"]]
    named = [{**entry, "words": tuple(entry["words"])} for entry in content["named"]]
    prefixed = [PrefixedKey(**row) for row in rows]
    return SecretPatterns(
        prefixed=tuple(sorted(prefixed, key=lambda pattern: -len(pattern.prefix))),
        named=tuple(NamedKey(**row) for row in named),
        placeholders=tuple(content["placeholder"]["words"]),
        documented=frozenset(content["placeholder"]["documented"]),
    )
