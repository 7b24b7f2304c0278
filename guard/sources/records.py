"""What sources say: places, and what they could not read. None judges."""

from __future__ import annotations

from typing import NamedTuple


class Assignment(NamedTuple):
    """A place that gives an environment variable its value.

    `line` counts from 1. `how` is the form it is written in ("export", "set -gx", "dotenv", …).
    `exported` is False for a shell variable that child processes do not get. `value` is what is
    written, "?" if that is not known; it may be a secret and is for judging alone.
    """

    name: str
    path: str
    line: int
    how: str
    exported: bool = True
    value: str = "?"

    def __repr__(self) -> str:
        return f"Assignment({self.name!r}, {self.path!r}, {self.line}, {self.how!r})"


class Skipped(NamedTuple):
    """A file that is there but was not read, and why; `absolute` is where it lies, if known.

    `has_content` tells that whatever else reads the file gets what it holds: it is too large for a
    check alone, or kept elsewhere. The other files can be read by no other program either (no
    permission), hold nothing (a device), or lie outside of what is checked. `head` are its first
    bytes, if they are known.
    """

    path: str
    reason: str
    absolute: str = ""
    has_content: bool = False
    head: bytes = b""


class Reading(NamedTuple):
    """What a source found in files: assignments in reading order, and what it could not read."""

    assignments: tuple[Assignment, ...]
    skipped: tuple[Skipped, ...]
