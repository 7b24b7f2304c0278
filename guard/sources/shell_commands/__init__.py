"""Shell text split into simple commands, without running or expanding it: the one reader of it.

Enough of the grammars of POSIX shells, bash, zsh and fish to know which words are a command, where
each stands and what it reads. Commands in functions, pipelines, loops, conditions, groups and
substitutions are all found; what stands in a branch counts as if it were reached. Comments, data,
patterns of `case`, lists of `for`, arrays and tests are no commands.

One index runs through the text once, with a stack in place of recursion. Read again are only texts
within the text (backticks, here-documents), at most MAX_DEPTH deep, and, within a budget, what
follows `((`, to tell arithmetic from a group. So the time is linear in the length of the text,
whatever it holds. A substitution is left in its word as `$()`: its commands stand for themselves.
"""

from __future__ import annotations

from guard.sources.positions.text import Text
from guard.sources.shell_commands.fish import FishReader
from guard.sources.shell_commands.posix import PosixReader
from guard.sources.shell_commands.reader import MAX_CHARACTERS, MAX_DEPTH, MAX_NESTING, Reader
from guard.sources.shell_commands.words import Command, ShellAssignment, UnparsedError, Word

__all__ = [
    "FISH",
    "MAX_CHARACTERS",
    "MAX_DEPTH",
    "MAX_NESTING",
    "POSIX",
    "Command",
    "ShellAssignment",
    "UnparsedError",
    "Word",
    "commands",
    "reader_of",
    "unquoted",
]

POSIX = "posix"
"""The grammar of sh, bash, ksh and zsh."""

FISH = "fish"


def commands(text: Text, grammar: str = POSIX) -> list[Command]:
    """The simple commands in `text`, each in the order in which it ends.

    Raises UnparsedError for a text that is longer, or nested deeper, than what people write.
    """
    return reader_of(text, grammar).read()


def reader_of(text: Text, grammar: str = POSIX) -> Reader:
    """What reads `text`. Raises UnparsedError if it is too long."""
    return FishReader(text) if grammar == FISH else PosixReader(text)


def unquoted(text: Text) -> Word:
    """The word that is written as `text`: quotes and escapes taken off, expansions noticed."""
    return PosixReader(text).word()
