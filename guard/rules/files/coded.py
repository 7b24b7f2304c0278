"""Keys with a known prefix that are not written as they are: in base64, in hex, with escapes.

A key in base64 may stand in what a whole file or a pair of user and password became, so its prefix
is looked for in each of the three ways in which base64 can cut it.
"""

from __future__ import annotations

import base64
import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from guard.catalog.key_values import LONGEST
from guard.late import late
from guard.rules.files import prefixed
from guard.rules.files.prefixed import NEARBY, Literal, compiled, literals
from guard.rules.needles import Form, Needle
from guard.sources import escapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BEFORE = 120
"""Characters before a coded prefix that are decoded with it: what the key is called. They have to
be text, as a picture may hold anything."""

_WINDOW = 6144
"""Characters from a coded prefix on that are decoded: more than the longest key takes."""

_BYTES = {4: 3, 2: 1}
"""How many a group of so many letters stands for."""

_LONGEST = 20_000
"""Characters before a coded prefix in which what it is part of begins."""

# on one line, on several that are indented as YAML has it, on several that are not
_LETTERS = r"[A-Za-z0-9+/_-]"
_MORE = rf"(?:{_LETTERS}{{8}}|{_LETTERS}{{0,7}}[\\\r\n])"
"""What follows a prefix: some of a key, or the end of a line."""
_RUN = late(
    rf"{_LETTERS}++(?P<more>(?:\r?\n[ \t]++{_LETTERS}++)*+)"
    rf"(?P<plain>(?:(?:\\[rn]|\r?\n)++{_LETTERS}++)*+)={{0,2}}"
)
_HEX_RUN = late(r"[0-9A-Fa-f]++(?P<more>)(?P<plain>)")
_BREAK = late(r"\s+|\\[rn]")
_LETTERS_OF_BASE64 = frozenset(_BASE64 + "-_")
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")

ACCOUNT_BEGINS = ("ewogICJ0eXBlIjog", "eyJ0eXBlIjogIn", "eyJ0eXBlIjoi")
"""How the JSON of a service account begins in base64: as Google writes it, and on one line."""


class _Cut(NamedTuple):
    """How a prefix stands in base64 behind so many bytes of its group of three.

    `exact` is what is there in any case, `before` the number of letters of the group in front of
    that; `first` and `last` are the letters of which one stands before and behind it, "" where
    they hold nothing of the prefix.
    """

    exact: str
    before: int
    first: str
    last: str

    def form(self) -> str:
        """What is there at least, for Hyperscan."""
        first = f"[{self.first}]" if self.first else ""
        return f"{first}{self.exact}{self._last()}{_MORE}"

    def regex(self) -> str:
        """The same for `re`, which finds a literal at the beginning sooner."""
        behind = f"(?<=[{self.first}]{self.exact})" if self.first else ""
        return f"{self.exact}{behind}{self._last()}{_MORE}"

    def _last(self) -> str:
        return f"[{self.last}]" if self.last else ""


@cache
def _cuts() -> tuple[_Cut, ...]:
    found = []
    for literal in literals():
        for lead in range(3):
            coded = base64.b64encode(b"\0" * lead + literal.encode()).decode()
            whole, more = divmod(8 * (lead + len(literal)), 6)
            before = -(-8 * lead // 6)
            first = last = ""
            if lead:
                # the low bits of this letter are the prefix's
                step = 1 << (6 * before - 8 * lead)
                first = _BASE64[_BASE64.index(coded[before - 1]) % step :: step]
            if more:
                # the high bits of this one; the others are zeros here
                number = _BASE64.index(coded[whole])
                last = _BASE64[number : number + (1 << (6 - more))].replace("+/", "+/_-")
            found.append(_Cut(coded[before:whole], before, first, last))
    return tuple(found)


@cache
def _in_hex() -> tuple[str, ...]:
    """The prefixes in hex, in lower case and in upper case."""
    plain = [literal.encode().hex() for literal in literals()]
    return tuple(dict.fromkeys((*plain, *(digits.upper() for digits in plain))))


@cache
def needles() -> tuple[Needle, ...]:
    """What files with a key hold that is found here."""
    # Python's search ends at the first that it finds, and few texts are without one of these
    starts = (Form(start, form) for start in escapes.STARTS for form in escapes.FORMS)
    return (
        *starts,
        *(Form(cut.exact.lower().encode(), cut.form().encode()) for cut in _cuts()),
        *(Form(n.lower().encode(), n.encode() + rb"[0-9A-Fa-f]{34}") for n in _in_hex()),
        *escapes.OTHERS,
    )


class _Coded:
    """What the search leads to by the needles of coded keys alone."""

    @property
    def needles(self) -> tuple[Needle, ...]:
        """Those of this module."""
        return needles()


GROUP = _Coded()


@cache
def base64_begins() -> tuple[bytes, ...]:
    """How base64 of a known prefix begins, to look for."""
    cuts = (cut.exact for cut in _cuts() if not cut.before)
    return tuple(begin.encode() for begin in (*cuts, *ACCOUNT_BEGINS))


def keys(text: str) -> Iterator[Literal]:
    """The keys in `text` that are coded, each at all of the text that it is coded with."""
    yield from _escaped(text)
    for cut in _cuts():
        if cut.exact in text:
            starts = (m.start() - cut.before for m in compiled(cut.regex()).finditer(text))
            yield from _coded(text, starts, 4, _LETTERS_OF_BASE64, _RUN, from_base64)
    for digits in _in_hex():
        if digits in text:
            starts = (m.start() for m in compiled(digits).finditer(text))
            yield from _coded(text, starts, 2, _HEX_DIGITS, _HEX_RUN, _from_hex)


def _escaped(text: str) -> Iterator[Literal]:
    plain = escapes.unescaped(text)
    if plain is None:
        return
    for found in prefixed.keys(plain.value):
        start, end = plain.place(found.start), plain.place(found.end)
        if end - start != found.end - found.start:
            yield found._replace(start=start, end=end, value=text[start:end])


def _coded(
    text: str,
    starts: Iterator[int],
    unit: int,
    letters: frozenset[str],
    run: re.Pattern[str],
    decode: Callable[[str], bytes],
) -> Iterator[Literal]:
    """The keys that begin in the groups of `unit` letters at `starts`, which ascend."""
    # by how the groups lie, up to where it was seen that no other key is found
    none_up_to = [0] * unit
    for at in starts:
        if at >= none_up_to[at % unit]:
            key, end = _decoded(text, at, unit, letters, run, decode)
            if key is not None:
                yield key
            none_up_to[at % unit] = end


def _decoded(
    text: str,
    at: int,
    unit: int,
    letters: frozenset[str],
    run: re.Pattern[str],
    decode: Callable[[str], bytes],
) -> tuple[Literal | None, int]:
    """The key that begins in the group of `unit` letters at `at`, in what is coded around it; and
    up to where there is no other in the groups behind that."""
    around = text[max(0, at - _BEFORE) : at]
    begin = at - _trailing(around, letters)
    before = decode(text[at - (at - begin) // unit * unit : at])
    match = run.match(text, at, at + _WINDOW)
    if match is None or not _is_text(before):
        return None, 0
    half = NEARBY // 2
    for end in dict.fromkeys((match.start("more"), match.start("plain"), match.end())):
        plain = (before + decode(_BREAK.sub("", text[at:end]))).decode("utf-8", "replace")
        # what stands around it may tell whose it is
        near = f"{plain}\n{text[max(0, begin - half) : begin]}\n{text[end : end + half]}"
        for found in prefixed.keys(near):
            if found.end <= len(plain):
                begin = at - _trailing(text[max(0, at - _LONGEST) : at], letters)
                whole = run.match(text, at)
                end = whole.end() if whole is not None and end == match.end() else end
                return found._replace(start=begin, end=end, value=text[begin:end]), end
    return None, min(match.start("more"), at + _WINDOW - unit * LONGEST // _BYTES[unit])


def _trailing(text: str, letters: frozenset[str]) -> int:
    """How many characters at the end of `text` are `letters`."""
    at = len(text)
    while at and text[at - 1] in letters:
        at -= 1
    return len(text) - at


def _is_text(data: bytes) -> bool:
    """Whether `data`, which may begin or end within a character, is text."""
    text = data.lstrip(_CONTINUES)[:-3].decode("utf-8", "replace")
    return "\ufffd" not in text and _CONTROL.search(text) is None


_CONTROL = late(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_CONTINUES = bytes(range(0x80, 0xC0))


def from_base64(text: str) -> bytes:
    """What `text` says in base64, of either alphabet; b"" for what is none."""
    plain = text.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _from_hex(text: str) -> bytes:
    return bytes.fromhex(text[: len(text) // 2 * 2])
