"""Which variables a command sets, and whether the programs that follow get them."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from guard.sources.positions.text import joined
from guard.sources.shell_commands.words import Command, Word

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_BEFORE = frozenset(("time", "builtin", "command", "noglob", "nocorrect"))
_DECLARING = frozenset(("export", "declare", "typeset", "local", "readonly", "integer", "float"))
_FISH_NOT_SETTING = frozenset(("--erase", "--query", "--names", "--show", "--unexport"))


class Setting(NamedTuple):
    """A variable that a text sets, for what it starts if `exported`.

    `value` is None for one that is only exported. `how` is the form it is written in:
    "assignment", "export", "declare -x", "set -gx". `handed` tells that a container gets it, which
    has nothing of what is set around it; then without a value it gets what is set there under the
    same name.
    """

    name: str
    value: Word | None
    start: int
    end: int
    exported: bool = True
    how: str = ""
    handed: bool = False


def verb(command: Command) -> tuple[str, list[Word]]:
    """The command's name and arguments, without what only stands before a command."""
    words = command.words
    at = 0
    while at < len(words) - 1 and words[at].shown in _BEFORE:
        at += 1
    return (words[at].shown, words[at + 1 :]) if words else ("", [])


def declared(
    command: Command, *, fish: bool = False, all_export: bool = False
) -> list[Setting] | None:
    """What `command` sets or exports; None if it is not one that does.

    `all_export` tells that `set -a` holds, `fish` that fish runs it.
    """
    name, arguments = verb(command)
    if not name:
        # in fish an assignment needs a command behind it
        return [] if fish else _assigned(command, all_export)
    if name == "set" and fish:
        return _fish_set(arguments)
    if name in _DECLARING and not (fish and name != "export"):
        return _declared(name, arguments, all_export)
    if name == "launchctl" and [word.shown for word in arguments[:1]] == ["setenv"]:
        if len(arguments) != 3 or not _NAME.match(arguments[1].shown):
            return []
        given, value = arguments[1:]
        how = "launchctl setenv"
        return [Setting(given.shown, value, given.start, value.end, how=how)]
    return None


def all_export_after(command: Command) -> bool | None:
    """What `set` or zsh's `setopt` switches `allexport` to; None if the command leaves it."""
    name, arguments = verb(command)
    words = [word.shown for word in arguments]
    if name in ("setopt", "unsetopt"):
        plain = [word.lower().replace("_", "") for word in words]
        return name == "setopt" if "allexport" in plain else None
    found = None
    for word, after in pairwise([*words, ""]) if name == "set" else ():
        if word in ("--", "-"):
            break
        switches = "a" in word or (word[-1:] == "o" and after == "allexport")
        if switches and word[0] in "-+" and word[1:].isalpha():
            found = word[0] == "-"
    return found


def _assigned(command: Command, exported: bool) -> list[Setting]:
    return [
        Setting(one.name, one.value, one.start, one.end, exported, "assignment")
        for one in command.assignments
    ]


def _declared(name: str, arguments: list[Word], all_export: bool) -> list[Setting]:
    exported, how = name == "export" or all_export, name
    options, rest = _options(arguments, "-+")
    for option in options:
        if option[0] == "+":
            continue
        if not {"f", "F", "p"}.isdisjoint(option) or (name == "export" and "n" in option):
            return []
        if "x" in option:
            exported, how = True, f"{name} {option}"
    found = []
    for word in rest:
        variable, equals, _ = word.shown.partition("=")
        value = word.after(len(variable) + 1) if equals else None
        variable = variable.removesuffix("+")
        if _NAME.match(variable):
            found.append(Setting(variable, value, word.start, word.end, exported, how))
    return found


def _fish_set(arguments: list[Word]) -> list[Setting]:
    exported = False
    options, rest = _options(arguments, "-")
    for option in options:
        short = "" if option.startswith("--") else option[1:]
        if option in _FISH_NOT_SETTING or any(char in "equnS" for char in short):
            return []
        exported = exported or option == "--export" or "x" in short
    name = rest[0].shown.partition("[")[0] if rest else ""
    if not _NAME.match(name):
        return []
    value, values = None, rest[1:]
    if values:
        value = Word(
            joined([word.content for word in values], " "),
            values[0].start,
            values[-1].end,
            literal=len(values) == 1 and values[0].literal,
        )
    how = " ".join(["set", *options])
    return [Setting(name, value, rest[0].start, rest[-1].end, exported, how)]


def _options(arguments: list[Word], marks: str) -> tuple[list[str], list[Word]]:
    """The options at the front of `arguments` (first character in `marks`), and the rest."""
    options: list[str] = []
    for index, word in enumerate(arguments):
        if word.shown == "--":
            return options, arguments[index + 1 :]
        if len(word.shown) < 2 or word.shown[0] not in marks:
            return options, arguments[index:]
        options.append(word.shown)
    return options, []
