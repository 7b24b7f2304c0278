"""The audit log, read: the lines of `guard.audit`, whole or cut, rotated under our hands or not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from guard.files.read import opened

MAX_BYTES = 16 << 20
"""Bytes of one file that are read, from its end. `guard.audit` moves a file away at 1 MB."""

_CHUNK = 1 << 16
_MAX_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the log. `moment` is in Unix seconds; `content` is the line as it was written.

    What a line does not have is "" or empty: an exception has a `subject` and no `agent`.
    """

    moment: float
    decision: str
    content: dict[str, Any] = field(repr=False)

    def text(self, name: str) -> str:
        """The text under `name`, "" if there is none."""
        found = self.content.get(name)
        return found if isinstance(found, str) else ""

    def texts(self, name: str) -> list[str]:
        """The texts in the list under `name`."""
        found = self.content.get(name)
        return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def parse(line: bytes) -> LogEntry | None:
    """The entry that `line` is; None for a line that is cut, of another form, or no JSON."""
    try:
        content = json.loads(line)
        moment = datetime.fromisoformat(content["time"]).timestamp()
        decision = content["decision"]
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None
    return LogEntry(moment, decision, content) if isinstance(decision, str) else None


class Log:
    """The log at `path`, with the older file beside it. `damaged` counts lines that are no entry.

    `read` is what there is; after it, each `more` is what was written since.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.damaged = 0
        self._handle = -1
        self._rest = b""

    def read(self) -> list[LogEntry]:
        """Every entry, the oldest first. Raises UnreadableError if a file cannot be read."""
        # the newer file first: one that is moved away meanwhile is met again, and not missed
        self._open()
        older = opened(f"{self.path}.1", links=False)
        found: list[LogEntry] = []
        if older >= 0:
            try:
                same = self._handle >= 0 and os.path.sameopenfile(older, self._handle)
                if not same:
                    found += self._entries(_from_end(older) + b"\n")
            finally:
                os.close(older)
        if self._handle >= 0:
            found += self._entries(_from_end(self._handle))
        return found

    def more(self) -> list[LogEntry]:
        """The entries that were written since the last call.

        A log that was moved away is read to its end before the new one is begun. Raises
        UnreadableError.
        """
        found: list[LogEntry] = []
        if self._handle >= 0:
            if os.fstat(self._handle).st_size < os.lseek(self._handle, 0, os.SEEK_CUR):
                os.lseek(self._handle, 0, os.SEEK_SET)  # emptied where it lies
                self._rest = b""
            found += self._entries(_from_here(self._handle))
            if self._is_current():
                return found
            # what was written between that read and the move
            found += self._entries(_from_here(self._handle) + b"\n")
            self.close()
        self._open()
        if self._handle >= 0:
            found += self._entries(_from_here(self._handle))
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self._rest = b""

    def _open(self) -> None:
        self.close()
        self._handle = opened(self.path, links=False)

    def _is_current(self) -> bool:
        try:
            found = os.lstat(self.path)
        except OSError:
            return True  # moved away, and nothing has been written since
        held = os.fstat(self._handle)
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)

    def _entries(self, data: bytes) -> Iterator[LogEntry]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_LINE:
            self._rest = b""
            self.damaged += 1
        for line in lines:
            if not line.strip():
                continue
            entry = parse(line)
            if entry is None:
                self.damaged += 1
            else:
                yield entry


def _from_end(handle: int) -> bytes:
    """The last MAX_BYTES of the file; a line that is cut in two by that is left out."""
    size = os.fstat(handle).st_size
    start = max(0, size - MAX_BYTES)
    os.lseek(handle, start, os.SEEK_SET)
    data = _from_here(handle)
    return data.partition(b"\n")[2] if start else data


def _from_here(handle: int) -> bytes:
    parts = []
    while part := os.read(handle, _CHUNK):
        parts.append(part)
    return b"".join(parts)
