"""Services: systemd units, launchd property lists, Procfiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from guard.late import late
from guard.rules.files.calls import ShellTexts, check_image, check_texts
from guard.rules.files.scope import Scope, Span
from guard.rules.files.structured import (
    check_words,
    split_words,
)
from guard.rules.files.variables import check_variable
from guard.sources.positions.text import Text, joined
from guard.sources.shell_commands import Word

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_UNIT = (".service", ".socket", ".timer", ".container", ".conf")
_PROC = late(r"([A-Za-z0-9_-]+):[ \t]*")


class Units(ShellTexts):
    """Agent calls, variables and local proxies in systemd units and quadlets."""

    name = "systemd"

    def wants(self, path: str, name: str) -> bool:
        """Units, and drop-ins in a `NAME.service.d` directory."""
        lower = name.lower()
        if lower.endswith(".conf"):
            return ".service.d/" in path
        return lower.endswith(_UNIT)

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in Exec lines and Environment settings (systemd.exec, systemd.service)."""
        scope = Scope(file, policy, "the service")
        for key, value in _settings(file.text):
            if key.startswith("Exec"):
                stripped = value.strip()
                marks = len(stripped.value) - len(stripped.value.lstrip("@-:+!|"))
                command = stripped[marks:]
                named = re.match(r"(\S+)\s+(\S+)", command.value)
                if "@" in stripped.value[:marks] and named:
                    # the second word is only the name that the program is given
                    command = joined([command[: named.end(1)], command[named.end(2) :]])
                yield from check_texts(scope, [_unit_words(command)])
            elif key in ("Environment", "DefaultEnvironment"):
                for word in split_words(value):
                    name, equals, shown = word.shown.partition("=")
                    if equals:
                        yield from check_variable(scope, name, shown, word)
            elif key == "PassEnvironment":
                for match in re.finditer(r"\S+", value.value):
                    yield from check_variable(
                        scope, match.group(), None, value[match.start() : match.end()]
                    )
            elif key == "Image":
                yield from check_image(scope, value.strip().value, value.strip())


def _settings(text: str) -> Iterator[tuple[str, Text]]:
    """The `Key=value` settings of a unit; a line that ends in a backslash goes on in the next."""
    lines = Text.of(text).lines()
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        key, equals, _ = line.value.partition("=")
        if not equals or line.value.lstrip()[:1] in ("#", ";", "["):
            continue
        parts = [line[len(key) + 1 :]]
        while parts[-1].value.endswith("\\") and at < len(lines):
            parts[-1] = parts[-1][:-1]
            if lines[at].value.lstrip()[:1] not in ("#", ";"):
                parts.append(lines[at])
            at += 1
        yield key.strip(), joined(parts, " ")


def _unit_words(text: Text) -> Text:
    """An Exec line as shell text: there is no shell, so its operators are only characters."""
    for char in ";|&<>()`":
        if char in text.value:
            break
    else:
        return text
    # quoted parts keep theirs; outside of quotes each becomes a letter
    out = []
    quote = ""
    for char in text.value:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in ";|&<>()`":
            char = "_"
        out.append(char)
    return Text("".join(out), text.places)


class PropertyLists(ShellTexts):
    """Agent calls, variables and local proxies in launchd property lists."""

    name = "launchd"

    def wants(self, path: str, name: str) -> bool:
        """Every property list: few are large, and the needles leave out the rest."""
        return name.lower().endswith(".plist")

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in ProgramArguments, Program and EnvironmentVariables (launchd.plist(5)).

        Values come from plistlib, places from a search in the XML; a value that is written with
        entities, or stands in a binary list, has the place of its key or of the file.
        """
        import plistlib
        from xml.parsers.expat import ExpatError

        if len(file.data) > 1024 * 1024 or b"<!ENTITY" in file.data:
            return
        try:
            content = plistlib.loads(file.data)
        except (plistlib.InvalidFileException, ExpatError, ValueError, OverflowError):
            return
        except (RecursionError, AttributeError, IndexError, KeyError, TypeError):
            return
        if not isinstance(content, dict):
            return
        finder = _Finder(file.text)
        arguments = content.get("ProgramArguments")
        program = content.get("Program")
        listed = [a for a in arguments if isinstance(a, str)] if isinstance(arguments, list) else []
        if isinstance(program, str):
            listed = [program, *listed[1:]]
        scope = Scope(file, policy, "the service")
        yield from check_words(scope, [finder.word(word, "Program") for word in listed])
        variables: Any = content.get("EnvironmentVariables")
        if isinstance(variables, dict):
            for name, value in variables.items():
                if isinstance(name, str) and isinstance(value, str):
                    place = finder.place(f"<key>{name}</key>", "EnvironmentVariables")
                    yield from check_variable(scope, name, value, place)


class _Finder:
    """Where a value of a property list stands in its XML."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._from: dict[str, int] = {}

    def place(self, written: str, under: str) -> Span:
        base = max(self._text.find(f"<key>{under}"), 0)
        found = self._text.find(written, max(base, self._from.get(under, 0)))
        if found < 0:
            return Span(base, base)
        self._from[under] = found + len(written)
        return Span(found, found + len(written))

    def word(self, value: str, under: str) -> Word:
        start, end = self.place(f">{value}<", under)
        if end > start:
            return Word(Text.of(value, start + 1), start + 1, end - 1)
        return Word(Text(value, [start] * (len(value) + 1)), start, end)


class Procfiles(ShellTexts):
    """Agent calls, variables and local proxies in Procfiles."""

    name = "procfile"

    def wants(self, path: str, name: str) -> bool:
        """Procfile, Procfile.dev."""
        return name == "Procfile" or name.startswith("Procfile.")

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in the command of each process."""
        texts = []
        for line in Text.of(file.text).lines():
            found = _PROC.match(line.value)
            if found:
                texts.append(line[found.end() :])
        yield from check_texts(Scope(file, policy, "the process"), texts)


UNITS = Units()
PROPERTY_LISTS = PropertyLists()
PROCFILES = Procfiles()
