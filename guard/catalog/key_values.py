"""Whether a value is a key, drawn at random, or only stands for one: the one answer.

Cold path: `check` asks it of every value that a file or an environment names a key. The words and
the documented examples are those of secrets.toml.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from math import log2

from guard.catalog.secret_patterns import secret_patterns
from guard.late import late

LONGEST = 2200
"""Characters of the longest key of any vendor."""

_PLAIN = frozenset(
    (
        "test", "none", "null", "nil", "empty", "unused", "local", "ollama", "lm-studio",
        "lmstudio", "not-needed", "no-key", "no-key-required", "nokey", "na", "n/a", "undefined",
        "false", "true", "fixme", "xxx", "changeit", "key", "foo", "bar", "baz", "foobar",
        "secret", "mock", "stub", "sk-", "anything", "noop", "required", "optional", "placeholder",
        "dummy", "fake", "example", "abc", "abc123", "token", "string", "value",
    )
)  # fmt: skip

_WORDLIKE = late(r"[a-z]{2,}\d{0,2}|[A-Z][a-z]+|[A-Z]{2,}|\d{0,4}|[a-zA-Z]")
_SEPARATORS = late(r"[-_./:+=\s]+")
_PIECE = late(r"[^-_./:+=\s\0]+")
_REPEATED = late(r"(.{1,12}?)\1{2,}", re.DOTALL)

_PHRASE = late(
    r"(?:[a-z]{1,15}[-_ ]){0,12}(?:key|token|here)(?:[-_ ][a-z]{1,15}){0,12}(?:[-_ ]?\d{1,2})?",
    re.IGNORECASE,
)
"""Words, one of which says what the value is: `some-key`, `put_token_here`."""

_FEW = 12
"""Characters of no pattern from which a value may be a key, whatever else is in it."""

_SHORTEST = 20
_ENTROPY = 3.0
"""Bits per character that a key has at least: random hex of 32 digits has about 3.6."""


def entropy(text: str) -> float:
    """The Shannon entropy of `text` in bits per character."""
    if not text:
        return 0.0
    size = len(text)
    return -sum(n / size * log2(n / size) for n in Counter(text).values())


def is_random(value: str, least: float) -> bool:
    """Whether `value` looks drawn at random: entropy, no words, no pattern.

    `least` is in bits per character; a text of n characters has no more than log2(n).
    """
    if entropy(value) < min(least, 0.8 * log2(len(value) or 1)):
        return False
    return not all(_WORDLIKE.fullmatch(part) for part in _SEPARATORS.split(value))


def is_drawn(value: str) -> bool:
    """Whether `value` is a key that somebody was given: long, random, no placeholder."""
    return (
        len(value) >= _SHORTEST
        and is_random(without_prefix(value), _ENTROPY)
        and not is_placeholder(value)
    )


def is_placeholder(value: str) -> bool:
    """Whether `value` only stands for a key: empty, a word, a form, a drawing, a row of characters.

    A word such as `example` makes a placeholder only of what it stands in if that is not random
    itself: what is left without words, rows (`1234`, `abc123def456`, `1a2b3c`) and repetitions has
    to be short. So a key that happens to hold such a word is a key.
    """
    value = value.strip()
    lower = value.lower()
    if len(value) < 3 or lower in _PLAIN or value in secret_patterns().documented:
        return True
    if len(value) > LONGEST:
        return False
    if value[0] in "<[{*.#" or "..." in value or "…" in value or "***" in value:
        return True
    body = without_prefix(value)
    if body.lower() in _PLAIN or not body:
        return True
    if _PHRASE.fullmatch(body):
        return True
    left = list(body)
    for start, end in _explained(body):
        left[start:end] = "\0" * (end - start)
    explained = left.count("\0")
    pieces = _PIECE.findall("".join(left))
    unexplained = sum(len(piece) for piece in pieces if not _WORDLIKE.fullmatch(piece))
    return unexplained < _FEW and unexplained <= explained and explained > 0


def without_prefix(value: str) -> str:
    """`value` without the vendor's prefix, if it begins with one."""
    for pattern in secret_patterns().prefixed:
        if value.startswith(pattern.prefix):
            return value[len(pattern.prefix) :]
    return value


def _explained(body: str) -> list[tuple[int, int]]:
    """Where words of placeholders, rows of characters and repetitions stand in `body`."""
    found = [match.span() for match in _words().finditer(body)]
    found += [match.span() for match in _REPEATED.finditer(body) if len(match.group()) >= 4]
    return found + _rows(body)


def _rows(body: str) -> list[tuple[int, int]]:
    """Rows such as `abcd`, `4321`, `abc123def456` and `1a2b3c4d`."""
    found = []
    threes: list[tuple[int, int]] = []
    for start, end in _steps(body, 1, least=3):
        if threes and start <= threes[-1][1]:
            threes[-1] = (threes[-1][0], max(end, threes[-1][1]))
        else:
            threes.append((start, end))
        if end - start >= 4:
            found.append((start, end))
    found += [(start, end) for start, end in threes if end - start >= 6 or len(body) <= _FEW]
    return found + _steps(body, 2, least=8)


def _steps(body: str, stride: int, *, least: int) -> list[tuple[int, int]]:
    """Stretches in which each character follows, or precedes, the one `stride` before it."""
    found = []
    for step in (1, -1):
        start = 0
        for at in range(stride, len(body) + 1):
            if (
                at < len(body)
                and body[at].isalnum()
                and ord(body[at]) - ord(body[at - stride]) == step
            ):
                continue
            if at - start >= least:
                found.append((start, at))
            start = at - stride + 1
    return sorted(found)


@cache
def _words() -> re.Pattern[str]:
    """Finds a word of placeholders, in one case throughout or with a capital.

    A short word also has to begin or end where a word can.
    """
    parts = []
    for word in sorted(secret_patterns().placeholders, key=lambda word: -len(word)):
        for spelled in dict.fromkeys((word, word.upper(), word.capitalize())):
            escaped = re.escape(spelled)
            if len(word) > 5:
                parts.append(escaped)
            else:
                parts.append(rf"(?<![A-Za-z0-9]){escaped}|{escaped}(?![A-Za-z0-9])")
    return re.compile("|".join(parts))
