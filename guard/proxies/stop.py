"""Stops local proxies: the unit that would start them again, then the process itself.

A process is known by its pid and its start time together (`Process.started`). On Linux the pid is
first pinned by a pidfd (pidfd_open(2), Linux 5.3) and the start time compared after that: a pidfd
stays with the process it was opened for, so what has the pid later is never signalled. Without
pidfds the start time is compared right before each signal, which leaves microseconds.

A kill is not a stop: ollama.service is started again after three seconds, a shell loop at once.
So what listens is looked at again afterwards, for longer than that.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guard.proxies.found import PROXY, Found, Process
from guard.proxies.stop_plan import (
    GRACE,
    NOT_OURS,
    UNIDENTIFIED,
    Step,
    command_again,
    described,
    kept_by,
    with_sudo,
)

if TYPE_CHECKING:
    from guard.sources.listener import Listener

WATCH = 3.2
"""Seconds for which a stopped proxy is watched for."""

WATCH_KEPT = 4.5
"""The same where something is known to start it again. `RestartSec=3` in ollama.service
(https://github.com/ollama/ollama/blob/main/docs/linux.mdx), and a start takes a moment."""

_KILLED = 2.0
"""Seconds a process may take to end after KILL: longer only if it waits in the kernel."""

_INTERVAL = 0.25
"""Seconds between two looks."""

_COMMAND = 20.0
"""Seconds beyond the grace that the command of a unit may take: it waits for the unit's end."""

STOPPED, CAME_BACK, STILL_THERE = "stopped", "came back", "still there"
GONE, FAILED = "gone", "failed"
"""What became of a step that was tried."""

REFUSED = (NOT_OURS, UNIDENTIFIED)
"""Results of steps that were not tried: nothing was signalled."""

LISTENS = (CAME_BACK, STILL_THERE, FAILED)
"""Results after which something still listens, or may."""

_INITS = frozenset(("init", "launchd", "systemd", "tini", "dumb-init", "docker-init"))
"""Programs that adopt whatever loses its parent: being below one says nothing."""


@dataclass(frozen=True, slots=True)
class StopOutcome:
    """What became of a step. `detail` is a sentence for a person, "" if there is nothing to add.

    `fix` is the command that ends it for good, "" if none is known. `after` is what listens now,
    None if nothing does. `seconds` is how long after its end it was back.
    """

    found: Found
    result: str
    detail: str = ""
    fix: str = ""
    after: Found | None = None
    seconds: float = 0.0


# The effects --------------------------------------------------------------------------------------


class System:
    """Everything that reaches outside; a test puts its own in place."""

    def started(self, pid: int) -> int:
        """The start time of the process `pid` as `Process.started` counts it, 0 if it has ended."""
        from guard.sources import processes

        return processes.started(pid)

    def holds(self, process: Process, listeners: Iterable[Listener]) -> bool:
        """Whether the process has one of the sockets."""
        from guard.sources import processes

        return processes.holds(process.pid, listeners)

    def pin(self, pid: int) -> int:
        """A pidfd of `pid`, -1 where there are none. Raises ProcessLookupError if it has ended."""
        opener = getattr(os, "pidfd_open", None)
        if opener is None:
            return -1
        try:
            descriptor: int = opener(pid)
        except ProcessLookupError:
            raise
        except OSError as error:
            if error.errno == errno.EINVAL:
                # the pid is a thread's, not a process's: the process had ended
                raise ProcessLookupError(errno.ESRCH, "no such process") from None
            # ENOSYS before Linux 5.3, EPERM from a container's seccomp filter that is older
            return -1
        return descriptor

    def send(self, descriptor: int, pid: int, number: int) -> None:
        """Send the signal. Raises ProcessLookupError or PermissionError."""
        if descriptor >= 0:
            signal.pidfd_send_signal(descriptor, number)  # type: ignore[attr-defined,unused-ignore]
        else:
            os.kill(pid, number)

    def ended(self, descriptor: int, process: Process) -> bool:
        """Whether the process has ended; one that nobody has waited for yet has, too."""
        if descriptor < 0:
            return self.started(process.pid) != process.started
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def run(self, command: Sequence[str], seconds: float) -> str:
        """Run the command of a unit; returns why it failed, "" if it did not."""
        import subprocess

        try:
            done = subprocess.run(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"it took longer than {seconds:g} s"
        except OSError as error:
            return (error.strerror or str(error)).lower()
        if done.returncode == 0:
            return ""
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return said[0][:200] if said else f"it ended with status {done.returncode}"

    def listening(self) -> list[Listener] | None:
        """The sockets that listen, None if that cannot be told."""
        from guard.sources import sockets
        from guard.sources.listener import SocketsUnreadableError

        try:
            return sockets.listening()
        except SocketsUnreadableError:
            return None

    def judge(self, listeners: list[Listener]) -> list[Found]:
        from guard.proxies.find import find_listeners

        return find_listeners(listeners)

    def now(self) -> float:
        """Seconds on a clock that only goes forward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def carry_out_all(
    steps: Sequence[Step], *, grace: float = GRACE, system: System | None = None
) -> list[StopOutcome]:
    """Carry out `steps` at the same time, so that waiting is done once; outcomes in their order."""
    if len(steps) < 2:
        return [carry_out(step, grace=grace, system=system) for step in steps]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=min(len(steps), 8)) as pool:
        return list(pool.map(lambda step: carry_out(step, grace=grace, system=system), steps))


def carry_out(step: Step, *, grace: float = GRACE, system: System | None = None) -> StopOutcome:
    """Do what `step` says, then look again. `grace` in seconds. Raises nothing that is expected."""
    found = step.found
    if step.refused:
        return StopOutcome(found, step.refused, step.why, fix=step.fix)
    system = system or System()
    uid = os.getuid()
    before = {_socket(listener) for listener in system.listening() or ()}
    pinned = _pin(step.processes, system)
    try:
        if not pinned and not step.command:
            return _look_again(step, system, before, GONE, system.now(), 0.0)
        if pinned and not _hold(pinned, step, system):
            # `find` names a process of the same user where it may not see whose socket it is
            if not any(_socket(listener) in before for listener in found.listeners):
                return _look_again(step, system, before, GONE, system.now(), 0.0)
            detail = (
                f"its process cannot be seen from here; {described(step.processes[0])}, a process"
                " of the same user, does not hold its socket"
            )
            return StopOutcome(found, NOT_OURS, detail, fix=with_sudo(command_again(found), uid))
        if step.command:
            why = system.run(step.command, grace + _COMMAND)
            if why:
                detail = f"{' '.join(step.command)} failed: {why}"
                return StopOutcome(found, FAILED, detail, fix=with_sudo(step.command, uid))
        try:
            _end(pinned, grace, system)
        except PermissionError:
            detail = f"not permitted to signal {described(step.processes[0])}"
            return StopOutcome(found, NOT_OURS, detail, fix=with_sudo(command_again(found), uid))
        left = [process for descriptor, process in pinned if not system.ended(descriptor, process)]
    finally:
        for descriptor, _ in pinned:
            if descriptor >= 0:
                system.close(descriptor)
    if left:
        detail = f"{described(left[0])} did not end on KILL: it is blocked in the kernel"
        return StopOutcome(found, STILL_THERE, detail, after=found)
    watch = WATCH_KEPT if found.keeper is not None else WATCH
    return _look_again(step, system, before, STOPPED, system.now(), watch)


def _pin(processes: Iterable[Process], system: System) -> list[tuple[int, Process]]:
    """The processes that are still the ones that were looked at, each with its pidfd."""
    pinned = []
    for process in processes:
        try:
            descriptor = system.pin(process.pid)
        except ProcessLookupError:
            continue
        # in this order: what is compared is then what is pinned
        if process.pid != os.getpid() and system.started(process.pid) == process.started:
            pinned.append((descriptor, process))
        elif descriptor >= 0:
            system.close(descriptor)
    return pinned


def _hold(pinned: Iterable[tuple[int, Process]], step: Step, system: System) -> bool:
    """Whether one of the processes has a socket that the step is about."""
    return any(system.holds(process, step.listeners) for _, process in pinned)


def _end(pinned: Iterable[tuple[int, Process]], grace: float, system: System) -> None:
    """TERM, `grace` seconds, KILL. Raises PermissionError if the first signal is not allowed."""
    alive = list(pinned)
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, _KILLED)):
        for descriptor, process in alive:
            _signal(descriptor, process, number, system)
        until = system.now() + seconds
        pause = 0.01
        while True:
            alive = [one for one in alive if not system.ended(*one)]
            if not alive:
                return
            if system.now() >= until:
                break
            system.sleep(min(pause, max(until - system.now(), 0.0)))
            pause = min(pause * 2, 0.1)


def _signal(descriptor: int, process: Process, number: int, system: System) -> None:
    """Signal the process if it still is the one that was looked at."""
    if system.started(process.pid) != process.started:
        return
    with contextlib.suppress(ProcessLookupError):
        system.send(descriptor, process.pid, number)


# Afterwards ---------------------------------------------------------------------------------------


def _look_again(
    step: Step,
    system: System,
    before: set[tuple[int, int, int]],
    result: str,
    began: float,
    watch: float,
) -> StopOutcome:
    """Look for `watch` seconds whether what was stopped listens again; at least once."""
    found = step.found
    while True:
        moment = system.now()
        listeners = system.listening()
        if listeners is None:
            detail = "cannot check whether it came back: the listening sockets are unreadable"
            return StopOutcome(found, result, detail)
        back, neighbour = _back(step, system, before, listeners)
        if back is not None:
            return _returned(step, back, moment - began)
        if moment - began >= watch:
            break
        system.sleep(min(_INTERVAL, began + watch - moment))
    detail = ""
    if result == GONE:
        detail = "it had already ended"
    if neighbour is not None:
        who = neighbour.process.program if neighbour.process is not None else ""
        now = f"port {neighbour.port} is now used by {who or 'another program'}, not a proxy"
        detail = f"{detail}; {now}" if detail else now
    return StopOutcome(found, result, detail, after=neighbour)


def _back(
    step: Step,
    system: System,
    before: set[tuple[int, int, int]],
    listeners: Iterable[Listener],
) -> tuple[Found | None, Found | None]:
    """What listens still or again, and what else now listens on a port of the step."""
    ports = set(step.ports)
    own = {_socket(listener) for listener in step.listeners}
    candidates = []
    for listener in listeners:
        key = _socket(listener)
        unknown = not listener.cookie and not listener.inode
        # a supervisor may start it on another port, so a new socket counts wherever it is; one
        # that was there before and is not the step's is somebody else's
        if key in own or key not in before or (unknown and listener.port in ports):
            candidates.append(listener)
    if not candidates:
        return None, None
    neighbour = None
    for one in system.judge(candidates):
        if one.port in ports:
            held = any(_socket(listener) in own for listener in one.listeners)
            if held or one.forbidden or one.process is None or _same(one, step.found):
                return one, None
            neighbour = one
        elif one.verdict == PROXY and one.proxy == step.found.proxy:
            return one, None
    return None, neighbour


def _same(one: Found, other: Found) -> bool:
    """Whether both are a program of the same name."""
    if one.process is None or other.process is None:
        return False
    return one.process.program == other.process.program != ""


def _returned(step: Step, back: Found, seconds: float) -> StopOutcome:
    """The outcome where `back` listens, `seconds` after the end of what was stopped."""
    found = step.found
    own = {_socket(listener) for listener in step.listeners}
    if any((back_key := _socket(one)) in own and any(back_key[:2]) for one in back.listeners):
        who = described(back.process) if back.process is not None else "another process"
        detail = f"{who} has the same socket and still listens on port {back.port}"
        return StopOutcome(found, STILL_THERE, detail, after=back)
    keeper = back.keeper or found.keeper
    where = f" on port {back.port}" if back.port not in step.ports else ""
    who = f" as {described(back.process)}" if back.process is not None else ""
    detail = f"something started it again{who}{where}"
    fix = ""
    above = _shared_parent(found, back)
    if keeper is not None and (keeper.stop or above is None):
        detail = f"{kept_by(keeper)} started it again{who}{where}"
        fix = " ".join(keeper.stop) if keeper.owned else with_sudo(keeper.stop, os.getuid())
    elif above is not None:
        pid, program = above
        detail = f"{program or 'a program'} (pid {pid}) started it again{who}{where}"
        fix = f"kill {pid} && routeguard ports stop {back.port}"
    return StopOutcome(found, CAME_BACK, detail, fix=fix, after=back, seconds=max(seconds, 0.0))


def _shared_parent(old: Found, new: Found) -> tuple[int, str] | None:
    """The nearest process that is above both: it, or what it runs, started the second one."""
    if old.process is None or new.process is None:
        return None
    above = {pid for pid, _ in old.process.parents}
    for pid, program in new.process.parents:
        if pid in above:
            return (pid, program) if pid > 1 and program not in _INITS else None
    return None


def _socket(listener: Listener) -> tuple[int, int, int]:
    return (listener.cookie, listener.inode, listener.port)
