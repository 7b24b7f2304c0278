"""Coding agents that run on this machine; `guarded` says whether each is held, `connected` where
it is connected.

What is known of a process comes from outside of it: its program, the environment it was started
with (readable for one's own processes), its sockets. Nothing is asked of it.
Arguments and values are looked at and never kept: they can hold a prompt or a key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from guard.agents.connected import Peer, listens, peers
from guard.agents.guarded import CLEANED, UNHELD, AgentProcess, DirectKey, judge_process, own_keys
from guard.agents.registry import AGENTS, agent_by_id
from guard.catalog.agents import Agent, Recognised, agents, recognise
from guard.catalog.programs import Program, effective
from guard.errors import ExitCode, GuardError
from guard.findings import Finding
from guard.policy.values import CompiledPolicy
from guard.sources import processes
from guard.sources.bun_program import compiled_in
from guard.sources.connections import of as connections_of
from guard.sources.processes import Snapshot


@dataclass(frozen=True, slots=True)
class Running:
    """One running agent. `started` counts as the system does (Linux: ticks since boot), `since` is
    in Unix seconds; `launch` is the process id of the launch it belongs to, 0 for none; `peers`
    and `listens` are None where they cannot be seen; `ended_by` is the command that
    ends it where it is a service that serves later starts, "" elsewhere."""

    pid: int
    started: int
    since: float
    uid: int
    user: str
    agent: str
    name: str
    recognised: str
    program: str
    state: str
    how: str
    launch: int = 0
    keys: tuple[DirectKey, ...] = ()
    peers: tuple[Peer, ...] | None = None
    listens: tuple[tuple[str, int], ...] | None = None
    tty: str = ""
    directory: str = ""
    parents: tuple[tuple[int, str], ...] = ()
    ended_by: str = ""

    @property
    def key(self) -> str:
        """What identifies it until the next boot."""
        return f"agent:{self.pid}:{self.started}:{self.agent}"


class Table:
    """The process table. A process that goes away while it is read is None."""

    def __init__(self) -> None:
        self._signatures: dict[tuple[int, int, int], str] = {}

    def pids(self) -> list[int]:
        """The ids of all processes that can be seen."""
        return processes.pids()

    def file(self, pid: int) -> str:
        """The program file of `pid`, "" where it cannot be known."""
        return processes.program_file(pid)

    def recognise(self, pid: int) -> tuple[Program, Recognised, Snapshot] | None:
        """The agent that `pid` is, None if it is none or gone."""
        found = processes.snapshot(pid)
        if found is None or not (found.exe or found.argv):
            return None  # gone, a zombie, or a kernel thread
        program = effective(found.exe, found.argv, found.cwd)
        known = recognise(program, lambda path: self._signature(pid, path))
        return (program, known, found) if known is not None else None

    def _signature(self, pid: int, path: str) -> str:
        # through the link: a program whose file was replaced is read all the same
        for file in (f"{processes.PROC}/{pid}/exe", path):
            try:
                about = os.stat(file)
                break
            except OSError:
                continue
        else:
            return ""
        key = (about.st_dev, about.st_ino, about.st_mtime_ns)
        if key not in self._signatures:
            self._signatures[key] = compiled_in(file)
        return self._signatures[key]

    def read(self, found: Snapshot) -> AgentProcess | None:
        """What else can be known of a process; None if it is gone by now."""
        environ = processes.environment(found.pid)
        tty = processes.terminal(found.pid)
        if processes.started(found.pid) != found.started:
            return None
        return AgentProcess(
            pid=found.pid,
            parent=found.parent,
            started=found.started,
            since=processes.since(found),
            uid=found.uid,
            exe=found.exe,
            argv=found.argv,
            environ=environ,
            tty=tty,
            directory=found.cwd,
            parents=tuple((above.pid, above.comm) for above in processes.parents(found)),
        )


def see_processes() -> None:
    """Raise GuardError where the process table cannot be read: an empty list would mean nothing."""
    if os.getpid() not in Table().pids():
        raise GuardError(
            "cannot list the processes of this machine",
            where="/proc",
            why="it does not show this process itself",
            fix="mount /proc, or run this where it is mounted",
            rule="RG405",
            exit_code=ExitCode.CONFIG,
        )


def find_running(
    policy: CompiledPolicy,
    now: float,
    *,
    pids: Iterable[int] | None = None,
    table: Table | None = None,
    hosts: Mapping[str, tuple[str, str]] | None = None,
    programs: Callable[[set[int]], Mapping[int, str]] | None = None,
    connections: bool = True,
) -> list[Running]:
    """Every agent that runs, or those among `pids`, by process id.

    `now` is in Unix seconds. `hosts` maps addresses to (kind, host name) as somebody resolved them;
    `programs` names what listens on loopback ports. `connections` False leaves the sockets out.
    """
    table = table or Table()
    own = os.getuid()
    found: list[Running] = []
    sights: list[tuple[Program, Recognised, AgentProcess]] = []
    for pid in table.pids() if pids is None else pids:
        known = table.recognise(pid)
        if known is None or pid == os.getpid():
            continue
        program, recognised, snapshot = known
        seen = table.read(snapshot)
        if seen is not None:
            sights.append((program, recognised, seen))
    for program, recognised, seen in _without_wrappers(sights):
        mine = connections_of(seen.pid) if connections else None
        state, how, launch = judge_process(recognised.agent, seen, policy, now, own)
        found.append(
            Running(
                pid=seen.pid,
                started=seen.started,
                since=seen.since,
                uid=seen.uid,
                user=processes.user_name(seen.uid),
                agent=recognised.agent.id,
                name=recognised.agent.name,
                recognised=recognised.how,
                program=program.file or program.shown,
                state=state,
                how=how,
                launch=launch,
                keys=tuple(own_keys(recognised.agent, seen, policy, now)),
                peers=None if mine is None else peers(mine, policy, hosts or {}, programs),
                listens=None if mine is None else listens(mine),
                tty=seen.tty,
                directory=seen.directory,
                parents=seen.parents,
                ended_by=_ended_by(recognised.agent, seen),
            )
        )
    return sorted(found, key=lambda one: one.pid)


@dataclass(slots=True)
class Arrivals:
    """Which process ids to look at: new ones, and for a while those that are still new.

    A program is often started by another that becomes it (`exec`) a moment later, under the same
    id, so a new id is looked at in `looks` rounds.
    """

    looks: int = 3
    _left: dict[int, int] = field(default_factory=dict)

    def take(self, pids: Iterable[int]) -> list[int]:
        """Those of all current `pids` that are to be looked at in this round."""
        known = self._left
        self._left = {pid: known.get(pid, self.looks) for pid in pids}
        due = [pid for pid, left in self._left.items() if left > 0]
        for pid in due:
            self._left[pid] -= 1
        return due


class Follower:
    """Looks again and again, and reads only what may have changed.

    A round costs a list of process ids, and a few reads for each process that is new or is an
    agent. Every `sweep` rounds the program file of every process is compared: `exec` in an old
    shell changes it under the same id.
    """

    def __init__(self, table: Table | None = None, *, sweep: int = 12) -> None:
        self._table = table or Table()
        self._arrivals = Arrivals()
        self._sweep = sweep
        self._round = 0
        self._programs: dict[int, str] = {}
        self._agents: set[int] = set()

    def look(self, policy: CompiledPolicy, now: float) -> list[Running]:
        """The agents that run now, without their connections; `now` in Unix seconds."""
        pids = self._table.pids()
        due = set(self._arrivals.take(pids))
        if self._round % self._sweep == 0:
            programs = {pid: self._table.file(pid) for pid in pids}
            due |= {pid for pid, file in programs.items() if self._programs.get(pid) != file}
            self._programs = programs
        self._round += 1
        wanted = due | self._agents
        found = find_running(policy, now, pids=sorted(wanted), table=self._table, connections=False)
        self._agents = {one.pid for one in found}
        return found


def finding(one: Running) -> Finding | None:
    """What RG405 says about `one`, None if nothing."""
    if one.state not in UNHELD:
        return None
    adapter = agent_by_id(one.agent)
    severity = "error"
    if one.state == CLEANED:
        severity = "warning"
        fix = f"nothing more can be done for {one.name}; the agents that routeguard guards: " + (
            ", ".join(agent.title for agent in AGENTS)
        )
    elif one.ended_by:
        fix = f"{one.ended_by}\nlaunches through routeguard do not use it"
    elif adapter is not None:
        name = adapter.names[0]
        fix = f"end it and start `{name}` from a hooked shell, or with:\nrouteguard exec -- {name}"
    else:
        known = next((agent for agent in agents() if agent.id == one.agent), None)
        names = known.typed if known is not None else ()
        command = os.path.basename(one.program)
        if names and command not in names:
            command = min(names, key=len)  # `agent.js` is not what one types
        if known is not None and known.launch == "refuse":
            fix = f"end it; what works instead:\nrouteguard explain -- {command}"
        else:
            fix = (
                f"end it; routeguard has no profile for {one.name}, but this starts it without "
                f"direct keys:\nrouteguard exec -- {command or one.agent}"
            )
    return Finding(
        "RG405",
        f"pid:{one.pid}",
        f"{one.name} is not guarded: {one.how}",
        where=f"pid {one.pid}, {os.path.basename(one.program)}, user {one.user}"
        + (f", {one.tty}" if one.tty else ""),
        fix=fix,
        severity=severity,
    )


def _without_wrappers(
    sights: list[tuple[Program, Recognised, AgentProcess]],
) -> list[tuple[Program, Recognised, AgentProcess]]:
    """Leave out scripts that only start the native program of the same agent.

    `agent.js` runs in node and has the real agent as its child.
    """
    wrappers = {
        (seen.parent, recognised.agent.id)
        for program, recognised, seen in sights
        if not program.interpreted
    }
    return [
        sight
        for sight in sights
        if not (sight[0].interpreted and (sight[2].pid, sight[1].agent.id) in wrappers)
    ]


def _ended_by(agent: Agent, seen: AgentProcess) -> str:
    adapter = agent_by_id(agent.id)
    return adapter.ended_by(seen.argv) if adapter is not None else ""
