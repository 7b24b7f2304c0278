"""Stopping a local proxy: nothing unidentified, never the wrong process, no false news."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from guard.proxies import stop, stop_plan
from guard.proxies.found import OTHER, PROXY, SUSPECT, UNKNOWN, Found, Process
from guard.proxies.stop import System, carry_out, carry_out_all
from guard.proxies.stop_plan import Step, plan
from guard.sources.keepers import Keeper
from guard.sources.listener import Listener

ME = 1000
ROOT = Path(__file__).resolve().parents[2]


def process(pid: int = 4242, **fields: object) -> Process:
    known: dict[str, object] = {
        "started": 100,
        "uid": ME,
        "user": "me",
        "program": "litellm",
        **fields,
    }
    return Process(pid, **known)  # type: ignore[arg-type]


def found(port: int = 4000, **fields: object) -> Found:
    known: dict[str, object] = {
        "verdict": PROXY,
        "proxy": "litellm",
        "name": "LiteLLM proxy",
        "process": process(),
        **fields,
    }
    listeners = known.pop("listeners", (Listener("127.0.0.1", port, uid=ME, cookie=7, inode=70),))
    return Found(port, listeners, **known)  # type: ignore[arg-type]


class FakeSystem(System):
    """A machine made of values: processes by pid, a clock that only sleeping moves."""

    def __init__(self, processes: dict[int, int] | None = None, *, pidfds: bool = True) -> None:
        self.processes = {4242: 100} if processes is None else processes
        self.pidfds = pidfds
        self.pinned: dict[int, tuple[int, int]] = {}
        self.sent: list[tuple[int, int, int]] = []
        self.ran: list[list[str]] = []
        self.sockets: list[Listener] | None = []
        self.views: list[Found] = []
        self.clock = 0.0
        self.ignores_term = False
        self.unkillable = False
        self.permitted = True
        self.holding = True
        self.unit_error = ""
        self.before_signal: Callable[[], None] = lambda: None
        self.on_sleep: Callable[[], None] = lambda: None

    def started(self, pid: int) -> int:
        return self.processes.get(pid, 0)

    def holds(self, process: Process, listeners: Iterable[Listener]) -> bool:
        return self.holding

    def pin(self, pid: int) -> int:
        if pid not in self.processes:
            raise ProcessLookupError
        if not self.pidfds:
            return -1
        descriptor = 1000 + len(self.pinned)
        self.pinned[descriptor] = (pid, self.processes[pid])
        return descriptor

    def send(self, descriptor: int, pid: int, number: int) -> None:
        self.before_signal()
        if not self.permitted:
            raise PermissionError
        if descriptor >= 0:
            pid, started = self.pinned[descriptor]
            if self.processes.get(pid) != started:
                raise ProcessLookupError
        elif pid not in self.processes:
            raise ProcessLookupError
        self.sent.append((pid, self.processes[pid], number))
        ends = number == signal.SIGKILL or not self.ignores_term
        if ends and not self.unkillable:
            del self.processes[pid]

    def ended(self, descriptor: int, process: Process) -> bool:
        return self.processes.get(process.pid) != process.started

    def close(self, descriptor: int) -> None:
        del self.pinned[descriptor]

    def run(self, command: Sequence[str], seconds: float) -> str:
        self.ran.append(list(command))
        return self.unit_error

    def listening(self) -> list[Listener] | None:
        return self.sockets

    def judge(self, listeners: list[Listener]) -> list[Found]:
        keys = {(one.cookie, one.port) for one in listeners}
        return [
            view
            for view in self.views
            if any((one.cookie, one.port) in keys for one in view.listeners)
        ]

    def now(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds
        self.on_sleep()

    def comes_back(self, view: Found, after: float) -> None:
        """`view` listens `after` seconds from now."""
        due = self.clock + after

        def appear() -> None:
            if self.clock >= due:
                self.views, self.sockets = [view], list(view.listeners)

        self.on_sleep = appear


# What would be done -------------------------------------------------------------------------------


def only(view: Found, uid: int = ME) -> Step:
    (step,) = plan([view], uid)
    return step


def test_a_proxy_of_ones_own_gets_term_then_kill() -> None:
    step = only(found())
    assert (step.refused, step.command) == ("", ())
    assert [p.pid for p in step.processes] == [4242]
    assert step.words(2.5) == [
        "TERM to litellm (pid 4242, user me); KILL if that takes longer than 2.5 s"
    ]


@pytest.mark.parametrize("verdict", [SUSPECT, UNKNOWN, OTHER])
@pytest.mark.parametrize("uid", [0, ME])
def test_what_is_not_identified_is_never_stopped(verdict: str, uid: int) -> None:
    unit = Keeper("systemd-user", "x", stop=("stop", "x"), owned=True)
    step = only(found(verdict=verdict, keeper=unit), uid)
    assert (step.refused, step.processes, step.command) == (stop_plan.UNIDENTIFIED, (), ())
    # whoever knows better may do it; of what is known to be no proxy nothing is said
    assert ("itself:\nstop x" in step.fix) == (verdict != OTHER)
    without = only(found(verdict=verdict), uid)
    assert ("itself:\nkill 4242" in without.fix) == (verdict != OTHER)
    system = FakeSystem()
    assert carry_out(step, system=system).result == stop_plan.UNIDENTIFIED
    assert (system.sent, system.ran) == ([], [])


@pytest.mark.parametrize(
    ("program", "instead"),
    [
        ("nginx", "to stop nginx itself:\nkill 4242"),
        ("socat", "to stop socat itself:\nkill 4242"),
        ("haproxy", "to stop haproxy itself:\nkill 4242"),
        ("node", "to stop node itself:\nkill 4242"),
        ("ssh", "-KL4000, in that ssh session"),
        ("docker-proxy", "docker ps --filter publish=4000"),
        ("rootlessport", "podman ps"),
        ("kubectl", "end that `kubectl port-forward`"),
        ("systemd-socket-proxyd", "list-sockets"),
        ("systemd", "systemctl --user stop UNIT.socket"),
    ],
)
def test_what_only_answers_as_a_proxy_is_never_stopped(program: str, instead: str) -> None:
    """It may pass on what another program says."""
    view = found(answered=True, process=process(program=program))
    for uid in (ME, 0):
        step = only(view, uid)
        assert (step.refused, step.processes, step.command) == (stop_plan.UNIDENTIFIED, (), ())
        assert step.why.startswith(f"only its HTTP reply says so, and {program} may be passing on")
    assert instead in only(view).fix
    assert ("kill" in only(view).fix) == ("kill" in instead)


UNIT = Keeper("systemd", "l.service", stop=("systemctl", "stop", "l.service"))
OWN_UNIT = Keeper("systemd-user", "l.service", stop=("systemctl", "--user", "stop"), owned=True)
CONTAINER = Keeper("docker", "litellm-1", stop=("docker", "stop", "litellm-1"))
OWN_CONTAINER = Keeper("docker", "litellm-1", stop=("docker", "stop", "litellm-1"), owned=True)
PODMAN = Keeper("docker", "abc", stop=("podman", "stop", "abc"))
SUPERVISED = Keeper("supervisor", "supervisord", stop=("supervisorctl", "stop", "x:y"), owned=True)
OLLAMAS = process(uid=997, user="ollama")
ENGINES = process(uid=0, program="docker-proxy")
ROOTS_SOCKET = (Listener("::", 4000, family=6, uid=0),)


@pytest.mark.parametrize(
    ("fields", "uid", "why", "fix"),
    [
        ({"process": OLLAMAS}, ME, "it belongs to ollama", "sudo routeguard ports stop 4000"),
        ({"process": OLLAMAS, "keeper": UNIT}, ME, "it belongs", "sudo systemctl stop l.service"),
        ({"keeper": UNIT}, ME, "systemd l.service would start", "sudo systemctl stop l.service"),
        (
            {"process": None, "listeners": ROOTS_SOCKET},
            ME,
            "it belongs to user root",
            "sudo routeguard ports stop 4000",
        ),
        ({"process": None}, ME, "its process cannot be seen", "sudo routeguard ports stop 4000"),
        ({"process": None}, 0, "it belongs to user", ""),
        ({"process": process(started=0)}, ME, "the start time of its process", ""),
        ({"process": process(0)}, ME, "the start time of its process", ""),
        ({"process": process(-1)}, ME, "the start time of its process", ""),
        ({"process": ENGINES, "keeper": CONTAINER}, ME, "the container", "sudo docker stop lite"),
        ({"process": process(uid=7), "keeper": PODMAN}, ME, "the container", "sudo podman stop"),
    ],
)
def test_what_is_not_ours_is_left_alone_and_the_fix_says_who_can(
    fields: dict[str, object], uid: int, why: str, fix: str
) -> None:
    step = only(found(**fields), uid)
    assert (step.refused, step.processes, step.command) == (stop_plan.NOT_OURS, (), ())
    assert step.why.startswith(why)
    assert step.fix.startswith(fix)
    assert bool(step.fix) == bool(fix)


@pytest.mark.parametrize(
    ("fields", "uid", "command", "signalled"),
    [
        ({}, 0, (), True),
        ({"keeper": OWN_UNIT}, ME, OWN_UNIT.stop, True),
        ({"keeper": UNIT}, 0, UNIT.stop, True),
        # the process before a container is the engine's
        ({"process": ENGINES, "keeper": OWN_CONTAINER}, ME, OWN_CONTAINER.stop, False),
        ({"keeper": PODMAN}, ME, PODMAN.stop, False),
        ({"keeper": SUPERVISED}, ME, SUPERVISED.stop, True),
        ({"keeper": Keeper("supervisor", "nodemon", owned=True)}, ME, (), True),
    ],
)
def test_the_unit_of_a_proxy_is_stopped_first(
    fields: dict[str, object], uid: int, command: tuple[str, ...], signalled: bool
) -> None:
    step = only(found(**fields), uid)
    assert (step.refused, step.command, bool(step.processes)) == ("", command, signalled)
    said = [f"run {' '.join(command)}"] if command else []
    said += ["TERM to litellm (pid 4242, user me); KILL if that takes longer than 5 s"]
    assert step.words() == said[: len(said) if signalled else 1]


def test_workers_of_the_program_go_with_it_and_others_stay() -> None:
    worker = process(4243, program="python3", parents=((4242, "litellm"),))
    twin = process(4250)
    heir = process(4260, program="vim")
    activator = process(1, program="systemd", uid=0)
    foreign = process(4270, uid=0)
    step = only(found(others=(worker, twin, heir, activator, foreign)))
    assert [p.pid for p in step.processes] == [4242, 4250, 4243]


def test_a_master_is_told_before_its_worker() -> None:
    worker = process(4300, parents=((4242, "litellm"), (1, "init")))
    master = process(4242, parents=((1, "init"),))
    step = only(found(process=worker, others=(master,)))
    assert [p.pid for p in step.processes] == [4242, 4300]


def test_one_program_on_two_ports_is_one_step() -> None:
    first, second, third = found(4000), found(4001), found(4002, process=process(5000))
    steps = plan([first, second, third], ME)
    assert [step.ports for step in steps] == [(4000, 4001), (4002,)]


# Doing it -----------------------------------------------------------------------------------------


def test_term_is_enough() -> None:
    system = FakeSystem()
    outcome = carry_out(only(found()), system=system)
    assert (outcome.result, outcome.detail) == ("stopped", "")
    assert system.sent == [(4242, 100, signal.SIGTERM)]
    assert system.pinned == {}
    assert stop.WATCH <= system.clock < stop.WATCH_KEPT


def test_kill_comes_after_the_grace() -> None:
    system = FakeSystem()
    system.ignores_term = True
    moments: list[float] = []
    system.before_signal = lambda: moments.append(system.clock)
    outcome = carry_out(only(found()), grace=2.0, system=system)
    assert outcome.result == "stopped"
    assert [number for _, _, number in system.sent] == [signal.SIGTERM, signal.SIGKILL]
    assert moments == [0.0, pytest.approx(2.0)]


def test_a_process_that_survives_kill_is_still_there() -> None:
    system = FakeSystem()
    system.unkillable = True
    outcome = carry_out(only(found()), system=system)
    assert outcome.result == "still there"
    assert "blocked in the kernel" in outcome.detail


def test_one_that_has_ended_is_gone() -> None:
    system = FakeSystem({})
    outcome = carry_out(only(found()), system=system)
    assert (outcome.result, outcome.detail) == ("gone", "it had already ended")
    assert system.sent == []


@pytest.mark.parametrize("pidfds", [True, False])
def test_a_pid_that_was_reused_before_we_came_is_not_signalled(pidfds: bool) -> None:
    system = FakeSystem({4242: 999}, pidfds=pidfds)
    outcome = carry_out(only(found()), system=system)
    assert outcome.result == "gone"
    assert (system.sent, system.pinned, system.processes) == ([], {}, {4242: 999})


@pytest.mark.parametrize("pidfds", [True, False])
@pytest.mark.parametrize("term_ignored", [True, False])
def test_a_pid_that_is_reused_before_a_signal_is_not_signalled(
    pidfds: bool, term_ignored: bool
) -> None:
    """The process ends while it is being waited for, and another takes its pid before KILL."""
    system = FakeSystem(pidfds=pidfds)
    system.ignores_term = term_ignored
    system.ended = lambda descriptor, process: False  # type: ignore[method-assign]
    system.on_sleep = lambda: system.processes.update({4242: 999})
    carry_out(only(found()), system=system)
    assert system.sent == [(4242, 100, signal.SIGTERM)]
    assert system.processes == {4242: 999}


def test_a_pidfd_protects_from_a_reuse_after_the_last_comparison() -> None:
    system = FakeSystem()

    def reuse() -> None:
        system.processes[4242] = 999

    system.before_signal = reuse
    carry_out(only(found()), system=system)
    assert (system.sent, system.processes) == ([], {4242: 999})


def test_a_signal_that_is_not_permitted() -> None:
    system = FakeSystem()
    system.permitted = False
    outcome = carry_out(only(found()), system=system)
    assert outcome.result == "not ours"
    assert outcome.fix.endswith("routeguard ports stop 4000")


def test_a_process_that_does_not_hold_the_socket_is_not_signalled() -> None:
    """Of a socket whose owner may not be seen, `find` names a process of the same user."""
    view = found(keeper=Keeper("systemd-user", "l.service", stop=("systemctl",), owned=True))
    system = FakeSystem()
    system.holding = False
    system.sockets = list(view.listeners)
    outcome = carry_out(only(view), system=system)
    assert outcome.result == "not ours"
    assert "does not hold its socket" in outcome.detail
    assert (system.sent, system.ran, system.pinned) == ([], [], {})
    # it has just closed it
    system.sockets = []
    assert carry_out(only(view), system=system).result == "gone"
    assert (system.sent, system.ran) == ([], [])


def test_a_unit_is_stopped_before_the_process() -> None:
    system = FakeSystem()
    system.before_signal = lambda: system.ran.append(["signal"])
    outcome = carry_out(only(found(keeper=OWN_UNIT)), system=system)
    assert outcome.result == "stopped"
    assert system.ran == [["systemctl", "--user", "stop"], ["signal"]]
    assert system.clock >= stop.WATCH_KEPT


def test_a_unit_is_stopped_even_while_it_waits_to_start_again() -> None:
    system = FakeSystem({})
    assert carry_out(only(found(keeper=OWN_UNIT)), system=system).result == "stopped"
    assert system.ran == [[*OWN_UNIT.stop]]


def test_where_the_unit_cannot_be_stopped_nothing_is_signalled() -> None:
    system = FakeSystem()
    system.unit_error = "access denied"
    outcome = carry_out(only(found(keeper=OWN_UNIT)), system=system)
    command = "systemctl --user stop"
    assert (outcome.result, outcome.detail) == ("failed", f"{command} failed: access denied")
    assert outcome.fix.endswith(command)
    assert system.sent == []


# Afterwards ---------------------------------------------------------------------------------------


def again(pid: int = 5555, *, port: int = 4000, cookie: int = 8, **fields: object) -> Found:
    listeners = (Listener("127.0.0.1", port, uid=ME, cookie=cookie, inode=80),)
    fields.setdefault("process", process(pid, started=500))
    return found(port, listeners=listeners, **fields)


def test_one_that_came_back_says_what_started_it_and_how_to_end_that() -> None:
    loop = (77, "bash")
    before = found(process=process(parents=(loop, (50, "tmux"), (1, "init"))))
    back = again(process=process(5555, started=500, parents=(loop, (50, "tmux"), (1, "init"))))
    system = FakeSystem()
    system.comes_back(back, 1.0)
    outcome = carry_out(only(before), system=system)
    assert outcome.result == "came back"
    assert outcome.detail == "bash (pid 77) started it again as litellm (pid 5555, user me)"
    assert outcome.fix == "kill 77 && routeguard ports stop 4000"
    assert outcome.after is back
    assert 1.0 <= outcome.seconds < 1.5


def test_being_below_init_says_nothing() -> None:
    for parent in ((1, "init"), (900, "systemd")):
        back = again(process=process(5555, started=500, parents=(parent,)))
        system = FakeSystem()
        system.comes_back(back, 0.5)
        outcome = carry_out(only(found(process=process(parents=(parent,)))), system=system)
        assert outcome.detail.startswith("something started it again as litellm")
        assert outcome.fix == ""


@pytest.mark.parametrize(
    ("back", "after", "detail"),
    [
        (again(port=51234), 1.0, "on port 51234"),
        (again(verdict=SUSPECT, process=None), 0.5, "started it again"),
    ],
)
def test_one_that_comes_back_is_seen(back: Found, after: float, detail: str) -> None:
    system = FakeSystem()
    system.comes_back(back, after)
    outcome = carry_out(only(found()), system=system)
    assert outcome.result == "came back"
    assert outcome.detail.endswith(detail)


def test_a_unit_that_starts_it_after_three_seconds_is_seen() -> None:
    keeper = Keeper("supervisor", "pm2", stop=("pm2", "stop", "gateway"), owned=True)
    system = FakeSystem()
    system.comes_back(again(keeper=keeper), 4.0)
    outcome = carry_out(only(found(keeper=keeper)), system=system)
    assert outcome.result == "came back"
    assert outcome.detail.startswith("supervisor pm2 started it again")
    assert outcome.fix == "pm2 stop gateway"


def test_a_neighbour_that_takes_the_port_is_no_return() -> None:
    system = FakeSystem()
    neighbour = again(verdict=OTHER, process=process(6000, program="vite"))
    system.comes_back(neighbour, 0.5)
    outcome = carry_out(only(found()), system=system)
    assert outcome.result == "stopped"
    assert outcome.detail == "port 4000 is now used by vite, not a proxy"
    assert outcome.after is neighbour


def test_what_listened_beside_it_before_is_somebody_elses() -> None:
    beside = again(verdict=OTHER, process=process(6000, program="vite"))
    system = FakeSystem()
    system.views, system.sockets = [beside], list(beside.listeners)
    outcome = carry_out(only(found()), system=system)
    assert (outcome.result, outcome.detail) == ("stopped", "")


def test_a_process_that_inherited_the_socket_still_listens() -> None:
    heir = process(4260, program="vim")
    view = found(others=(heir,))
    held = found(process=heir, verdict=UNKNOWN, proxy="", name="")
    system = FakeSystem({4242: 100, 4260: 100})
    system.views, system.sockets = [held], list(held.listeners)
    outcome = carry_out(only(view), system=system)
    assert outcome.result == "still there"
    assert "vim (pid 4260, user me) has the same socket" in outcome.detail
    assert 4260 in system.processes


def test_sockets_that_cannot_be_read_are_not_called_silence() -> None:
    system = FakeSystem()
    system.sockets = None
    outcome = carry_out(only(found()), system=system)
    assert outcome.result == "stopped"
    assert "cannot check" in outcome.detail


def test_several_are_stopped_at_the_same_time() -> None:
    steps = plan([found(4000), found(4001, process=process(4300)), found(verdict=SUSPECT)], ME)

    class Counting(FakeSystem):
        def pin(self, pid: int) -> int:
            return -1

    system = Counting({4242: 100, 4300: 100})
    outcomes = carry_out_all(steps, system=system)
    assert [one.result for one in outcomes] == ["stopped", "stopped", "unidentified"]
    assert [one.found.port for one in outcomes] == [4000, 4001, 4000]
    assert carry_out_all([]) == []


# Real processes -----------------------------------------------------------------------------------


class Silent(System):
    """This machine, with nothing that listens: other tests' sockets are none of ours."""

    def holds(self, process: Process, listeners: Iterable[Listener]) -> bool:
        return True

    def listening(self) -> list[Listener] | None:
        return []


class NoPidfd(Silent):
    def pin(self, pid: int) -> int:
        os.kill(pid, 0)
        return -1


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    monkeypatch.setattr(stop, "WATCH", 0.1)
    running: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        running.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        return child

    yield start
    for child in running:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


POLITE = "print('ready', flush=True); import time; time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + POLITE


def real(pid: int, *, shift: int = 0) -> Step:
    one = process(pid, started=System().started(pid) + shift, uid=os.getuid())
    return only(found(process=one), os.getuid())


@pytest.mark.parametrize("kind", [Silent, NoPidfd])
@pytest.mark.parametrize(
    ("code", "grace", "ended_by"),
    [(POLITE, 60.0, signal.SIGTERM), (STUBBORN, 0.1, signal.SIGKILL)],
)
def test_a_real_process_ends(
    kind: type[System],
    code: str,
    grace: float,
    ended_by: int,
    started: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    child = started(code)
    assert carry_out(real(child.pid), grace=grace, system=kind()).result == "stopped"
    assert child.wait() == -ended_by


@pytest.mark.parametrize("kind", [Silent, NoPidfd])
def test_a_real_process_with_another_start_time_lives(
    kind: type[System], started: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    child = started(POLITE)
    assert carry_out(real(child.pid, shift=-1), system=kind()).result == "gone"
    assert child.poll() is None


def test_a_process_that_nobody_waited_for_has_ended(
    started: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    child = started(POLITE)
    step = real(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert System().started(child.pid) == 0
    assert carry_out(step, system=Silent()).result == "gone"


def test_a_real_process_without_the_socket_lives(
    started: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    child = started(POLITE)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        listeners = tuple(one for one in System().listening() or () if one.port == port)
        one = process(child.pid, started=System().started(child.pid), uid=os.getuid())
        view = found(port, process=one, listeners=listeners)
        assert carry_out(only(view, os.getuid())).result == "not ours"
        assert child.poll() is None
        assert System().holds(process(os.getpid()), listeners)


def test_it_never_ends_itself() -> None:
    assert carry_out(real(os.getpid()), system=Silent()).result == "gone"


@pytest.mark.parametrize(
    ("code", "seconds", "why"),
    [
        ("exit 0", 60, ""),
        ("echo 'Access denied' >&2; exit 4", 60, "Access denied"),
        ("exit 3", 60, "it ended with status 3"),
        ("sleep 60", 0.1, "it took longer than 0.1 s"),
    ],
)
def test_the_command_of_a_unit(code: str, seconds: float, why: str) -> None:
    assert System().run(["sh", "-c", code], seconds) == why


def test_a_command_that_is_not_there() -> None:
    assert System().run(["/nowhere/systemctl"], 1) == "no such file or directory"


REUSE = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
from guard.proxies import stop, stop_plan
from guard.proxies.found import PROXY, Found, Process
from guard.sources.listener import Listener

stop.WATCH = 0.0

def sleeper():
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    return pid

def replaced(victim):
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    time.sleep(0.05)  # start times count in hundredths of a second
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(victim - 1))
    innocent = sleeper()
    assert innocent == victim, (innocent, victim)

class System(stop.System):
    when = ""
    calls = 0
    pidfds = True
    def pin(self, pid):
        descriptor = super().pin(pid) if self.pidfds else -1
        if self.when == "after the pidfd":
            replaced(pid)
        return descriptor
    def started(self, pid):
        self.calls += 1
        if self.when == "before the last comparison" and self.calls == 2:
            replaced(pid)
        seen = super().started(pid)
        if self.when == "after the last comparison" and self.calls == 2:
            replaced(pid)
        return seen
    def holds(self, process, listeners):
        return True
    def listening(self):
        return []
    def sleep(self, seconds):
        time.sleep(0.01)

def attempt(when, pidfds):
    victim = sleeper()
    process = Process(victim, started=stop.System().started(victim), uid=os.getuid(), program="x")
    view = Found(4000, (Listener("127.0.0.1", 4000),), verdict=PROXY, process=process)
    (step,) = stop_plan.plan([view], os.getuid())
    system = System()
    system.when, system.pidfds = when, pidfds
    if when == "before":
        replaced(victim)
    outcome = stop.carry_out(step, grace=0.2, system=system)
    pid, status = os.waitpid(victim, os.WNOHANG)
    print(when, pidfds, outcome.result, "lives" if pid == 0 else "KILLED", flush=True)
    if pid == 0:
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)

attempt("before", True)
attempt("before", False)
attempt("after the pidfd", True)
attempt("before the last comparison", True)
attempt("before the last comparison", False)
attempt("after the last comparison", True)
"""


def test_a_pid_that_is_really_reused_is_not_signalled(
    missing_part: Callable[[str], NoReturn],
) -> None:
    """In a pid namespace of its own, where the next pid can be chosen (pid_namespaces(7))."""
    unshare = shutil.which("unshare")
    namespace = [unshare or "unshare", "--user", "--map-root-user", "--pid", "--fork"]
    namespace += ["--mount-proc", "--"]
    allowed = (
        unshare
        and not subprocess.run(
            [*namespace, "sh", "-c", ": > /proc/sys/kernel/ns_last_pid"],
            capture_output=True,
            check=False,
        ).returncode
    )
    if not allowed:
        missing_part("no pid namespaces for this user (sysctl kernel.unprivileged_userns_clone)")
    code = textwrap.dedent(REUSE).format(root=str(ROOT))
    ran = subprocess.run(
        [*namespace, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "before True gone lives",
        "before False gone lives",
        "after the pidfd True gone lives",
        "before the last comparison True stopped lives",
        "before the last comparison False stopped lives",
        "after the last comparison True stopped lives",
    ]


# Real proxies, found and stopped in a network of their own ----------------------------------------

SERVER = """#!{python}
import http.server, os, signal, sys, time
if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "--detached" in sys.argv:
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
address = ("127.0.0.1", 4000)
server = http.server.HTTPServer(address, http.server.BaseHTTPRequestHandler, False)
server.server_bind()
master = os.getpid()
# at its end once each that is forked has been, and is what it becomes
others, mine = os.pipe()
if "--workers" in sys.argv:
    os.fork(), os.fork()
if "--heir" in sys.argv:
    os.set_inheritable(server.fileno(), True)
    if os.fork() == 0:
        os.execlp("sleep", "sleep", "60")
os.close(mine)
if os.getpid() == master:
    os.read(others, 1)
    server.server_activate()
server.serve_forever()
"""

SCENARIO = """
import json, os, signal, subprocess, sys, time
sys.path.insert(0, {root!r})
from guard.proxies import stop, stop_plan
from guard.proxies.find import find_listeners
from guard.sources import processes, sockets

def proxies():
    return [one for one in find_listeners(sockets.listening()) if one.verdict == "proxy"]

stop.WATCH = float(sys.argv[1])
child = subprocess.Popen(sys.argv[2:], start_new_session=True)
end = time.monotonic() + 50
while not proxies() and time.monotonic() < end:
    time.sleep(0.05)
(found,) = proxies()
(step,) = stop_plan.plan([found], os.getuid())
outcome = stop.carry_out(step, grace=0.5)
left = [one.port for one in find_listeners(sockets.listening())]
print(json.dumps({{
    "name": found.name, "pids": len(step.processes), "result": outcome.result,
    "detail": outcome.detail, "fix": outcome.fix, "left": left, "child": child.pid,
}}))
try:
    os.killpg(child.pid, signal.SIGKILL)
except ProcessLookupError:
    pass
# by the descriptor, not by what find says: other tests of this machine run such programs, too
for pid in {{pid for pids in processes.holders(sockets.listening()) for pid in pids}}:
    os.kill(pid, signal.SIGKILL)
"""


@pytest.fixture
def scenario(private_network: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Start a server that is called `litellm` by a command, stop it, and say what came of it."""
    server = tmp_path / "litellm"
    server.write_text(SERVER.format(python=sys.executable))
    server.chmod(0o755)
    code = SCENARIO.format(root=str(ROOT))

    def run(*words: str, watch: float = stop.WATCH) -> dict[str, Any]:
        command = [word.replace("litellm", str(server)) for word in words]
        said: dict[str, Any] = json.loads(
            private_network.python(code, str(watch), *command, timeout=120)
        )
        return said

    return run


@pytest.mark.parametrize("option", ["--plain", "--stubborn", "--detached"])
def test_a_real_proxy_is_stopped(scenario: Callable[..., dict[str, Any]], option: str) -> None:
    said = scenario("litellm", option)
    assert said["name"] == "LiteLLM proxy"
    assert (said["pids"], said["result"], said["left"]) == (1, "stopped", [])


def test_real_workers_are_stopped_with_their_master(
    scenario: Callable[..., dict[str, Any]],
) -> None:
    said = scenario("litellm", "--workers")
    assert (said["pids"], said["result"], said["left"]) == (4, "stopped", [])


def test_a_real_loop_starts_it_again_and_is_named(
    scenario: Callable[..., dict[str, Any]],
) -> None:
    said = scenario("sh", "-c", "while :; do litellm; sleep 0.3; done", watch=60.0)
    assert (said["result"], said["left"]) == ("came back", [4000])
    assert f"(pid {said['child']}) started it again as litellm" in said["detail"]
    assert said["fix"] == f"kill {said['child']} && routeguard ports stop 4000"


def test_a_real_process_that_inherited_the_socket_is_left_and_named(
    scenario: Callable[..., dict[str, Any]],
) -> None:
    said = scenario("litellm", "--heir")
    assert (said["result"], said["left"]) == ("still there", [4000])
    assert "sleep" in said["detail"]
