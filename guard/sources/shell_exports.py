"""Reads out of a startup script which variables it gives to child processes, and on which line.

The script is read, not run: what stands in a branch or a function counts as if it were reached,
and what `eval` or another program produces is not seen.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from guard.sources import Assignment, Skipped, bounded_text
from guard.sources.positions.text import Text
from guard.sources.shell_commands import FISH, Command, UnparsedError, Word, commands

DEPTH = 2
"""How many levels of `source FILE` are followed."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_BEFORE = frozenset(("time", "builtin", "command", "noglob", "nocorrect"))
_DECLARING = frozenset(["declare", "typeset", "local", "readonly", "integer", "float"])
_FISH_NOT_SETTING = frozenset(["--erase", "--query", "--names", "--show", "--unexport"])
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(slots=True)
class _Found:
    """What a run over several files has seen so far."""

    assignments: list[Assignment] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    visited: set[str] = field(default_factory=set)
    unexported: dict[str, list[int]] = field(default_factory=dict)
    exported: set[str] = field(default_factory=set)
    all_export: bool = False

    def assign(self, name: str, path: str, line: int, how: str, exported: bool) -> None:
        exported = exported or self.all_export or name in self.exported
        if exported:
            self.exported.add(name)
        else:
            self.unexported.setdefault(name, []).append(len(self.assignments))
        self.assignments.append(Assignment(name, path, line, how, exported))

    def export(self, name: str, path: str, line: int, how: str) -> None:
        """`export NAME`: earlier assignments are what it hands on, else it stands for itself."""
        earlier = self.unexported.pop(name, [])
        for index in earlier:
            old = self.assignments[index]
            if (old.path, old.line) == (path, line):
                form = how
            else:
                place = f"line {line}" if old.path == path else f"{path}:{line}"
                form = f"{old.how}, exported on {place}"
            self.assignments[index] = Assignment(old.name, old.path, old.line, form)
        if not earlier and name not in self.exported:
            self.assignments.append(Assignment(name, path, line, how))
        self.exported.add(name)


class Scripts:
    """Reads the startup scripts of one shell in order; each once, sourced files in their place.

    `environ` gives the values of HOME and the like in the paths of sourced files; `home` is what
    `~` stands for.
    """

    def __init__(self, environ: Mapping[str, str], home: str) -> None:
        self._places = {
            "HOME": home,
            "ZDOTDIR": environ.get("ZDOTDIR") or home,
            "XDG_CONFIG_HOME": environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"),
        }
        self._home = home
        self._found = _Found()

    @property
    def assignments(self) -> list[Assignment]:
        return self._found.assignments

    @property
    def skipped(self) -> list[Skipped]:
        return self._found.skipped

    def read(self, path: str, dialect: str, *, depth: int = DEPTH) -> None:
        """Read the script at `path` (dialect POSIX or FISH) and what it sources."""
        if "\0" in path:
            return
        real = os.path.realpath(path)
        if real in self._found.visited:
            return
        text = bounded_text.read(path)
        if text is None:
            return
        self._found.visited.add(real)
        if isinstance(text, Skipped):
            self._found.skipped.append(text)
            return
        ends = [at for at, char in enumerate(text) if char == "\n"]
        try:
            found = commands(Text.of(text), dialect)
        except UnparsedError as error:
            self._found.skipped.append(Skipped(path, str(error)))
            return
        handle = self._fish if dialect == FISH else self._posix
        for command in sorted(found, key=lambda one: one.start):
            if command.inner:
                continue  # what is set in a substitution is gone when that ends
            line = bisect_right(ends, command.start - 1) + 1
            sourced = handle(command, path, line)
            if sourced and depth:
                self.read(sourced, dialect, depth=depth - 1)

    def _posix(self, command: Command, path: str, line: int) -> str:
        """Take in one command; returns the path of a file that it sources, or ""."""
        found = self._found
        if not command.words:
            for assignment in command.assignments:
                found.assign(assignment.name, path, line, "assignment", False)
            return ""
        verb, arguments = _verb(command)
        if verb == "export":
            self._declare(arguments, path, line, "export", exported=True)
        elif verb in _DECLARING:
            self._declare(arguments, path, line, verb, exported=False)
        elif verb == "set":
            self._set_option([word.shown for word in arguments])
        elif verb in ("setopt", "unsetopt"):
            if any(_option_name(word.shown) == "allexport" for word in arguments):
                found.all_export = verb == "setopt"
        elif verb == "launchctl" and len(arguments) > 1 and arguments[0].shown == "setenv":
            if _NAME.match(arguments[1].shown):
                found.assign(arguments[1].shown, path, line, "launchctl setenv", True)
        elif verb in ("source", ".") and arguments:
            return self._path(arguments[0], path)
        return ""

    def _declare(
        self, arguments: list[Word], path: str, line: int, verb: str, *, exported: bool
    ) -> None:
        how = verb
        flag_words, rest = _flags(arguments, "-+")
        for flags in flag_words:
            if flags[0] == "-" and ("f" in flags or "F" in flags or "p" in flags):
                return
            if verb == "export" and "n" in flags:
                return
            if flags[0] == "-" and "x" in flags:
                exported = True
                how = f"{verb} {flags}"
        for word in rest:
            name, equals, _ = word.shown.partition("=")
            name = name.removesuffix("+")
            if not _NAME.match(name):
                continue
            if equals:
                self._found.assign(name, path, line, how, exported)
            elif exported:
                self._found.export(name, path, line, how)

    def _set_option(self, arguments: list[str]) -> None:
        for index, word in enumerate(arguments):
            after = arguments[index + 1] if index + 1 < len(arguments) else ""
            if word in ("-o", "+o"):
                if after == "allexport":
                    self._found.all_export = word == "-o"
            elif word in ("--", "-"):
                return
            elif word[:1] in ("-", "+") and "a" in word[1:] and word[1:].isalpha():
                self._found.all_export = word[0] == "-"

    def _fish(self, command: Command, path: str, line: int) -> str:
        verb, arguments = _verb(command)
        if verb == "set":
            self._fish_set(arguments, path, line)
        elif verb == "export":
            for word in arguments:
                name, equals, _ = word.shown.partition("=")
                if _NAME.match(name):
                    if equals:
                        self._found.assign(name, path, line, "export", True)
                    else:
                        self._found.export(name, path, line, "export")
        elif verb in ("source", ".") and arguments:
            return self._path(arguments[0], path)
        return ""

    def _fish_set(self, arguments: list[Word], path: str, line: int) -> None:
        exported = False
        flags, rest = _flags(arguments, "-")
        for flag in flags:
            short = "" if flag.startswith("--") else flag[1:]
            if flag in _FISH_NOT_SETTING or any(char in "equnS" for char in short):
                return
            exported = exported or flag == "--export" or "x" in short
        if not rest:
            return
        name = rest[0].shown.partition("[")[0]
        if _NAME.match(name):
            self._found.assign(name, path, line, " ".join(["set", *flags]), exported)

    def _path(self, word: Word, sourcing: str) -> str:
        """The file that a `source` names, or "" if only a running shell could tell."""
        text = word.shown
        if not word.literal:
            unknown = [
                match for match in _VARIABLE.finditer(text) if _reference(match) not in self._places
            ]
            if unknown:
                return ""
            text = _VARIABLE.sub(lambda match: self._places[_reference(match)], text)
            if "$" in text or "`" in text or "(" in text:
                return ""
        if word.bare > 0 and (text == "~" or text.startswith("~/")):
            text = self._home + text[1:]
        if os.path.isabs(text):
            return text
        if "/" not in text:
            # looked up on PATH first by most shells
            return ""
        base = os.path.dirname(sourcing) if os.path.basename(sourcing) == ".envrc" else self._home
        return os.path.join(base, text)


def _reference(match: re.Match[str]) -> str:
    return match.group(1) or match.group(2)


def _verb(command: Command) -> tuple[str, list[Word]]:
    """The command's name and arguments, without what only stands before a command."""
    words = command.words
    at = 0
    while at < len(words) - 1 and words[at].shown in _BEFORE:
        at += 1
    return (words[at].shown, words[at + 1 :]) if words else ("", [])


def _flags(arguments: list[Word], marks: str) -> tuple[list[str], list[Word]]:
    """The options at the front of `arguments` (first character in `marks`), and the rest."""
    flags: list[str] = []
    for index, word in enumerate(arguments):
        if word.shown == "--":
            return flags, arguments[index + 1 :]
        if len(word.shown) < 2 or word.shown[0] not in marks:
            return flags, arguments[index:]
        flags.append(word.shown)
    return flags, []


def _option_name(text: str) -> str:
    return text.lower().replace("_", "")
