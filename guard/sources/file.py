"""One file's content, with places in it that a person and an editor understand."""

from __future__ import annotations

import codecs
import os
from bisect import bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# (mark, codec), the four-byte marks first: UTF-32 LE begins with the mark of UTF-16 LE
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE_STARTS = frozenset(mark[:1] for mark, _ in _MARKS[1:])


_GUESSED_BY = 32
"""Bytes at the beginning by which UTF-16 without a mark is told."""
_PLAIN = bytes((9, 10, 13, *range(32, 127)))


def wide_encoding(data: bytes) -> str:
    """The encoding that a UTF-16 or UTF-32 byte order mark announces, or that of UTF-16 without one
    which begins with ASCII; "" for any other."""
    if data[:1] in _WIDE_STARTS:
        for mark, encoding in _MARKS[1:]:
            if data.startswith(mark):
                return encoding
    if b"\0" not in data[:2]:
        return ""  # nearly every file
    head = data[: min(_GUESSED_BY, len(data) // 2 * 2)]
    for first, encoding in ((0, "utf-16-le"), (1, "utf-16-be")):
        plain, high = head[first::2], head[1 - first :: 2]
        if len(plain) >= 4 and not plain.strip(_PLAIN) and not high.strip(b"\0"):
            return encoding
    return ""


def decode(data: bytes) -> str:
    """`data` as text: by its byte order mark, which is dropped, else UTF-8, or UTF-16 where that
    shows without one.

    Never raises. Invalid UTF-8 becomes lone surrogates (`surrogateescape`), so that positions
    stay right; what is invalid in UTF-16 and UTF-32 becomes U+FFFD. Line ends stay as they are.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            errors = "surrogateescape" if encoding == "utf-8" else "replace"
            return data[len(mark) :].decode(encoding, errors)
    if encoding := wide_encoding(data):
        return data.decode(encoding, "replace")
    return data.decode("utf-8", "surrogateescape")


class SourceFile:
    """A file that was read: its bytes, its text, and where in the text something stands.

    `path` is the path as shown, relative to the root of the check; `absolute` where the file
    lies. Both are file-system strings (`surrogateescape`) and may hold any character. `other` is
    the path under which the same file is read as well, "" for none. For a file that stands within
    another one, `outer` is that, and `places` are the offsets in it of each character and the end.
    `digest_key` is the key of the digests by which secrets are recognised; empty for none.
    `secrets` are the values in it that detectors took for secrets: no line is shown with them.
    `plain` where a search has shown that no key in it is coded.
    """

    __slots__ = (
        *("path", "data", "absolute", "digest_key", "other", "secrets", "outer", "places"),
        *("name", "plain", "_text", "_starts"),
    )

    def __init__(
        self,
        path: str,
        data: bytes,
        absolute: str = "",
        digest_key: bytes = b"",
        other: str = "",
        secrets: list[str] | None = None,
        outer: SourceFile | None = None,
        places: Sequence[int] = (),
    ) -> None:
        self.path = path
        self.data = data
        self.absolute = absolute or os.path.abspath(path)
        self.digest_key = digest_key
        self.other = other
        self.secrets: list[str] = [] if secrets is None else secrets
        self.outer = outer
        self.places = places
        self.name = os.path.basename(path)
        self.plain = False
        self._text: str | None = None
        self._starts: list[int] | None = None

    @property
    def text(self) -> str:
        """The decoded content, as `decode()` has it; decoded once, when first asked for."""
        if self._text is None:
            self._text = decode(self.data)
        return self._text

    def _line_starts(self) -> list[int]:
        if self._starts is None:
            starts = [0]
            text, offset = self.text, 0
            while offset := text.find("\n", offset) + 1:
                starts.append(offset)
            self._starts = starts
        return self._starts

    def position(self, offset: int) -> tuple[int, int]:
        """The (line, column) of the character at `offset` in `text`, both from 1.

        A column counts characters, and an offset behind the end stands at the end. Within another
        file it is the place in that.
        """
        offset = max(0, min(offset, len(self.text)))
        if self.outer is not None:
            return self.outer.position(self.places[min(offset, len(self.places) - 1)])
        starts = self._line_starts()
        line = bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    def offset(self, line: int, column: int = 1) -> int:
        """The offset in `text` of a (line, column) that counts from 1; the inverse of `position`.

        A line behind the last one stands at the end of the text.
        """
        starts = self._line_starts()
        if line > len(starts):
            return len(self.text)
        return min(starts[max(line, 1) - 1] + max(column, 1) - 1, len(self.text))

    def line(self, number: int) -> str:
        """The text of line `number` (from 1) without its line end; "" if there is no such line."""
        starts = self._line_starts()
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].removesuffix("\r")
