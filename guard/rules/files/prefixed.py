"""Keys that begin in their vendor's own way, in any text: by their form, whole or in parts.

The text is searched for the prefixes first, at the speed of C; only where one stands does a regex
look. No regex here has two ways to match the same text, so a hostile line costs linear time.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from guard.catalog.key_values import LONGEST, is_placeholder, is_random
from guard.catalog.secret_patterns import PrefixedKey, secret_patterns
from guard.late import late
from guard.rules.needles import Form

if TYPE_CHECKING:
    from collections.abc import Iterator

NEARBY = 300
"""Characters before and after an ambiguous key in which one of its words has to stand."""

SHORTEST = 20
"""Characters of the shortest key."""

# `sha256=` in a wheel's RECORD, `sha512-` in a lock file: a digest that begins like a key
_DIGEST = late(r"sha\d{1,3}[=:-]\Z", re.IGNORECASE)

# between the parts of a text that stand beside each other or are put together: "a" "b", 'a' + 'b',
# "a".concat("b"), ["a", "b"].join(""), a"b" and a line that goes on in the next
_QUOTE = r"(?:[fFrRbBuU@$]{0,2}[\"'`])"
_BLANK = r"(?:[ \t\r\n\\_]{1,100}+|(?://|#)[^\r\n]{0,100}+){0,8}+"
_OPERATORS = r"\+\+?|\.\.|\.concat\(|\.|&|~|<>|\|\||\^|\*|//"
_BESIDE = rf"{_BLANK}{_QUOTE}|[\"'](?=[A-Za-z0-9])|\\\r?\n[ \t]{{0,40}}+"
JOINT = late(rf"[\"'`]{_BLANK}(?:{_OPERATORS})?{_BESIDE}")
# in a list a comma joins only where the list is put together
_COMMA = late(rf"[\"'`]{_BLANK},{_BLANK}{_QUOTE}")
_JOINED_BEFORE = late(r"(?:join|paste0|concat|cat)\(\s{0,3}[\[(]?\s{0,3}[rbuf]?[\"'`]\Z")
_JOINED_BEHIND = late(r"[\"'`]\s{0,3},?\s{0,3}\]\s{0,3}\.join\(")
_MOST_JOINTS = 20
_ENDS_A_PART = ('"', "'", "`", "\\")
"""What `JOINT` and `_COMMA` begin with."""

_ESCAPES = (
    # in a string, in a URL, and what colours a terminal: \n, \x27, \u0027, %3D, ESC [ 0 ; 32 m
    *(r"\\[nrt]", r"\\x[0-9A-Fa-f]{2}", r"\\u[0-9A-Fa-f]{4}", r"%[0-9A-Fa-f]{2}"),
    *(r"\[m", r"[\[;][0-9]m", r"[\[;][0-9]{2}m", r"[\[;][0-9]{3}m"),
)
"""What may stand right before a key though it ends in a letter or a digit."""


class Literal(NamedTuple):
    """A key that was found: where it stands, whose it is, the variable that holds it, itself.

    A `placeholder` only stands for one.
    """

    start: int
    end: int
    owner: str
    name: str
    value: str
    placeholder: bool = False


class _Scan(NamedTuple):
    """What begins with `literal`: the regex for what may be a key or the first part of one, that
    for another part, and the patterns that it may be."""

    literal: str
    start: re.Pattern[str]
    part: re.Pattern[str]
    patterns: tuple[PrefixedKey, ...]


@cache
def _scans() -> tuple[_Scan, ...]:
    """One for each literal. A prefix that begins with another is found with it: `sk-ant-` with
    `sk-`."""
    patterns = secret_patterns().prefixed
    literals = sorted({p.prefix for p in patterns}, key=len)
    shortest = [
        literal
        for literal in literals
        if not any(literal != other and literal.startswith(other) for other in literals)
    ]
    scans = []
    for literal in shortest:
        group = tuple(p for p in patterns if p.prefix.startswith(literal))
        charset = "".join(dict.fromkeys(p.charset for p in group))
        escaped = re.escape(literal)
        # behind the literal, so that it stays a literal prefix: not inside a word, unless the
        # word is the end of an escape
        escapes = "|".join(rf"(?<={escape}{escaped})" for escape in _ESCAPES)
        start = rf"{escaped}(?:(?<![A-Za-z0-9_]{escaped})|{escapes})"
        # as long as a key, or up to what ends a text that may go on in another one
        rest = rf"(?:[{charset}]{{{SHORTEST - len(literal)},}}+|[{charset}]*+(?=[\"'`\\]))"
        scans.append(_Scan(literal, late(start + rest), late(rf"[{charset}]*+"), group))
    return tuple(scans)


@cache
def literals() -> tuple[str, ...]:
    """What the text of every key begins with."""
    return tuple(scan.literal for scan in _scans())


@cache
def needles() -> tuple[Form, ...]:
    """What a file with a key holds: as many characters as one has, or fewer up to the end of a
    text or line that goes on elsewhere (`JOINT`, `_COMMA`)."""
    forms = []
    for scan in _scans():
        charset = "".join(dict.fromkeys(pattern.charset for pattern in scan.patterns))
        rest = SHORTEST - len(scan.literal)
        escaped = re.escape(scan.literal)
        form = rf"{escaped}(?:[{charset}]{{{rest}}}|[{charset}]{{0,{rest}}}[\"'`\\])"
        forms.append(Form(scan.literal.lower().encode(), form.encode()))
    return tuple(forms)


@cache
def compiled(regex: str) -> re.Pattern[str]:
    """`regex`, compiled once."""
    return re.compile(regex)


def lowered(text: str) -> str:
    """`text` in lower case with every offset kept: only U+0130 grows when lowered."""
    return text.replace("\u0130", "I").lower()


def keys(text: str, lower: str = "", *, words: bool = True) -> Iterator[Literal]:
    """The keys in `text`, which `lower` holds in lower case.

    Without `words` an ambiguous form needs none of its words nearby.
    """
    for literal, scan, part, patterns in _scans():
        if literal not in text:
            continue
        for match in scan.finditer(text):
            start, end = match.span()
            candidate, pattern = _fitting(match.group(), patterns)
            if pattern is not None:
                end = start + len(candidate)
            elif text[end : end + 1] not in _ENDS_A_PART:
                continue
            else:
                whole, end = with_parts(text, match.group(), match.end(), part, JOINT)
                if whole == match.group():
                    whole, end = with_parts(text, whole, end, part, _COMMA)
                    if not (
                        _JOINED_BEFORE.search(text, max(0, start - 20), start)
                        or _JOINED_BEHIND.match(text, end)
                    ):
                        continue
                candidate, pattern = _fitting(whole, patterns)
            if pattern is None:
                continue
            body = candidate[len(pattern.prefix) :]
            placeholder = is_placeholder(candidate)
            if not placeholder and not is_random(body, pattern.entropy):
                continue
            if pattern.words and words:
                lower = lower or lowered(text)
                if not _near(lower, start, end, pattern.words):
                    continue
            if _DIGEST.search(text, max(0, start - 10), start):
                continue
            yield Literal(start, end, pattern.owner, "", candidate, placeholder)


def _fitting(token: str, patterns: tuple[PrefixedKey, ...]) -> tuple[str, PrefixedKey | None]:
    """The part of `token` that is a key by its form, and the pattern that says so."""
    if SHORTEST <= len(token) <= LONGEST:
        for candidate in dict.fromkeys((token, token.rstrip("-_"))):
            pattern = _matching(candidate, patterns)
            if pattern is not None:
                return candidate, pattern
    return token, None


def _matching(token: str, patterns: tuple[PrefixedKey, ...]) -> PrefixedKey | None:
    for pattern in patterns:
        body = len(pattern.prefix)
        if token.startswith(pattern.prefix) and compiled(pattern.body).fullmatch(token, body):
            return pattern
    return None


def with_parts(
    text: str, first: str, end: int, part: re.Pattern[str], between: re.Pattern[str]
) -> tuple[str, int]:
    """The text that begins with `first`, up to `end`, and goes on in literals beside it.

    `part` matches what one of those may hold, `between` what joins two of them. The end is that of
    the last one.
    """
    parts = [first]
    for _ in range(_MOST_JOINTS):
        joint = between.match(text, end)
        found = part.match(text, joint.end()) if joint is not None else None
        if found is None or not found.group():
            break
        parts.append(found.group())
        end = found.end()
    return "".join(parts), end


def _near(lower: str, start: int, end: int, words: tuple[str, ...]) -> bool:
    before = lower[max(0, start - NEARBY) : start]
    after = lower[end : end + NEARBY]
    return any(word in before or word in after for word in words)
