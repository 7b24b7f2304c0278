"""`routeguard watch`: what it says, what it stops, what it survives, how it ends."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click import unstyle
from click.testing import CliRunner

from guard.agents.running import Running
from guard.commands.watch import Lines, watch
from guard.errors import PolicyError
from guard.findings import Finding
from guard.launch.watcher import PolicyInForce, Watcher
from guard.policy.values import CompiledPolicy, PolicyException
from guard.proxies.found import OTHER, PROXY, SUSPECT, Found, Process
from guard.proxies.watch import GONE, NEW, Event
from guard.report import notices as desktop
from guard.report.notices import Notices
from guard.sources.keepers import Keeper
from guard.sources.listener import Listener, SocketsUnreadableError

NOW = 1_700_000_000.0
CANARY = "sk-canary-0123456789abcdefghij"


def listener(port: int, cookie: int) -> Listener:
    return Listener("127.0.0.1", port, uid=os.getuid(), inode=cookie + 1, cookie=cookie)


def found(
    port: int, cookie: int, *, verdict: str = PROXY, uid: int | None = None, kept: bool = False
) -> Found:
    process = Process(77, started=5, uid=os.getuid() if uid is None else uid, program="litellm")
    return Found(
        port,
        (listener(port, cookie),),
        verdict=verdict,
        proxy="litellm",
        name="LiteLLM",
        how="program litellm",
        process=process,
        keeper=Keeper("systemd-user", "litellm.service", stop=("systemctl", "--user", "stop", "l"))
        if kept
        else None,
    )


class FixedPolicy(PolicyInForce):
    """A policy in memory."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self.current = policy
        self.said = ""

    def reload(self) -> str:
        said, self.said = self.said, ""
        return said


class FixedFollower:
    """Agents in memory."""

    def __init__(self) -> None:
        self.agents: list[Running] = []

    def look(self, *_: object) -> list[Running]:
        return self.agents


class Machine:
    """What a watcher sees: sockets, what they are, agents; and what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *, stops: bool = False) -> None:
        self.capsys = capsys
        self.found: list[Found] = []
        self.judged: list[list[int]] = []
        self.stopped: list[Found] = []
        self.policy = FixedPolicy(CompiledPolicy())
        self.follower = FixedFollower()
        self.blind = ""
        self.clock = 100.0
        self.wall = NOW
        self.watcher = Watcher(
            self.policy,
            Lines(as_json=True),
            stops=stops,
            follower=self.follower,  # type: ignore[arg-type]
            sockets=self._sockets,
            judge=self._judge,
            stop=self._stop,
            wall=lambda: self.wall,
            clock=lambda: self.clock,
        )

    def _sockets(self) -> list[Listener]:
        if self.blind:
            raise SocketsUnreadableError(self.blind)
        return [one for each in self.found for one in each.listeners]

    def _judge(self, listeners: list[Listener], _: CompiledPolicy) -> list[Found]:
        cookies = {one.cookie for one in listeners}
        self.judged.append(sorted({one.port for one in listeners}))
        return [one for one in self.found if one.listeners[0].cookie in cookies]

    def _stop(self, one: Found) -> tuple[str, str, str]:
        self.stopped.append(one)
        self.found = [other for other in self.found if other is not one]
        return "stopped", "ended by TERM", ""

    def look(self) -> list[dict[str, Any]]:
        """One round; what was said in it."""
        self.watcher.look()
        lines = self.capsys.readouterr().out.splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def machine(capsys: pytest.CaptureFixture[str]) -> Machine:
    return Machine(capsys)


def agent(state: str = "unguarded", pid: int = 9) -> Running:
    return Running(
        pid=pid, started=3, since=NOW, uid=0, user="ada", agent="claude", name="Claude Code",
        recognised="program claude", program="/bin/claude", state=state, how="because",
    )  # fmt: skip


def events(said: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["event"], one.get("subject", "")) for one in said]


def test_a_proxy_comes_and_goes(machine: Machine) -> None:
    assert machine.look() == []
    machine.found = [found(4000, 1)]
    (said,) = machine.look()
    assert said["schema_version"] == 1
    assert (said["event"], said["rule"], said["subject"]) == ("new", "RG402", "port:4000")
    assert "LiteLLM listens on 127.0.0.1:4000" in said["message"]
    assert "routeguard ports stop 4000" in said["fix"]
    assert machine.look() == []
    machine.found = []
    assert events(machine.look()) == [("gone", "port:4000")]


def test_what_is_there_at_the_start_is_said_once(machine: Machine) -> None:
    machine.found = [found(4000, 1)]
    machine.follower.agents = [agent(), agent("guarded", 10), agent("unknown", 11)]
    assert events(machine.look()) == [("present", "port:4000"), ("present", "pid:9")]
    assert machine.look() == []
    machine.follower.agents = []
    assert events(machine.look()) == [("gone", "pid:9")]


def test_harmless_and_excepted_listeners_are_silent(machine: Machine) -> None:
    machine.found = [found(8000, 1, verdict=OTHER), found(11434, 2, verdict=SUSPECT)]
    until = NOW + 60
    machine.policy.current.exceptions = (
        PolicyException(subject="port:11434", reason="x", until=until),
    )
    assert machine.look() == []
    # an exception ends while nothing else changes
    machine.wall = until + 1
    assert events(machine.look()) == [("new", "port:11434")]


def test_a_clock_that_is_set_back_says_nothing_new(machine: Machine) -> None:
    machine.found = [found(4000, 1)]
    machine.look()
    machine.wall = 0.0
    assert machine.look() == []
    machine.wall = NOW * 2
    assert machine.look() == []


def test_only_what_changes_is_judged(machine: Machine) -> None:
    machine.found = [found(8000, 1, verdict=OTHER)]
    for _ in range(3):
        machine.look()
    # the first time, and twice more: a server may answer a moment after it has bound its port
    assert machine.judged == [[8000]] * 3
    for _ in range(100):
        machine.look()
    assert len(machine.judged) == 3
    machine.found = [*machine.found, found(4000, 2)]
    machine.look()
    assert machine.judged[3:] == [[4000]]
    machine.found = machine.found[1:]
    for _ in range(5):
        machine.look()
    assert machine.judged[3:] == [[4000]] * 3
    for _ in range(20):
        machine.look()
    # once in a while all of them: a socket can go to another program
    machine.found = [*machine.found, found(8001, 3, verdict=OTHER)]
    machine.judged = []
    for _ in range(120):
        machine.look()
    assert [4000, 8001] in machine.judged


def test_a_program_that_says_what_it_is_only_later(machine: Machine) -> None:
    machine.found = [found(4000, 1, verdict=OTHER)]
    assert machine.look() == []
    machine.found = [found(4000, 1)]
    assert events(machine.look()) == [("new", "port:4000")]


def test_another_socket_on_the_same_port_is_new(machine: Machine) -> None:
    machine.found = [found(4000, 1)]
    machine.look()
    machine.found = [found(4000, 2)]
    assert events(machine.look()) == [("gone", "port:4000"), ("new", "port:4000")]


def test_sockets_that_cannot_be_read_are_said_once(machine: Machine) -> None:
    machine.blind = "netlink: Operation not permitted"
    (said,) = machine.look()
    assert said["event"] == "blind"
    assert machine.look() == []
    assert machine.watcher.look() is True
    machine.blind = ""
    machine.found = [found(4000, 1)]
    assert events(machine.look()) == [("new", "port:4000")]


def test_proxies_of_ones_own_are_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(capsys, stops=True)
    machine.found = [
        found(4000, 1),
        found(11434, 2, verdict=SUSPECT),
        found(4001, 3, uid=os.getuid() + 1),
    ]
    said = machine.look()
    assert [one.port for one in machine.stopped] == [4000]
    assert (said[-1]["event"], said[-1]["message"]) == ("stopped", "LiteLLM: ended by TERM")
    assert events(machine.look()) == [("gone", "port:4000")]


def test_one_that_keeps_coming_back_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(capsys, stops=True)
    for cookie in range(5):
        machine.found = [found(4000, cookie + 1, kept=True)]
        said = machine.look()
    assert len(machine.stopped) == 3
    assert said[-1]["event"] == "kept"
    assert "keeps coming back: it was stopped 3 times" in said[-1]["message"]
    assert said[-1]["fix"] == "systemctl --user stop l"
    machine.clock += 3601
    machine.found = [found(4000, 99)]
    machine.look()
    assert len(machine.stopped) == 4


def test_a_policy_that_only_flags_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(capsys, stops=True)
    machine.policy.current.proxies_action = "flag"
    machine.found = [found(4000, 1)]
    said = machine.look()
    assert machine.stopped == []
    assert [one["event"] for one in said] == ["present", "kept"]
    machine.found = [found(4001, 2)]
    assert [one["event"] for one in machine.look()] == ["gone", "new"]


def test_without_stop_nothing_is_stopped(machine: Machine) -> None:
    machine.found = [found(4000, 1)]
    machine.look()
    assert machine.stopped == []


def test_text_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(as_json=False)
    bad = Finding("RG402", "port:1", "x\x1b[2J listens", where="port 1", fix="one\nor two")
    lines.event(Event(NOW, NEW, "k", bad))
    lines.event(Event(NOW, GONE, "k", bad))
    lines.said(NOW, "policy", "broken", "routeguard policy validate")
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(NOW))
    assert unstyle(capsys.readouterr().out).splitlines() == [
        f"{clock}  new      x\\x1b[2J listens [RG402]",
        "                     where: port 1",
        "                     fix:   one",
        "                            or two",
        f"{clock}  gone     x\\x1b[2J listens [RG402]",
        f"{clock}  policy   broken",
        "                     fix:   routeguard policy validate",
    ]


# The policy --------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    (place / ".config/routeguard").mkdir(parents=True)
    return place


def write_policy(home: Path, text: str) -> None:
    file = home / ".config/routeguard/policy.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)


def test_a_policy_that_turns_invalid_keeps_the_last_good_one(home: Path) -> None:
    write_policy(home, '[proxies]\naction = "flag"\n')
    policy = PolicyInForce("/", {"HOME": str(home)})
    assert policy.current.proxies_action == "flag"
    write_policy(home, "[proxies\n")
    said = policy.reload()
    assert "the last good policy stays in force" in said
    assert policy.reload() == ""
    assert policy.current.proxies_action == "flag"
    write_policy(home, '[proxies]\naction = "stop"\n')
    assert policy.reload() == "the policy can be read again"
    assert policy.current.proxies_action == "stop"
    assert policy.reload() == ""


def test_a_home_that_vanishes_does_not_loosen_the_policy(home: Path) -> None:
    write_policy(home, '[proxies]\naction = "stop"\n')
    policy = PolicyInForce("/", {"HOME": str(home)})
    home.rename(home.with_name("away"))
    assert "the home directory is gone" in policy.reload()
    assert policy.current.proxies_action == "stop"
    home.with_name("away").rename(home)
    assert policy.reload() == "the policy can be read again"


def test_a_policy_that_is_broken_at_the_start_is_an_error(home: Path) -> None:
    write_policy(home, "[proxies\n")
    with pytest.raises(PolicyError):
        PolicyInForce("/", {"HOME": str(home)})


# Notifications -----------------------------------------------------------------------------------


def notifier(folder: Path, text: str) -> dict[str, str]:
    """A stand-in for notify-send first on PATH."""
    folder.mkdir()
    program = folder / "notify-send"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "OUT": str(folder / "out")}


def content(path: Path, lines: int) -> list[str]:
    """The lines of `path` once there are so many."""
    for _ in range(200):
        if path.exists() and len(path.read_text().splitlines()) >= lines:
            break
        time.sleep(0.02)
    return path.read_text().splitlines()


@pytest.mark.skipif(sys.platform == "darwin", reason="notify-send is Linux's")
def test_one_notification_for_a_look(tmp_path: Path) -> None:
    environ = notifier(tmp_path / "bin", 'for word; do echo "$word"; done >> "$OUT"')
    notices = Notices(environ, wanted=True)
    notices.show(["it <b>listens</b> & more", "another"])
    assert content(tmp_path / "bin/out", 4) == [
        "--app-name=routeguard",
        "--",
        "routeguard",
        "it &lt;b&gt;listens&lt;/b&gt; &amp; more (and 1 more)",
    ]
    notices.show([])
    notices.close()
    assert len(content(tmp_path / "bin/out", 4)) == 4


@pytest.mark.skipif(sys.platform == "darwin", reason="notify-send is Linux's")
def test_notifications_that_hang_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = notifier(tmp_path / "bin", 'echo x >> "$OUT"; exec sleep 60')
    notices = Notices(environ, wanted=True)
    for _ in range(9):
        notices.show(["x"])
    assert len(notices._shown) == 3
    monkeypatch.setattr(desktop, "NOTICE_SECONDS", 0.0)
    pids = [process.pid for process, _ in notices._shown]
    notices.show([])
    assert notices._shown == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_where_there_is_no_desktop_nothing_is_started(tmp_path: Path) -> None:
    environ = notifier(tmp_path / "bin", 'echo x >> "$OUT"')
    assert desktop._notifier({**environ, "DISPLAY": ":0"}, sure=False).endswith("notify-send")
    assert desktop._notifier(environ, sure=False) == ""
    assert desktop._notifier({"PATH": str(tmp_path)}, sure=True) == ""
    Notices(environ, wanted=False).show(["x"])
    broken = Notices(environ, wanted=True)
    (tmp_path / "bin/notify-send").unlink()
    broken.show(["x"])
    assert not (tmp_path / "bin/out").exists()


def test_osascript_gets_the_text_as_data() -> None:
    words = desktop._notice("/usr/bin/osascript", "routeguard", '" & do shell script "id')
    assert words[-3:] == ["--", "routeguard", '" & do shell script "id']
    assert not any("shell script" in word for word in words[:-1])


# The whole command -------------------------------------------------------------------------------

CODE = """
import sys
from guard.launch import watcher
watcher._judge = lambda listeners, policy: []
from guard.commands.watch import watch
from guard.errors import GuardError
try:
    sys.exit(watch.main(args=sys.argv[1:], standalone_mode=False))
except GuardError as error:
    print(error.render(), file=sys.stderr)
    sys.exit(error.exit_code)
"""
"""The command on this machine's own processes; its sockets belong to other tests, too."""

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def run(home: Path) -> Iterator[Run]:
    begun: list[subprocess.Popen[str]] = []

    def start(*argv: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, *argv],
            env={"HOME": str(home), "PATH": os.environ["PATH"], **(env or {})},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start a program called `claude` with a key and a prompt; ended at the end."""
    program = tmp_path / "claude"
    program.write_text("#!/bin/bash\necho up\nread -r line\n")
    program.chmod(0o755)
    begun: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [program, f"a prompt with {CANARY}"],
            env={"PATH": os.environ["PATH"], "OPENAI_API_KEY": CANARY},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def line_about(watching: subprocess.Popen[str], pid: int, what: str) -> dict[str, Any]:
    """The next JSON line that is about `pid`."""
    assert watching.stdout is not None
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not select.select([watching.stdout], [], [], 1.0)[0]:
            continue
        text = watching.stdout.readline()
        assert CANARY not in text
        if not text:
            break
        said: dict[str, Any] = json.loads(text)
        if said.get("subject") == f"pid:{pid}" and said["event"] == what:
            return said
    pytest.fail(f"no line says that {pid} is {what}")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)], ids=["INT", "TERM"]
)
def test_a_loop_sees_an_agent_and_ends_on_a_signal(
    run: Run,
    claude: Callable[[], subprocess.Popen[bytes]],
    number: signal.Signals,
    status: int,
) -> None:
    first = claude()
    watching = run("--interval", "0.2", "--json")
    said = line_about(watching, first.pid, "present")
    assert (said["rule"], said["severity"]) == ("RG405", "error")
    second = claude()
    line_about(watching, second.pid, "new")
    second.kill()
    second.wait()
    line_about(watching, second.pid, "gone")
    watching.send_signal(number)
    _, err = watching.communicate(timeout=30)
    assert watching.returncode == status
    assert err == ""


def test_once(run: Run, claude: Callable[[], subprocess.Popen[bytes]]) -> None:
    process = claude()
    looking = run("--once", "--json")
    out, err = looking.communicate(timeout=60)
    assert looking.returncode == 1, err
    assert f"pid:{process.pid}" in out
    assert CANARY not in out + err


def test_a_broken_policy_ends_it_at_the_start(run: Run, home: Path) -> None:
    write_policy(home, "[proxies\n")
    looking = run("--once")
    out, err = looking.communicate(timeout=60)
    assert looking.returncode == 3
    assert out == ""
    assert "RG501" in err


@pytest.mark.parametrize("argv", [["--interval", "0"], ["--on-find", "kill"], ["port"]])
def test_what_it_does_not_understand(argv: list[str]) -> None:
    assert CliRunner().invoke(watch, argv).exit_code == 2
