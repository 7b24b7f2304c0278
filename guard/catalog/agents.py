"""Which running programs are coding agents: by name, file, module, title or what was compiled in.

Nobody's arguments are kept or returned: they can hold a prompt or a key. Cold path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from guard.catalog import entries

if TYPE_CHECKING:
    from guard.catalog.programs import Program


@dataclass(frozen=True, slots=True)
class Agent:
    """One coding agent. The fields are those of agents.toml."""

    id: str
    name: str
    sure: str
    source: str
    names: frozenset[str] = frozenset()
    scripts: frozenset[str] = frozenset()
    paths: tuple[re.Pattern[str], ...] = ()
    modules: frozenset[str] = frozenset()
    titles: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    unless: frozenset[str] = frozenset()
    helpers: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    bun: str = ""
    guarded: bool = False
    launch: str = "leave"
    unpinned: str = ""
    vendor: str = ""
    sets: dict[str, str] = field(default_factory=dict, hash=False)
    still: str = ""

    @property
    def typed(self) -> tuple[str, ...]:
        """The names that a person types to start it, sorted: no script with its suffix."""
        names = self.names | self.scripts | self.commands
        return tuple(sorted(name for name in names if "." not in name))


@dataclass(frozen=True, slots=True)
class Recognised:
    """An agent, and by what it was recognised, in words."""

    agent: Agent
    how: str


@cache
def agents() -> tuple[Agent, ...]:
    """Every agent of the catalogue."""
    return tuple(_agent(entry) for entry in entries.data("agents.toml")["agent"])


def others() -> tuple[Agent, ...]:
    """The agents that cannot be guarded."""
    return tuple(agent for agent in agents() if not agent.guarded)


def refused() -> tuple[str, ...]:
    """The names of the agents that are refused where no policy says anything."""
    return tuple(name for agent in others() if agent.launch == "refuse" for name in agent.typed)


def recognise(
    program: Program, compiled_in: Callable[[str], str] = lambda _: ""
) -> Recognised | None:
    """The agent that `program` is, None if it is none of the catalogue.

    `compiled_in` reads the arguments that Bun compiled into the program file of that path; it is
    asked last, and only for programs that no interpreter runs.
    """
    name = os.path.basename(program.file)
    for agent in agents():
        if not agent.helpers.isdisjoint(program.names):
            continue
        if name and (name in agent.names or (program.interpreted and name in agent.scripts)):
            if agent.only and program.word not in agent.only:
                continue
            if program.word in agent.unless:
                continue
            return Recognised(agent, f"program {name}")
        if program.module and program.module in agent.modules:
            return Recognised(agent, f"module {program.module}")
        if program.title and program.title.split(" ", 1)[0] in agent.titles:
            return Recognised(agent, f"calls itself {program.title.split(' ', 1)[0]}")
        for path in (program.file, program.resolved):
            if any(pattern.search(path) for pattern in agent.paths):
                return Recognised(agent, f"file {os.path.basename(path)} of its package")
    if program.interpreted or not program.file:
        return None
    said = compiled_in(program.file)
    if said:
        for agent in agents():
            if agent.bun and agent.bun in said:
                return Recognised(agent, f"{name} is a copy of it under another name")
    return None


def _agent(entry: dict[str, Any]) -> Agent:
    sets = {key: frozenset(value) for key, value in entry.items() if isinstance(value, list)}
    paths = tuple(re.compile(pattern) for pattern in entry.get("paths", ()))
    return Agent(**{**entry, **sets, "paths": paths})
