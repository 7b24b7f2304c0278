"""Text with escapes read as the characters that they stand for, and the way back to its places.

Only characters that a key is made of are read, in every spelling that some reader takes off: those
of strings in code and in JSON, of HTML and XML, of URLs, of Markdown. What is written between
characters and never seen (a zero-width space, a soft hyphen) is left out.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cache
from typing import NamedTuple

KEY = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/="
"""The characters of keys."""

# their numbers, as ranges: an alternative for each would take longer to compile than a check does
_HEX = "2[bdf]|3[0-9d]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9a]"
_DEC = "4[35789]|5[0-7]|6[15-9]|[78][0-9]|9[05789]|1[01][0-9]|12[0-2]"
_SHORT_OCT = "5[357]|6[0-7]|7[015]"
_OCT = f"0(?:{_SHORT_OCT})|1(?:[04][1-7]|[1256][0-7]|3[0-27]|7[0-2])"

_NAMES = {"lowbar": "_", "underbar": "_", "plus": "+", "sol": "/", "equals": "="}
_UNICODE_NAMES = {"hyphen-minus": "-", "low line": "_"}

# zero-width and soft characters: U+00AD, U+200B to U+200F, U+202A to U+202E, U+2060 to U+2064,
# U+FEFF
_UNSEEN = (0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), 0xFEFF)
_UNSEEN_HEX = "00ad|200[b-f]|202[a-e]|206[0-4]|feff"
_UNSEEN_NAMES = "(?:shy|zwn?j|zerowidthspace|nobreak|[lr]rm)"


@cache
def _escapes() -> re.Pattern[str]:
    """Every escape. A set comes first, which `re` looks for quickly, and what it is decides.

    The groups say which character it is.
    """
    unseen = "".join(map(chr, _UNSEEN))
    return re.compile(
        rf"[\\&%<{unseen}](?i:"
        r"(?<=\\)(?<!\\\\)\\{0,7}(?:"
        rf"(?:u00|u0{{6}}|x|[ux]\{{0{{0,6}})(?P<hex>{_HEX})\}}?"
        rf"|u(?:\{{|0000)?(?:{_UNSEEN_HEX})\}}?"
        rf"|0000(?P<css>{_HEX}) ?"
        rf"|0?(?P<oct>{_OCT})|(?P<few>{_SHORT_OCT})(?![0-7])"
        rf"|N\{{(?P<name>{'|'.join(_UNICODE_NAMES)})\}}"
        rf"|(?P<plain>[-_+/=]))"
        rf"|(?<=%)(?:25)*(?P<pct>{_HEX})"
        rf"|(?<=&)(?:#(?:0{{0,5}}(?P<dec>{_DEC})(?![0-9]);?"
        rf"|x0{{0,5}}(?P<ent>{_HEX})(?![0-9a-f]);?"
        rf"|(?:173|820[3-7]|x(?:{_UNSEEN_HEX}));)|(?P<html>{'|'.join(_NAMES)});|{_UNSEEN_NAMES};)"
        rf"|(?<=<)wbr ?/?>|(?<=[{unseen}]))"
    )


_BEGIN = (
    rb"(?:\\{1,8}[ux0-7_+/=-]|&(?:#[0-9x]|lowb|underb|plus|sol;|equals|shy|zw|zero|nobr|[lr]rm)"
    rb"|%(?:2[5bdf]|[3-7])|<wbr|\xc2\xad|\xe2[\x80\x81]|\xef\xbb\xbf)"
)
_WORD = rb"[a-z0-9_+/=\\&#;%{}<>\x80-\xff-]{6}"
FORMS = (_BEGIN + _WORD, rb"[a-z0-9_-]{2}" + _BEGIN)
"""One of these is in the bytes of a text in which an escape stands in a word: regexes for `re` and
Hyperscan, letters in any case. They are rough, and the second is short, so that a search stays
quick."""

STARTS = (b"\\", b"&", b"%", b"<wbr", b"\xc2\xad", b"\xe2\x80", b"\xe2\x81", b"\xef\xbb\xbf")
"""What every escape begins with."""

OTHERS = (b"\\0000", *(b"\\n{" + name.encode() for name in _UNICODE_NAMES))
"""How escapes begin that hold a blank: those of CSS, and by name."""


class Unescaped(NamedTuple):
    """A text without its escapes.

    `value` is what it says. For each escape `at` has the offset in `value` of what it stands for,
    and `grown` by how much the text written up to its end is longer than what it says.
    """

    value: str
    at: list[int]
    grown: list[int]

    def place(self, offset: int) -> int:
        """The offset in the text as it is written of the character at `offset` of `value`."""
        count = bisect_left(self.at, offset)
        return offset + (self.grown[count - 1] if count else 0)


def unescaped(text: str) -> Unescaped | None:
    """`text` without its escapes, None if it has none."""
    parts: list[str] = []
    at: list[int] = []
    grown: list[int] = []
    done = length = more = 0
    for found in _escapes().finditer(text):
        char = _char(found)
        start, end = found.span()
        parts += (text[done:start], char)
        length += start - done
        more += end - start - len(char)
        at.append(length)
        grown.append(more)
        length += len(char)
        done = end
    if not at:
        return None
    parts.append(text[done:])
    return Unescaped("".join(parts), at, grown)


def _char(found: re.Match[str]) -> str:
    """What the escape stands for, "" for what is not seen."""
    kind = found.lastgroup
    if kind is None:
        return ""
    said = found[kind]
    if kind in ("hex", "css", "ent", "pct"):
        return chr(int(said, 16))
    if kind in ("oct", "few", "dec"):
        return chr(int(said, 10 if kind == "dec" else 8))
    return {**_NAMES, **_UNICODE_NAMES}.get(said.lower(), said)
