"""The processes above this one: which of them had a variable when they were started.

A process's environment as the system shows it is the one it was started with (proc(5),
`/proc/PID/environ`), so a shell that exports a variable itself does not show it: its child is
the first that does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psutil

_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Ancestor:
    """One process above this one. `names` is None if its environment may not be read."""

    pid: int
    program: str
    names: frozenset[str] | None


def ancestors(pid: int | None = None) -> list[Ancestor]:
    """The processes above `pid` (by default this one), nearest first. Values are not kept."""
    return list(_walk(pid))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a variable entered the chain of processes.

    `holder` is the farthest process that had it from the start (None: not even our parent did).
    `setter` is the process above `holder`, or above this process, if it started without the
    variable: it, or what it runs at startup, set it. None if unknown.
    """

    holder: Ancestor | None
    setter: Ancestor | None


def origin(name: str, chain: list[Ancestor]) -> Origin:
    """Where in `chain` (nearest first) the variable `name` comes from.

    A process that may not be read is passed over: only those that can be read testify.
    """
    holder = -1
    for index, ancestor in enumerate(chain):
        if ancestor.names is not None and name in ancestor.names:
            holder = index
    above = chain[holder + 1] if holder + 1 < len(chain) else None
    setter = above if above is not None and above.names is not None else None
    return Origin(chain[holder] if holder >= 0 else None, setter)


def _walk(pid: int | None) -> Iterator[Ancestor]:
    try:
        process: psutil.Process | None = psutil.Process(pid).parent()
    except psutil.Error:
        return
    seen: set[int] = set()
    while process is not None and process.pid not in seen and len(seen) < _DEPTH:
        seen.add(process.pid)
        yield Ancestor(process.pid, _program(process), _names(process))
        try:
            process = process.parent()
        except psutil.Error:
            return


def _program(process: psutil.Process) -> str:
    # not the command line: it may hold a secret
    try:
        return process.name()
    except psutil.Error:
        return "?"


def _names(process: psutil.Process) -> frozenset[str] | None:
    try:
        return frozenset(process.environ())
    except (psutil.Error, OSError):
        return None
