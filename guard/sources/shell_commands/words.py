"""The parts that a shell text is split into: words, assignments, simple commands."""

from __future__ import annotations

import re

from guard.record import Record
from guard.sources.positions.text import Text, joined

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[.*?\])?\+?=", re.DOTALL)


class UnparsedError(Exception):
    """A text that was given up; says why, without its content."""


class Word:
    """One word of a command.

    `content` is the word with its quotes taken off; expansions stay in it as they are written,
    substitutions as `$()`. `literal` tells that it holds none. `splits` tells that it can become
    several words or none (`$@`, an unquoted variable, a glob). `bare` is the number of leading
    characters that were neither quoted nor expanded: in `A="b"` they are `A=`. `start` and `end`
    are file offsets, quotes included.
    """

    __slots__ = ("bare", "content", "end", "literal", "splits", "start")

    def __init__(
        self,
        content: Text,
        start: int,
        end: int,
        *,
        literal: bool = True,
        splits: bool = False,
        bare: int = 0,
    ) -> None:
        self.content = content
        self.start = start
        self.end = end
        self.literal = literal
        self.splits = splits
        self.bare = bare

    @property
    def value(self) -> str | None:
        """What the program gets, or None where only a running shell could tell."""
        return self.content.value if self.literal else None

    @property
    def shown(self) -> str:
        """The word as it is written, without its quotes."""
        return self.content.value

    def is_bare(self, text: str) -> bool:
        """Whether it is `text`, with nothing of it quoted or expanded."""
        return self.bare == len(text) and self.content.value == text

    def after(self, count: int) -> Word:
        """The word without its first `count` characters."""
        rest = self.content[count:]
        return Word(
            rest,
            rest.start,
            self.end,
            literal=self.literal,
            splits=self.splits,
            bare=max(0, self.bare - count),
        )

    def __repr__(self) -> str:
        return f"Word({self.shown!r})"


class ShellAssignment(Record):
    """`name=value` before a command, or alone."""

    name: str
    value: Word
    start: int
    end: int


class Command:
    """One simple command: what is assigned for it, its words, and the text that it reads.

    Without words it only assigns. `stdin` is the text of a here-document or here-string, or of
    an `echo` piped into it. `source` is the command whose output is piped into it, `writes` are
    the files that its own goes to. `inner` tells that it stands in a substitution. A loop over
    values (`for x in …`) is the command `for x`.
    """

    __slots__ = ("assignments", "inner", "source", "stdin", "words", "writes")

    def __init__(
        self,
        words: list[Word] | None = None,
        assignments: list[ShellAssignment] | None = None,
        stdin: Text | None = None,
    ) -> None:
        self.words = [] if words is None else words
        self.assignments = [] if assignments is None else assignments
        self.stdin = stdin
        self.source: Command | None = None
        self.writes: list[Word] = []
        self.inner = False

    @property
    def start(self) -> int:
        """The file offset of its first word or assignment."""
        return self.assignments[0].start if self.assignments else self.words[0].start

    def __repr__(self) -> str:
        return f"Command({self.words!r})"


def assignment_name(written: str) -> bool:
    """Whether `written` is all of `NAME=`, `NAME+=` or `NAME[x]=`."""
    return _ASSIGNMENT.fullmatch(written) is not None


def as_assignment(word: Word, *, quoted: bool = False) -> ShellAssignment | None:
    """`word` as `NAME=value`, or None; the name may be `quoted` in an argument alone."""
    found = _ASSIGNMENT.match(word.content.value)
    if found is None or (not quoted and word.bare <= len(found.group(1))):
        return None
    return ShellAssignment(found.group(1), word.after(found.end()), word.start, word.end)


def handed_on(command: Command) -> Text | None:
    """The text that `command` writes, if that is known: of `echo`, `printf`, what copies stdin."""
    words = command.words
    program = words[0].value
    if program == "tee" or (program == "cat" and len(words) == 1):
        return command.stdin
    if program not in ("echo", "printf"):
        return None
    at = 1
    while at < len(words) and words[at].shown in ("-e", "-n", "-ne", "-en", "--"):
        at += 1
    if program == "printf" and len(words) - at > 1:
        at += 1
    return joined([word.content for word in words[at:]], " ") if at < len(words) else None
