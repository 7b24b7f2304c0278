"""The source line of a finding as a report may show it: masked whole, then cut.

A line that is worth a finding often holds a key. It is masked more strictly than other texts: the
values that the detectors took for secrets go wherever they stand, and so does everything that is
written behind the name of a secret, whatever it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from guard.errors import printable
from guard.findings import Excerpt, Finding
from guard.late import late
from guard.masking import all_of, masked_at, replaced
from guard.sources.file import SourceFile

WINDOW = 2048
"""Characters of a long line that are masked at once, on each side of the place."""

KEPT = 400
"""Characters kept on each side of the place; far enough from the border of the window that what
stands there was masked with its surroundings."""

LONGEST = 2 * KEPT
"""Characters of a place itself that are kept."""

MOST = 200
"""Findings of one file that get a line: no person reads more, and each takes time."""

_TAB = 4
_PART = 6
"""Characters of a part of a secret from which it is hidden: a key may be written in pieces."""

_LONG = 8
"""Characters of a secret from which it is looked for within words, too: a shorter one is in every
text."""

_DUMP = 64 * 1024
"""Characters of secrets in one file from which none of its lines is shown."""

_NAME = (
    r"(?i:(?<![A-Za-z0-9])[\w.-]{0,30}?(?:key|token|secret|passw(?:or)?d|passphrase|pwd"
    r"|credentials?|auth|authorization)s?(?:_(?:id|\d{1,3}|prod|dev|test|staging))?)"
)
_NAMED = late(
    # name = "value", "name": "value", name: value, NAME=value, ("NAME", "value")
    rf"(?P<name>{_NAME})(?![A-Za-z0-9])[\"'`\])]{{0,3}}\s{{0,4}}(?P<sign>=>|[:?|]?=|:|,)\s{{0,4}}"
    r"(?:(?P<quote>[\"'`])(?P<quoted>(?:(?!(?P=quote)).)+)|(?P<bare>[^\s\"'`,;(){}\[\]<>]{6,}+)(?!\())"
)
_SCHEME = late(r"\b(?i:bearer|basic)[ \t]{1,4}(?P<value>[^\s\"'`,;)}\]]{6,})")
_OPEN = late(
    # a reference, a template or a word of code shows nothing
    r"[$<{%@*]|\*\*\*\*|[A-Za-z]+://|(?i:str|string|none|null|true|false|optional|undefined)\b"
    r"|(?:os|process|self|this|config|settings|env|secrets)[.\[]"
)
_NAMES_ONLY = late(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_WORDS = late(r"[^\s\"'`,;:=&|(){}\[\]<>]+")


def add(file: SourceFile, findings: Iterable[Finding]) -> None:
    """Give each of `findings`, which are in `file`, its source line.

    Of a file that is little else than secrets none is shown.
    """
    secrets = _Secrets(file.secrets)
    if secrets.size > _DUMP:
        return
    for finding in islice((finding for finding in findings if finding.line), MOST):
        finding.excerpt = _of(file, finding, secrets)


class _Secrets:
    """The secrets of one file, also recognised by their parts."""

    def __init__(self, values: Iterable[str]) -> None:
        lines = (line.strip() for value in dict.fromkeys(values) for line in value.split("\n"))
        self._lines = frozenset(line for line in lines if line)
        self.size = sum(map(len, self._lines))
        self._long = [line for line in self._lines if len(line) >= _LONG]
        self._whole = "\n".join(self._lines)
        self._begins: set[str] = set()
        if self.size <= _DUMP:
            self._begins = {self._whole[at : at + _PART] for at in range(len(self._whole))}

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """The spans in `text` of each secret, and of each word that is part of one."""
        for value in self._long:
            yield from all_of(value, text)
        for found in _WORDS.finditer(text):
            word = found.group()
            part = len(word) >= _PART and word[:_PART] in self._begins and word in self._whole
            if part or word in self._lines:
                yield found.span()


def _of(file: SourceFile, finding: Finding, secrets: _Secrets) -> Excerpt:
    line = file.line(finding.line)
    start = min(max(finding.column, 1) - 1, len(line))
    end = finding.end_column - 1 if finding.end_line == finding.line else len(line)
    end = min(max(start, end), len(line))
    left = max(0, start - WINDOW)
    right = min(len(line), min(end, start + LONGEST) + WINDOW)
    cut_left, cut_right = left > 0, right < len(line)
    text = line[left:right]
    start, end = start - left, min(end, right) - left
    hidden = [*secrets.spans(text), *_named(text)]
    if finding.rule == "RG111":
        hidden.append((start, end))
    text, start, end = replaced(text, sorted(hidden), start, end)
    text, start, end = masked_at(text, start, end)
    first, last = max(0, start - KEPT), min(len(text), min(end, start + LONGEST) + KEPT)
    before, place, after = text[first:start], text[start : min(end, last)], text[end:last]
    shown = _visible(before, 0)
    marked = _visible(place, len(shown))
    rest = _visible(after, len(shown) + len(marked))
    head = "…" if cut_left or first > 0 else ""
    tail = "…" if cut_right or last < len(text) else ""
    begin = len(head) + len(shown)
    return Excerpt(f"{head}{shown}{marked}{rest}{tail}", begin, begin + len(marked))


def _named(text: str) -> Iterator[tuple[int, int]]:
    """What is written behind the name of a secret, whatever it looks like."""
    for match in _NAMED.finditer(text):
        if match["sign"] == "," and match["name"].lower() == "portkey":
            continue  # one of a list of providers
        group = "quoted" if match["quote"] else "bare"
        value = match[group]
        if not _OPEN.match(value) and not _NAMES_ONLY.fullmatch(value):
            yield match.span(group)
    for match in _SCHEME.finditer(text):
        if not _OPEN.match(match["value"]):
            yield match.span("value")


def _visible(text: str, column: int) -> str:
    """`text`, which begins at `column`, with blanks for tabs and escapes for what is not seen."""
    if text.isprintable():
        return text
    out = ""
    for part in re.split("(\t)", text):
        out += " " * (_TAB - (column + len(out)) % _TAB) if part == "\t" else printable(part)
    return out
