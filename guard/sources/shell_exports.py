"""Reads out of a startup script which variables it gives to child processes, and on which line.

The script is read, not run: what stands in a branch or a function counts as if it were reached,
and what `eval` or another program produces is not seen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from guard.sources import Assignment, Skipped, bounded_text
from guard.sources.shell_commands import Command, Word, fish_commands, posix_commands

POSIX = "posix"
FISH = "fish"

DEPTH = 2
"""How many levels of `source FILE` are followed."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ANYWHERE = frozenset(["if", "else", "while", "!", "time", "builtin", "command"])
_POSIX_LEADING = _ANYWHERE | {"then", "elif", "until", "do", "{", "noglob", "nocorrect"}
_FISH_LEADING = _ANYWHERE | {"and", "or", "not", "begin"}
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
        commands: Callable[[str], Iterator[Command]]
        handle: Callable[[Command, list[Word], str], str]
        if dialect == FISH:
            commands, leading, handle = fish_commands, _FISH_LEADING, self._fish
        else:
            commands, leading, handle = posix_commands, _POSIX_LEADING, self._posix
        for command in commands(text):
            words = _without_leading(command.words, leading)
            if not words:
                continue
            sourced = handle(command, words, path)
            if sourced and depth:
                self.read(sourced, dialect, depth=depth - 1)

    def _posix(self, command: Command, words: list[Word], path: str) -> str:
        """Take in one command; returns the path of a file that it sources, or ""."""
        found = self._found
        if all(_assigned(word) for word in words):
            for word in words:
                found.assign(_assigned(word), path, command.line, "assignment", False)
            return ""
        verb, arguments = _verb(words)
        if verb == "export":
            self._declare(command, arguments, path, "export", exported=True)
        elif verb in _DECLARING:
            self._declare(command, arguments, path, verb, exported=False)
        elif verb == "set":
            self._set_option([word.text for word in arguments])
        elif verb in ("setopt", "unsetopt"):
            if any(_option_name(word.text) == "allexport" for word in arguments):
                found.all_export = verb == "setopt"
        elif verb == "launchctl" and len(arguments) > 1 and arguments[0].text == "setenv":
            if _NAME.match(arguments[1].text):
                found.assign(arguments[1].text, path, command.line, "launchctl setenv", True)
        elif verb in ("source", ".") and arguments:
            return self._path(arguments[0], path)
        return ""

    def _declare(
        self, command: Command, arguments: list[Word], path: str, verb: str, *, exported: bool
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
            name, equals, _ = word.text.partition("=")
            name = name.removesuffix("+")
            if not _NAME.match(name):
                continue
            if equals:
                self._found.assign(name, path, command.line, how, exported)
            elif exported:
                self._found.export(name, path, command.line, how)

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

    def _fish(self, command: Command, words: list[Word], path: str) -> str:
        verb, arguments = _verb(words)
        if verb == "set":
            self._fish_set(command, arguments, path)
        elif verb == "export":
            for word in arguments:
                name, equals, _ = word.text.partition("=")
                if _NAME.match(name):
                    if equals:
                        self._found.assign(name, path, command.line, "export", True)
                    else:
                        self._found.export(name, path, command.line, "export")
        elif verb in ("source", ".") and arguments:
            return self._path(arguments[0], path)
        return ""

    def _fish_set(self, command: Command, arguments: list[Word], path: str) -> None:
        exported = False
        flags, rest = _flags(arguments, "-")
        for flag in flags:
            short = "" if flag.startswith("--") else flag[1:]
            if flag in _FISH_NOT_SETTING or any(char in "equnS" for char in short):
                return
            exported = exported or flag == "--export" or "x" in short
        if not rest:
            return
        name = rest[0].text.partition("[")[0]
        if _NAME.match(name):
            self._found.assign(name, path, command.line, " ".join(["set", *flags]), exported)

    def _path(self, word: Word, sourcing: str) -> str:
        """The file that a `source` names, or "" if only a running shell could tell."""
        text = word.text
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


def _assigned(word: Word) -> str:
    """The name that `word` assigns to if it stands before a command, else ""."""
    name, equals, _ = word.text.partition("=")
    if not equals or word.bare <= len(name):
        return ""
    name = name.removesuffix("+")
    return name if _NAME.match(name) else ""


def _verb(words: list[Word]) -> tuple[str, list[Word]]:
    """The command's name and arguments; what is set for that command only is passed over."""
    for index, word in enumerate(words):
        if not _assigned(word):
            return word.text, words[index + 1 :]
    return "", []


def _flags(arguments: list[Word], marks: str) -> tuple[list[str], list[Word]]:
    """The options at the front of `arguments` (first character in `marks`), and the rest."""
    flags: list[str] = []
    for index, word in enumerate(arguments):
        if word.text == "--":
            return flags, arguments[index + 1 :]
        if len(word.text) < 2 or word.text[0] not in marks:
            return flags, arguments[index:]
        flags.append(word.text)
    return flags, []


def _without_leading(words: list[Word], leading: frozenset[str]) -> list[Word]:
    """`words` without the keywords that may stand before a command."""
    start = 0
    while start < len(words):
        text = words[start].text
        if text == "function" and len(words) > start + 2 and words[start + 2].text == "{":
            start += 3
        elif text in leading:
            start += 1
        else:
            break
    return words[start:]


def _option_name(text: str) -> str:
    return text.lower().replace("_", "")
