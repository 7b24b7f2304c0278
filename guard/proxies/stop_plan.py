"""What stopping a local proxy would do: pure, for each program that listens, or why it is not done.

`guard.proxies.stop` carries the steps out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guard.catalog import local_proxies
from guard.proxies.found import OTHER, PROXY, Found, Process
from guard.sources.keepers import Keeper

if TYPE_CHECKING:
    from guard.sources.listener import Listener

GRACE = 5.0
"""Seconds between TERM and KILL."""

NOT_OURS, UNIDENTIFIED = "not ours", "unidentified"
"""Why nothing is done about a program: whose it is, or that it may be no proxy."""


@dataclass(slots=True)
class Step:
    """What would be done about one program that listens.

    `found` is what it is about; `also` are other ports of the same program. `command` (words)
    stops the unit that would start it again, empty if there is none that may be run. `processes`
    are signalled, those above others first. `refused` is NOT_OURS or UNIDENTIFIED where nothing
    will be done, with `why` and `fix` (a command, or "") for a person.
    """

    found: Found
    also: tuple[Found, ...] = ()
    command: tuple[str, ...] = ()
    processes: tuple[Process, ...] = ()
    refused: str = ""
    why: str = ""
    fix: str = ""

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(one.port for one in (self.found, *self.also)))

    @property
    def listeners(self) -> list[Listener]:
        """Its sockets, those of its other ports included."""
        return [listener for one in (self.found, *self.also) for listener in one.listeners]

    def words(self, grace: float = GRACE) -> list[str]:
        """What will be done, one sentence each. `grace` in seconds."""
        if self.refused:
            return [f"nothing: {self.why}"]
        said = []
        if self.command:
            said.append(f"run {' '.join(self.command)}")
        if self.processes:
            named = ", ".join(described(process) for process in self.processes)
            said.append(f"TERM to {named}; KILL if that takes longer than {grace:g} s")
        return said


def plan(found: Iterable[Found], uid: int) -> list[Step]:
    """What would be done about each of `found` by the user `uid`. Touches nothing.

    A program that listens on several ports is one step.
    """
    steps: dict[object, Step] = {}
    for one in found:
        step = _step(one, uid)
        key = _identity(one, step)
        first = steps.get(key)
        if first is None:
            steps[key] = step
        else:
            first.also = (*first.also, one)
            known = {process.pid for process in first.processes}
            first.processes += tuple(p for p in step.processes if p.pid not in known)
    return list(steps.values())


def _identity(found: Found, step: Step) -> object:
    if step.refused:
        return id(step)
    if found.keeper is not None and step.command:
        return (found.keeper.kind, found.keeper.unit)
    return (step.processes[0].pid, step.processes[0].started)


def _step(found: Found, uid: int) -> Step:
    keeper, process = found.keeper, found.process

    def refuse(refused: str, why: str, fix: str = "") -> Step:
        return Step(found, refused=refused, why=why, fix=fix)

    if found.verdict == OTHER:
        why = f"it is {found.name}, not a proxy" if found.name else "it is not a proxy"
        return refuse(UNIDENTIFIED, why, _look(found, uid))
    if found.verdict != PROXY:
        why = "cannot identify the program that listens there"
        return refuse(UNIDENTIFIED, why, _look(found, uid))
    if found.answered:
        program = process.program if process is not None and process.program else "what listens"
        why = (
            f"only its HTTP reply says so, and {program} may be passing on another program's reply"
        )
        return refuse(UNIDENTIFIED, why, _look(found, uid))
    stop = keeper.stop if keeper is not None else ()
    if keeper is not None and keeper.kind == "docker":
        # the process on this side of the port is the container engine's own. Podman's containers
        # are their user's, and whoever that is may stop them
        own = stop[:1] == ("podman",) and process is not None and process.uid == uid
        if stop and (keeper.owned or own or uid == 0):
            return Step(found, command=stop)
        return refuse(
            NOT_OURS, f"the container {keeper.unit} is not yours to stop", with_sudo(stop, uid)
        )
    if process is None:
        why = "its process cannot be seen from here"
        owners = {listener.uid for listener in found.listeners} - {-1}
        if owners and owners != {uid}:
            why = f"it belongs to {' and '.join(_user(owner) for owner in sorted(owners))}"
        return refuse(
            NOT_OURS, why, with_sudo(stop or (() if uid == 0 else command_again(found)), uid)
        )
    if uid not in (0, process.uid):
        why = f"it belongs to {process.user or _user(process.uid)}"
        return refuse(NOT_OURS, why, with_sudo(stop or command_again(found), uid))
    if process.pid <= 0 or not process.started:
        return refuse(
            NOT_OURS,
            "the start time of its process is unknown, so a signal could hit another process",
        )
    if keeper is not None and stop and (keeper.owned or uid == 0):
        return Step(found, command=stop, processes=_together(found, uid))
    if keeper is not None and keeper.kind != "supervisor":
        why = f"{kept_by(keeper)} would start it again, and is not yours to stop"
        return refuse(NOT_OURS, why, with_sudo(stop, uid))
    return Step(found, processes=_together(found, uid))


def _together(found: Found, uid: int) -> tuple[Process, ...]:
    """The process and those that hold its socket as part of the same program.

    A process that only inherited the socket (an activator, a child of another name that is not
    below it) is none of ours to end.
    """
    main = found.process
    if main is None:
        return ()
    ours = [main]
    for other in found.others:
        same = other.program == main.program
        below = any(pid == main.pid for pid, _ in other.parents)
        owned = uid == 0 or other.uid == uid
        if other.started and other.pid > 1 and other.uid == main.uid and owned and (same or below):
            ours.append(other)
    pids = {process.pid for process in ours}
    # a master that sees its workers end starts new ones: it is told first
    return tuple(sorted(ours, key=lambda p: sum(pid in pids for pid, _ in p.parents)))


def described(process: Process) -> str:
    """`NAME (pid N, user NAME)`."""
    user = f", user {process.user}" if process.user else ""
    return f"{process.program or 'a program'} (pid {process.pid}{user})"


def kept_by(keeper: Keeper) -> str:
    """What would start a program again, as words: `systemd ollama.service`."""
    return f"{keeper.kind} {keeper.unit}".rstrip()


def _look(found: Found, uid: int) -> str:
    """What to do instead: who listens, and the command that ends exactly that.

    What holds a socket for others (an init system, ssh, a container engine) is not offered to
    `kill`: much else may depend on it.
    """
    fix = f"to see what uses port {found.port}:\nrouteguard ports --all"
    process, keeper = found.process, found.keeper
    if found.verdict == OTHER or process is None or process.pid <= 1:
        return fix
    name = process.program
    if local_proxies.activates(name):
        scope = "" if process.uid == 0 else "--user "
        return (
            f"{fix}\nto see its unit:\nsystemctl {scope}list-sockets"
            f"\nthen:\nsystemctl {scope}stop UNIT.socket"
        )
    if keeper is not None and keeper.stop:
        command = " ".join(keeper.stop) if keeper.owned else with_sudo(keeper.stop, uid)
    elif name in _CARRIERS:
        return f"{fix}\n{_CARRIERS[name].format(port=found.port)}"
    else:
        kill = ("kill", str(process.pid))
        command = " ".join(kill) if process.uid == uid else with_sudo(kill, uid)
    return f"{fix}\nto stop {name or 'that program'} itself:\n{command}"


_CARRIERS = {
    "ssh": "end the forwarding where it was made: type ~C, then -KL{port}, in that ssh session",
    "docker-proxy": "docker ps --filter publish={port}\nthen:\ndocker stop NAME",
    "com.docker.backend": "docker ps --filter publish={port}\nthen:\ndocker stop NAME",
    "rootlessport": "podman ps\nthen:\npodman stop NAME",
    "kubectl": "end that `kubectl port-forward` where it was started",
    "systemd-socket-proxyd": "to see the unit of port {port}:\nsystemctl --user list-sockets",
}
"""What ends one port of a program that carries several, or belongs to something larger."""


def with_sudo(command: Sequence[str], uid: int) -> str:
    """`command` as the user `uid` types it for what belongs to another; "" for no command."""
    if not command or uid == 0 or command[0] == "sudo":
        return " ".join(command)
    return " ".join(("sudo", *command))


def command_again(found: Found) -> tuple[str, ...]:
    """The words of the command that stops `found`, to be run by somebody else."""
    return ("routeguard", "ports", "stop", str(found.port))


def _user(uid: int) -> str:
    from guard.sources import processes

    return f"user {processes.user_name(uid)}"
