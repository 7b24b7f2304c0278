"""Reads out of a startup script which variables it gives to child processes, and on which line.

The script is read, not run: what stands in a branch or a function counts as if it were reached,
and what `eval` or another program produces is not seen.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Mapping

from guard.record import Record
from guard.sources import bounded_text
from guard.sources.positions.text import Text
from guard.sources.records import Assignment, Skipped
from guard.sources.shell_commands import (
    FISH,
    Command,
    UnparsedError,
    Word,
    commands,
    declarations,
)

DEPTH = 2
"""How many levels of `source FILE` are followed."""

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class _Found(Record):
    """What a run over several files has seen so far."""

    assignments: list[Assignment]
    skipped: list[Skipped]
    visited: set[str]
    unexported: dict[str, list[int]]
    exported: set[str]
    all_export: bool

    def assign(self, found: Assignment) -> None:
        if found.exported or self.all_export or found.name in self.exported:
            found = found._replace(exported=True)
            self.exported.add(found.name)
        else:
            self.unexported.setdefault(found.name, []).append(len(self.assignments))
        self.assignments.append(found)

    def export(self, name: str, path: str, line: int, how: str) -> None:
        """`export NAME`: earlier assignments are what it hands on, else it stands for itself."""
        earlier = self.unexported.pop(name, [])
        for index in earlier:
            old = self.assignments[index]
            form = how
            if (old.path, old.line) != (path, line):
                place = f"line {line}" if old.path == path else f"{path}:{line}"
                form = f"{old.how}, exported on {place}"
            self.assignments[index] = old._replace(how=form, exported=True)
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
        self._found = _Found([], [], set(), {}, set(), all_export=False)

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
        for command in sorted(found, key=lambda one: one.start):
            if command.inner:
                continue  # what is set in a substitution is gone when that ends
            line = bisect_right(ends, command.start - 1) + 1
            sourced = self._sourced(command, path, line, fish=dialect == FISH)
            if sourced and depth:
                self.read(sourced, dialect, depth=depth - 1)

    def _sourced(self, command: Command, path: str, line: int, *, fish: bool) -> str:
        """Take in one command; the path of a file that it sources, or ""."""
        found = self._found
        declared = declarations.declared(command, fish=fish, all_export=found.all_export)
        for one in declared or ():
            if one.value is not None:
                found.assign(
                    Assignment(one.name, path, line, one.how, one.exported, one.value.shown)
                )
            elif one.exported:
                found.export(one.name, path, line, one.how)
        if not fish:
            switched = declarations.all_export_after(command)
            found.all_export = found.all_export if switched is None else switched
        verb, arguments = declarations.verb(command)
        return self._path(arguments[0], path) if verb in ("source", ".") and arguments else ""

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
