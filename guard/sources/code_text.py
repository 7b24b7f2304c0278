"""Where strings stand in source code: comments and docstrings left out, with the brackets around.

One pass over the text by one regex per family of languages. It knows no grammar: what it does not
know (a regex literal with a quote in it, a nested template) costs the rest of a line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from guard.late import late

_HASH = late(
    r"(?P<comment>#[^\n]*+)"
    r"|(?P<triple>\"\"\"(?:[^\\\"]|\\.|\"(?!\"\"))*+(?:\"\"\"|\Z)"
    r"|'''(?:[^\\']|\\.|'(?!''))*+(?:'''|\Z))"
    r"|(?P<string>\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?)"
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])",
    re.DOTALL,
)
_SLASHES = late(
    r"(?P<comment>//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)|<!--.*?(?:-->|\Z))"
    r"|(?P<regex>(?:(?<=[(,=:\[!&|?;])|(?<=[(,=:\[!&|?;] ))/(?![*/\s])"
    r"(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*+\])++/)"
    r"|(?P<triple>\"\"\"(?:[^\\\"]|\\.|\"(?!\"\"))*+(?:\"\"\"|\Z))"
    r"|(?P<string>\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?|`(?:[^`\\]|\\.)*+`?)"
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])",
    re.DOTALL,
)
_BY_HASH = frozenset(("py", "pyi", "rb", "r", "ex", "exs", "jl", "pl", "pm", "nim"))

_STATEMENT = late(r"(?:^|\n)[ \t]*[rRuUfFbB]{0,2}\Z")
_CONTINUED = ("(", "[", "{", ",", "=", "+", "\\", "%", "|")


class Bracket(NamedTuple):
    """An open bracket: which, and its offset."""

    kind: str
    at: int


class Quoted(NamedTuple):
    """A string: the offsets of its quotes (outside of both), its contents' place, the brackets
    around it, the innermost first."""

    start: int
    end: int
    inner: int
    brackets: tuple[Bracket, ...]


def by_hash(name: str) -> bool:
    """Whether comments in the file called `name` begin with `#`, and not with `//`."""
    return name.lower().rpartition(".")[2] in _BY_HASH


def strings(text: str, name: str, wanted: Sequence[int]) -> dict[int, Quoted]:
    """The strings in which the offsets `wanted` (in order) stand, for those that stand in one.

    `name` is the file's, for its language. A docstring is none.
    """
    found: dict[int, Quoted] = {}
    left = list(reversed(wanted))
    stack: list[Bracket] = []
    pattern = _HASH if by_hash(name) else _SLASHES
    for match in pattern.finditer(text):
        kind = match.lastgroup
        if kind == "open":
            stack.append(Bracket(match.group(), match.start()))
            continue
        if kind == "close":
            if stack:
                stack.pop()
            continue
        start, end = match.span()
        while left and left[-1] < start:
            left.pop()
        if not left:
            break
        if left[-1] >= end or kind not in ("string", "triple"):
            continue
        if kind == "triple" and not stack and _is_statement(text, start):
            continue
        quoted = Quoted(start, end, start + (3 if kind == "triple" else 1), tuple(stack[:-5:-1]))
        while left and left[-1] < end:
            found[left.pop()] = quoted
    return found


def bare(text: str, name: str, wanted: Sequence[int]) -> dict[int, int]:
    """Which of the offsets `wanted` (in order) stand in code, not in a string or a comment; with
    the offset behind the bracket that closes the one at the offset, the text's end for none."""
    inside: dict[int, int] = {}
    left = set(wanted)
    stack: list[int] = []
    pattern = _HASH if by_hash(name) else _SLASHES
    for match in pattern.finditer(text):
        if match.lastgroup == "open":
            stack.append(match.start())
            if match.start() in left:
                inside[match.start()] = len(text)
        elif match.lastgroup == "close" and stack:
            opened = stack.pop()
            if opened in inside:
                inside[opened] = match.end()
    return inside


def _is_statement(text: str, start: int) -> bool:
    """Whether the triple string at `start` is a statement of its own."""
    head = text[max(0, start - 300) : start]
    if not _STATEMENT.search(head):
        return False
    return not head.rstrip("rRuUfFbB \t\n").endswith(_CONTINUED)
