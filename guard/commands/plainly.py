"""Commands without click: importing it takes as long as many a command. Words that leave nothing to
parse are read here, all else is left to click, which reads the same words in the same way."""

from __future__ import annotations

import os
import sys

from guard import packages
from guard.errors import ExitCode
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


class PlainWords(Record):
    """What a command takes that leaves nothing to parse.

    `flags` are options without a value, `choices` those whose value is one of a few, each with the
    parameter of the command's function. `rest` is the parameter of the words that are no options,
    "" where there are none. `packages` is whether it may need what others made.
    """

    flags: Mapping[str, str]
    choices: Mapping[str, tuple[str, Sequence[str]]] = {}
    rest: str = ""
    packages: bool = False

    def read(self, argv: Sequence[str]) -> dict[str, Any] | None:
        """The parameters that `argv` gives; None if click has to read it."""
        found: dict[str, Any] = {}
        others: list[str] = []
        words = iter(argv)
        for word in words:
            if word == "--":
                others += words
            elif not word.startswith("-"):
                others.append(word)
            elif word in self.flags:
                found[self.flags[word]] = True
            elif word in self.choices:
                name, choices = self.choices[word]
                found[name] = next(words, "")
                if found[name] not in choices:
                    return None
            else:
                return None
        if self.rest:
            found[self.rest] = tuple(others)
        elif others:
            return None
        return found


MODULES = {
    ("check",): "checking",
    ("policy", "show"): "policy_show",
    ("why",): "variables",
}
"""The module of `guard.commands` with a command's WORDS, and the function `command` that they are
for."""


def main(argv: list[str]) -> int | None:
    """Run what `argv` says; the exit status, or None if click has to read it.

    Raises what the command raises.
    """
    if "_ROUTEGUARD_COMPLETE" in os.environ:
        return None  # a shell asks click what the next word may be
    if argv in (["--version"], ["-V"]):
        from guard import __version__

        return _written(f"routeguard, version {__version__}\n")  # as click would say it
    if argv and argv[-1] in ("-h", "--help"):
        from guard.commands import overview

        asked = overview.asked_for(argv)
        return _written(asked.text(overview.width()) + "\n") if asked else None
    for length in (1, 2):
        name = MODULES.get(tuple(argv[:length]))
        if name is not None:
            return _run(name, argv[length:])
    return None


def _run(name: str, words: list[str]) -> int | None:
    """Run the command of the module `name` with `words`, or let click do it."""
    module = __import__(f"guard.commands.{name}", fromlist=[name])
    found = module.WORDS.read(words)
    if found is None:
        return None
    if module.WORDS.packages:
        packages.make_importable()
    try:
        status: int = module.command(**found)
    except KeyboardInterrupt:
        from guard.report.terminal import say

        say("interrupted")
        return 130
    return status


def _written(text: str) -> int:
    sys.stdout.write(text)
    return ExitCode.OK
