"""Dotenv files of a project, parsed the way the tools that load them do."""

from __future__ import annotations

import io
import os
import re

from dotenv.parser import parse_stream

from guard.files.around import levels
from guard.sources import Assignment, Reading, Skipped, bounded_text
from guard.sources.shell_commands import POSIX
from guard.sources.shell_exports import Scripts

LIMIT = 256 * 1024
"""Bytes of one dotenv file."""

_NAMES = (".env", ".env.local")
_LOCAL = re.compile(r"\.env\..+\.local\Z")
_ENVRC = ".envrc"
_BLANKS = re.compile(r"[^\S\r\n]{64,}")


def read(cwd: str, *, home: str = "") -> Reading:
    """Every assignment in `.env`, `.env.local`, `.env.*.local` and `.envrc`, nearest first.

    `.envrc` is a bash script that direnv runs (direnv(1)), so it is read as one; `home` is what
    `~` stands for in it.
    """
    assignments: list[Assignment] = []
    skipped: list[Skipped] = []
    for directory in reversed(levels(cwd)):
        for name in _files(directory):
            path = os.path.join(directory, name)
            text = bounded_text.read(path, LIMIT)
            if isinstance(text, Skipped):
                skipped.append(text)
            elif text is not None:
                assignments.extend(_bindings(path, text))
        script = Scripts({}, home or directory)
        script.read(os.path.join(directory, _ENVRC), POSIX)
        assignments.extend(script.assignments)
        skipped.extend(script.skipped)
    return Reading(tuple(assignments), tuple(skipped))


def _files(directory: str) -> list[str]:
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return [*_NAMES, *sorted(name for name in names if _LOCAL.match(name))]


def _bindings(path: str, text: str) -> list[Assignment]:
    # the parser's search for a trailing comment takes quadratic time in a run of blanks
    stream = io.StringIO(_BLANKS.sub(" " * 64, text))
    found = []
    for binding in parse_stream(stream):
        if binding.key is None or binding.value is None:
            continue
        original = binding.original
        # the parser counts from the blank lines before an assignment
        blank = original.string[: len(original.string) - len(original.string.lstrip())]
        line = original.line + len(re.findall(r"\r\n|\n|\r", blank))
        found.append(Assignment(binding.key, path, line, "dotenv"))
    return found
