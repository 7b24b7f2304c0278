"""The processes above this one: which of them had a variable when they were started.

A process's environment as the system shows it is the one it was started with (proc(5),
`/proc/PID/environ`), so a shell that exports a variable itself does not show it: its child is
the first that does.
"""

from __future__ import annotations

import os

from guard.record import Record
from guard.sources import processes

_DEPTH = 64


class Ancestor(Record):
    """One process above this one. `names` is None if its environment may not be read."""

    pid: int
    program: str
    names: frozenset[str] | None


def ancestors(pid: int | None = None) -> list[Ancestor]:
    """The processes above `pid` (by default this one), nearest first. Values are not kept."""
    found = []
    for above, name in processes.lineage(os.getpid() if pid is None else pid, _DEPTH):
        environment = processes.environment(above)
        names = None if environment is None else frozenset(environment)
        found.append(Ancestor(above, name or "?", names))
    return found


class VariableOrigin(Record):
    """Where a variable entered the chain of processes.

    `holder` is the farthest process that had it from the start (None: not even our parent did).
    `setter` is the process above `holder`, or above this process, if it started without the
    variable: it, or what it runs at startup, set it. None if unknown.
    """

    holder: Ancestor | None
    setter: Ancestor | None


def origin(name: str, chain: list[Ancestor]) -> VariableOrigin:
    """Where in `chain` (nearest first) the variable `name` comes from.

    A process that may not be read is passed over: only those that can be read testify.
    """
    holder = -1
    for index, ancestor in enumerate(chain):
        if ancestor.names is not None and name in ancestor.names:
            holder = index
    above = chain[holder + 1] if holder + 1 < len(chain) else None
    setter = above if above is not None and above.names is not None else None
    return VariableOrigin(chain[holder] if holder >= 0 else None, setter)
