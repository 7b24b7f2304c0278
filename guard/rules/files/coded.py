"""Keys with a known prefix that are not written as they are: in base64, in hex, with escapes.

A key in base64 may stand in what a whole file or a pair of user and password became, so its prefix
is looked for in each of the three ways in which base64 can cut it.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_left, bisect_right
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from guard.late import late
from guard.rules.files import prefixed
from guard.rules.files.prefixed import NEARBY, Literal, compiled, literals
from guard.rules.needles import Form, Needle
from guard.sources import escapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BEFORE = 120
"""Characters before a coded prefix that are decoded with it: what the key is called. They have to
be text, as a picture may hold anything."""

_WINDOW = 6144
"""Characters from a coded prefix on that are decoded: more than the longest key takes."""

_LONGEST = 20_000
"""Characters before a coded prefix in which what it is part of begins."""

_LETTERS = r"[A-Za-z0-9+/_-]"
_MORE = rf"(?:{_LETTERS}{{8}}|{_LETTERS}{{0,7}}[\\\r\n])"
"""What follows a prefix: some of a key, or the end of a line."""
_RUN = late(rf"{_LETTERS}++")
_HEX_RUN = late(r"[0-9A-Fa-f]++")

# between lines that are indented as YAML has it, that are not, that may be
_BREAKS = tuple(
    (late(rf"{_LETTERS}++(?P<more>(?:{between}{_LETTERS}++)*+)"), late(between))
    for between in (r"\r?\n[ \t]++", r"(?:\\[rn]|\r?\n)++", r"(?:\\[rn]|\r?\n)++[ \t]*+")
)

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
    hits = _hits(text, ((cut.exact, cut.regex(), cut.before) for cut in _cuts()))
    yield from _in_letters(_Letters(text, text), hits, _IN_BASE64)
    yield from _on_several_lines(text, hits)
    digits = _hits(text, ((digits, digits, 0) for digits in _in_hex()))
    yield from _in_letters(_Letters(text, text), digits, _AS_HEX)


def _hits(text: str, sought: Iterable[tuple[str, str, int]]) -> list[int]:
    """Where a group of letters begins with a prefix in it, in order. What is `sought` has a
    literal, a regex that begins with it, and how many letters of the group stand before it."""
    return sorted(
        match.start() - before
        for literal, regex, before in sought
        if literal in text
        for match in compiled(regex).finditer(text)
    )


def _escaped(text: str) -> Iterator[Literal]:
    plain = escapes.unescaped(text)
    if plain is None:
        return
    for found in prefixed.keys(plain.value):
        start, end = plain.place(found.start), plain.place(found.end)
        if end - start != found.end - found.start:
            yield found._replace(start=start, end=end, value=text[start:end])


class _Coding(NamedTuple):
    """How bytes are written: `size` of them as a group of `unit` of the `letters`, of which `run`
    matches as many as there are."""

    letters: str
    run: re.Pattern[str]
    unit: int
    size: int
    decode: Callable[[str], bytes]


class _Letters(NamedTuple):
    """Letters to decode, in `value`: a whole text, or the lines of it from `base` on without what
    is between them. `lines` tells where in `value` a line begins, and its place in `text`."""

    value: str
    text: str
    base: int = 0
    lines: tuple[list[int], list[int]] = ([], [])

    def line(self, at: int) -> int:
        """Where in `value` the line begins that holds the offset `at`."""
        number = bisect_right(self.lines[0], at)
        return self.lines[0][number - 1] if number else 0

    def place(self, at: int) -> int:
        """The offset in `text` of the letter at `at`."""
        number = bisect_right(self.lines[0], at)
        if not number:
            return self.base + at
        return self.lines[1][number - 1] + at - self.lines[0][number - 1]


def _on_several_lines(text: str, hits: list[int]) -> Iterator[Literal]:
    """The keys in what lines beside each other are put together to."""
    seen = set()
    for run, between in _BREAKS:
        end = 0
        for number, at in enumerate(hits):
            if at < end:
                continue
            begin = at - _letters_before(text, at, max(0, at - _LONGEST), _IN_BASE64)
            lines = run.match(text, begin)
            if lines is None:
                continue
            end = lines.end()
            if not lines["more"] or (begin, end) in seen:
                continue
            seen.add((begin, end))
            joined = _joined(text, begin, end, between)
            inside = hits[number : bisect_left(hits, end)]
            yield from _in_letters(joined, _moved(inside, joined), _IN_BASE64)


def _joined(text: str, begin: int, end: int, between: re.Pattern[str]) -> _Letters:
    parts: list[str] = []
    starts: list[int] = []
    places: list[int] = []
    at, length = begin, 0
    for found in between.finditer(text, begin, end):
        parts.append(text[at : found.start()])
        length += found.start() - at
        at = found.end()
        starts.append(length)
        places.append(at)
    parts.append(text[at:end])
    return _Letters("".join(parts), text, begin, (starts, places))


def _moved(hits: list[int], joined: _Letters) -> list[int]:
    """The places in `joined` of `hits` in its text, less those that stand between two lines."""
    moved = []
    starts, places = joined.lines
    for at in hits:
        number = bisect_right(places, at)
        here = at - joined.base if not number else starts[number - 1] + at - places[number - 1]
        if number == len(starts) or here < starts[number]:
            moved.append(here)
    return moved


def _in_letters(source: _Letters, hits: list[int], coding: _Coding) -> Iterator[Literal]:
    """The keys in groups of letters that begin at or behind one of `hits`, which ascend.

    However the groups may lie, what they stand for is decoded once, and looked through at once.
    """
    for lies in range(coding.unit):
        pieces = list(_pieces(source, hits, coding, lies))
        if not pieces:
            continue
        decoded = [coding.decode(source.value[a:b]).decode("latin-1") for a, b in pieces]
        starts = [0, *accumulate(len(plain) + 1 for plain in decoded)]
        end = 0
        whole = "\0".join(decoded)  # no key has that in it
        for found in sorted(prefixed.keys(whole, words=False), key=lambda key: key.start):
            number = bisect_right(starts, found.start) - 1
            first, _ = pieces[number]
            at = first + (found.start - starts[number]) // coding.size * coding.unit
            if at >= end and (key := _key_at(source, at, coding)) is not None:
                yield key[0]
                end = key[1]


def _pieces(
    source: _Letters, hits: list[int], coding: _Coding, lies: int
) -> Iterator[tuple[int, int]]:
    """What to decode (start, end) for those of `hits` at which groups begin that lie so: all from
    the first on; and each part that begins a line, as what ends the line before may be no part of
    its word."""
    end = 0
    parts: list[int] = []
    for at in hits:
        if at % coding.unit != lies:
            continue
        line = source.line(at)
        if at >= end:
            match = coding.run.match(source.value, at)
            end = match.end() if match else at
            before = _letters_before(source.value, at, max(line, at - _BEFORE), coding)
            yield at - before // coding.unit * coding.unit, end
        elif line == at:
            parts.append(at)
    yield from pairwise((*parts, end) if parts else ())


def _key_at(source: _Letters, at: int, coding: _Coding) -> tuple[Literal, int] | None:
    """The key that begins in the group at `at`, seen with what stands around it, which may tell
    whose it is; and where in `source` that ends which it is coded in."""
    value, unit = source.value, coding.unit
    before = _letters_before(value, at, max(source.line(at), at - _BEFORE), coding)
    lead = coding.decode(value[at - before // unit * unit : at])
    match = coding.run.match(value, at, at + _WINDOW)
    if match is None or not _is_text(lead):
        return None
    plain = (lead + coding.decode(match.group())).decode("utf-8", "replace")
    text, begin, end = source.text, source.place(at - before), source.place(match.end() - 1) + 1
    half = NEARBY // 2
    near = f"{plain}\n{text[max(0, begin - half) : begin]}\n{text[end : end + half]}"
    for found in prefixed.keys(near):
        if found.end <= len(plain):
            begin = at - _letters_before(value, at, max(source.line(at), at - _LONGEST), coding)
            whole = coding.run.match(value, at)
            last = whole.end() if whole is not None else match.end()
            begin, end = source.place(begin), source.place(last - 1) + 1
            return found._replace(start=begin, end=end, value=text[begin:end]), last
    return None


def _letters_before(text: str, at: int, start: int, coding: _Coding) -> int:
    """How many characters from `start` to `at`, right before `at`, are letters."""
    before = text[start:at]
    return len(before) - len(before.rstrip(coding.letters))


def _is_text(data: bytes) -> bool:
    """Whether `data`, which may begin or end within a character, is text."""
    text = data.lstrip(_CONTINUES)[:-3].decode("utf-8", "replace")
    return "\ufffd" not in text and _CONTROL.search(text) is None


_CONTROL = late(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_CONTINUES = bytes(range(0x80, 0xC0))


def from_base64(text: str) -> bytes:
    """What `text` says in base64, of either alphabet; b"" for what is none."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    if len(plain) % 4 == 1:
        plain = plain[:-1]  # less than a byte
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4))
    except ValueError:
        return b""


def _from_hex(text: str) -> bytes:
    return bytes.fromhex(text[: len(text) // 2 * 2])


_IN_BASE64 = _Coding(_BASE64 + "-_", _RUN, 4, 3, from_base64)
_AS_HEX = _Coding("0123456789abcdefABCDEF", _HEX_RUN, 2, 1, _from_hex)
