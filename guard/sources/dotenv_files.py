"""Dotenv files of a project, parsed the way the tools that load them do."""

from __future__ import annotations

import os
import re

from guard.files.around import levels
from guard.sources import bounded_text, dotenv_text
from guard.sources.records import Assignment, Reading, Skipped
from guard.sources.shell_commands import POSIX
from guard.sources.shell_exports import Scripts

_NAMES = (".env", ".env.local")
_LOCAL = re.compile(r"\.env\..+\.local\Z")
_ENVRC = ".envrc"


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
            text = bounded_text.read(path, dotenv_text.LIMIT)
            if isinstance(text, Skipped):
                skipped.append(text)
            elif text is not None:
                assignments += (
                    Assignment(found.name, path, found.line, "dotenv", value=found.value)
                    for found in dotenv_text.assignments(text)
                )
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
