"""How setup and teardown say what they do: a word in a column, and what it is about."""

from __future__ import annotations

import os
import shlex

from guard.errors import printable
from guard.report import terminal
from guard.report.words import short, short_all


def step(word: str, what: str) -> None:
    """One step, on stdout; the text of a file, as it is, where `word` is empty."""
    if not word:
        terminal.show(f"    {printable(what)}", whole=True)
        return
    terminal.show(f"  {word:<10} {printable(short_all(what, os.environ.get('HOME', '')))}")


def say(text: str) -> None:
    """One line on stdout."""
    terminal.show(printable(text))


def typed(path: str) -> str:
    """`path` as a person can type it, with `~` where that needs no quotes."""
    quoted = shlex.quote(path)
    return short(path) if quoted == path else quoted
