"""The check at every launch: cheap, remembers what is harmless, and forgets in time."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from guard.policy.values import CompiledPolicy, PolicyException
from guard.proxies import find, glance, harmless
from guard.proxies.find import Judgement
from guard.proxies.found import OTHER, PROXY, SUSPECT, UNKNOWN, Found
from guard.sources import processes, sockets
from guard.sources.listener import Listener, SocketsUnreadableError

NOW = 1_800_000_000.0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cookies are Linux's")


def _a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


class World:
    """What listens and what `find` would say of it; counts how often it is asked."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.environ = {"HOME": str(home)}
        self.file = home / ".cache/routeguard/listeners"
        self.listeners: list[Listener] = []
        self.verdicts: dict[int, tuple[str, bool]] = {}
        self.judged: list[int] = []
        self.policy = CompiledPolicy()
        self.owner = "10:100:1:2:abc"
        monkeypatch.setattr(find, "judge_listeners", self._judge)
        monkeypatch.setattr(harmless, "owners", lambda found: dict.fromkeys(found, self.owner))

    def _judge(
        self, listeners: list[Listener], *, gateway: str, strangers: bool
    ) -> Iterator[Judgement]:
        assert gateway == self.policy.base_url
        assert not strangers, "a launch asks ports of the catalogue only"
        for one in listeners:
            self.judged.append(one.port)
            verdict, settled = self.verdicts[one.port]
            yield Judgement(Found(one.port, (one,), verdict=verdict), settled=settled)

    def add(self, port: int, verdict: str, cookie: int = 0, *, settled: bool = True) -> None:
        self.listeners.append(Listener("127.0.0.1", port, cookie=cookie or port))
        self.verdicts[port] = (verdict, settled)

    def look(self, now: float = NOW, *, write: bool = True) -> list[int]:
        """Ports that are forbidden; `judged` has those that had to be looked at."""
        self.judged = []
        found = glance.glance(
            self.policy, self.environ, now, write=write, listening=lambda: self.listeners
        )
        return [one.port for one in found]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_nothing_listens(world: World) -> None:
    assert world.look() == []
    assert not world.file.exists()


def test_only_what_is_forbidden(world: World) -> None:
    for port, verdict in ((1, PROXY), (2, SUSPECT), (3, OTHER), (4, UNKNOWN)):
        world.add(port, verdict)
    assert world.look() == [1, 2]
    assert world.look() == [1, 2]
    assert world.judged == [1, 2], "what is forbidden is looked at every time"


class TestExceptions:
    def test_an_allowed_port_is_not_even_looked_at(self, world: World) -> None:
        world.add(11434, PROXY)
        allowed = PolicyException(subject="port:11434", reason="r", until=NOW + 10)
        world.policy = CompiledPolicy(exceptions=(allowed,))
        assert (world.look(), world.judged) == ([], [])
        assert (world.look(NOW + 11), world.judged) == ([11434], [11434])

    def test_the_gateway_and_the_http_proxy_of_the_policy(self, world: World) -> None:
        world.add(8787, PROXY)
        world.policy = CompiledPolicy(base_url="http://127.0.0.1:8787/v1")
        assert (world.look(), world.judged) == ([], [])
        world.policy = CompiledPolicy(gateway_proxy="http://127.0.0.1:8787")
        assert (world.look(), world.judged) == ([], [])
        world.policy = CompiledPolicy()
        assert world.look() == [8787]


class TestMemory:
    def test_ten_minutes(self, world: World) -> None:
        world.add(3, OTHER)
        world.look()
        for later, judged in ((1, []), (599, []), (601, [3]), (602, [])):
            world.look(NOW + later)
            assert world.judged == judged

    def test_one_minute_where_the_owner_cannot_be_seen(self, world: World) -> None:
        for owner in ("-", "10:100:?"):
            world.owner = owner
            world.listeners = []
            world.add(3, OTHER)
            world.look()
            for later, judged in ((59, []), (61, [3])):
                world.look(NOW + later)
                assert world.judged == judged
            world.file.unlink()

    @pytest.mark.parametrize("owner", ["11:100:1:2:abc", "10:101:1:2:abc", "-", "10:100:?"])
    def test_another_owner(self, world: World, owner: str) -> None:
        world.add(3, OTHER)
        world.look()
        world.owner = owner
        world.verdicts[3] = (PROXY, True)
        assert world.look() == [3]

    @pytest.mark.parametrize("what", ["gone", "no number", "unsettled", "clock set back"])
    def test_what_is_looked_at_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        world.add(3, OTHER, settled=what != "unsettled")
        if what == "gone":
            monkeypatch.setattr(harmless, "owners", lambda found: {})
        elif what == "no number":
            world.listeners[0].cookie = 0
        world.look()
        assert world.file.exists() == (what == "clock set back")
        world.look(NOW - 3600 if what == "clock set back" else NOW)
        assert world.judged == [3]

    def test_it_is_not_prolonged_by_looking(self, world: World) -> None:
        world.add(3, OTHER)
        world.look()
        world.add(4, OTHER)
        world.look(NOW + 500)
        assert world.judged == [4]
        world.look(NOW + 650)
        assert world.judged == [3]

    def test_another_socket_on_the_same_port(self, world: World) -> None:
        world.add(3, UNKNOWN, cookie=7)
        world.look()
        world.listeners = []
        world.add(3, PROXY, cookie=8)
        assert world.look() == [3]

    def test_one_that_is_gone_is_forgotten(self, world: World) -> None:
        world.add(3, OTHER)
        world.look()
        world.listeners = []
        world.add(4, OTHER)
        world.look()
        assert len(world.file.read_text().splitlines()) == 2

    def test_a_file_of_ones_own_and_only_on_demand(self, world: World) -> None:
        world.add(3, OTHER)
        world.look(write=False)
        assert not world.file.exists()
        world.look()
        assert world.file.stat().st_mode & 0o777 == 0o600
        assert os.listdir(world.file.parent) == ["listeners"]

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda file: file.chmod(0o620),
            lambda file: file.chmod(0o602),
            lambda file: file.write_text(file.read_text().replace(":3 ", ":4 ")),
            lambda file: file.write_text(file.read_text() + "9:9 1800000500 -\n"),
            lambda file: file.write_bytes(b"\xff\xfe"),
            lambda file: file.write_text(""),
            lambda file: file.write_text("x" * (1 << 19)),
            lambda file: (file.rename(f"{file}.x"), file.symlink_to(f"{file}.x")),
            lambda file: (file.unlink(), file.mkdir()),
            _a_pipe,
        ],
        ids=[
            "group writes", "others write", "edited", "added to", "not text", "empty", "huge",
            "a link", "a directory", "a pipe",
        ],
    )  # fmt: skip
    def test_damage_counts_as_nothing(self, world: World, spoil: Callable[[Path], object]) -> None:
        world.add(3, OTHER)
        world.look()
        spoil(world.file)
        world.look()
        assert world.judged == [3]

    @pytest.mark.parametrize("what", ["boot", "network", "version"])
    def test_of_another_scope(
        self, world: World, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        world.add(3, OTHER)
        world.look()
        scope = harmless._scope()
        monkeypatch.setattr(harmless, "_scope", lambda: f"{scope}{what}")
        world.look()
        assert world.judged == [3]
        monkeypatch.setattr(harmless, "_scope", lambda: "")
        assert (world.look(), world.judged) == ([], [3])

    def test_no_place_for_it(self, world: World, tmp_path: Path) -> None:
        (tmp_path / ".cache").write_text("a file")
        world.add(3, OTHER)
        world.add(4, PROXY)
        assert world.look() == [4]


class TestUnreadable:
    def fail(self) -> list[Listener]:
        raise SocketsUnreadableError("netlink: no; table: no")

    def test_it_is_said(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sockets, "accepting", lambda _: [])
        with pytest.raises(SocketsUnreadableError):
            glance.glance(world.policy, world.environ, NOW, listening=self.fail)

    def test_a_proxy_that_accepts_is_found(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.verdicts[11434] = (PROXY, True)
        monkeypatch.setattr(sockets, "accepting", lambda _: [Listener("127.0.0.1", 11434)])
        found = glance.glance(world.policy, world.environ, NOW, listening=self.fail)
        assert [one.port for one in found] == [11434]

    def test_listeners_of_windows(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.add(3, OTHER)
        world.verdicts[11434] = (SUSPECT, True)
        monkeypatch.setattr(sockets, "mirrored", lambda: True)
        monkeypatch.setattr(sockets, "accepting", lambda _: [Listener("127.0.0.1", 11434)])
        assert world.look() == [11434]


def test_for_real(tmp_path: Path) -> None:
    """A listener of this process: looked at, harmless, remembered by the kernel's number."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        port = made.getsockname()[1]
        here = [one for one in sockets.listening() if one.port == port]
        found = glance.glance(
            CompiledPolicy(), {"HOME": str(tmp_path)}, time.time(), listening=lambda: here
        )
    assert found == []
    written = (tmp_path / ".cache/routeguard/listeners").read_text()
    assert f"\n{here[0].cookie}:{port} " in written
    assert f" {os.getpid()}:" in written


SERVER = """
import array, os, socket, sys, time
{how}
made = socket.create_server(("127.0.0.1", 0))
made.set_inheritable(True)
print(made.getsockname()[1], flush=True)
sys.stdin.readline()
become(made)
print(flush=True)
time.sleep(60)
"""

BECOMES = {
    "exec in place": "def become(made): os.execv({proxy}, [{proxy}])",
    "exec of a copy of the interpreter, with the same arguments": (
        "def become(made):\n    os.execv({python}, [sys.executable, *sys.orig_argv[1:]])"
    ),
    "a child that serves it": (
        "def become(made):\n    if os.fork() == 0: os.execv({proxy}, [{proxy}])"
    ),
    "a child whose parent ends": (
        "def become(made):\n    if os.fork(): os._exit(0)\n    os.execv({proxy}, [{proxy}])"
    ),
    "passed to a process that was there": """
ours, theirs = socket.socketpair()
if os.fork() == 0:
    fd = socket.recv_fds(theirs, 1, 1)[1][0]
    os.set_inheritable(fd, True)
    os.execv({proxy}, [{proxy}])
def become(made): socket.send_fds(ours, [b"x"], [made.fileno()])
""",
    "a second socket on the same port": """
create = socket.create_server
socket.create_server = lambda at: create(at, reuse_port=True)
def become(made):
    create(made.getsockname(), reuse_port=True).set_inheritable(True)
    if os.fork() == 0: os.execv({proxy}, [{proxy}])
""",
}


@pytest.mark.parametrize("how", BECOMES)
def test_a_harmless_listener_that_becomes_a_proxy(tmp_path: Path, how: str) -> None:
    """Remembered as harmless, its socket gets served by LiteLLM: the next launch says so."""
    proxy = tmp_path / "litellm"
    proxy.write_text(f"#!{sys.executable}\nimport time\nprint(flush=True)\ntime.sleep(60)\n")
    proxy.chmod(0o755)
    python = tmp_path / "bin/litellm"
    python.parent.mkdir()
    shutil.copy(os.path.realpath(sys.executable), python)
    code = BECOMES[how].format(proxy=repr(str(proxy)), python=repr(str(python)))
    script = tmp_path / "main.py"
    script.write_text(SERVER.format(how=code))
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as server:
        try:
            assert server.stdin is not None
            assert server.stdout is not None
            port = int(server.stdout.readline())

            def look() -> list[Found]:
                return glance.glance(
                    CompiledPolicy(),
                    {"HOME": str(tmp_path)},
                    time.time(),
                    listening=lambda: [one for one in sockets.listening() if one.port == port],
                )

            assert look() == []
            before = (tmp_path / ".cache/routeguard/listeners").read_text()
            assert look() == []
            server.stdin.write("\n")
            server.stdin.flush()
            server.stdout.readline()
            deadline = time.monotonic() + 60
            while not (found := look()) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert [(one.verdict, one.proxy) for one in found] == [(PROXY, "litellm")]
            assert f":{port} " in before
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def test_the_same_program_with_the_same_arguments_again(tmp_path: Path) -> None:
    """What it runs may have changed since: exec(2) alone is enough to be judged again."""
    script = tmp_path / "main.py"
    script.write_text(
        "import os, sys\nprint(flush=True)\nsys.stdin.readline()\n"
        "os.execv(sys.executable, sys.orig_argv)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        first, same = processes.running(child.pid), processes.running(child.pid)
        child.stdin.write("\n")
        child.stdin.flush()
        child.stdout.readline()
        second = processes.running(child.pid)
        child.kill()
    assert first == same
    if Path("/proc/sys/kernel/randomize_va_space").read_text().strip() != "0":
        assert first != second


def test_memory_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, with psutil alone; what psutil says on a Mac is not shown by this."""
    monkeypatch.setattr(processes, "_LINUX", False)
    monkeypatch.setattr(harmless.sys, "platform", "darwin")
    monkeypatch.setattr(psutil, "pids", lambda: [os.getpid()])
    asked: list[int] = []

    def judge(listeners: list[Listener], **_: object) -> Iterator[Judgement]:
        for one in listeners:
            asked.append(one.port)
            yield Judgement(Found(one.port, (one,), verdict=OTHER), settled=True)

    monkeypatch.setattr(find, "judge_listeners", judge)
    with socket.create_server(("127.0.0.1", 0)) as made:
        port = made.getsockname()[1]
        for _ in range(3):
            glance.glance(
                CompiledPolicy(),
                {"HOME": str(tmp_path)},
                time.time(),
                listening=lambda: [Listener("127.0.0.1", port)],
            )
        assert asked == [port]
        changed = processes.running(os.getpid()) + "0"
        monkeypatch.setattr(processes, "running", lambda pid: changed)
        glance.glance(
            CompiledPolicy(),
            {"HOME": str(tmp_path)},
            time.time(),
            listening=lambda: [Listener("127.0.0.1", port)],
        )
    assert asked == [port, port]


def test_nothing_slow_is_imported_when_nothing_listens(
    private_network: object, tmp_path: Path
) -> None:
    root = str(Path(glance.__file__).parents[2])
    code = (
        f"import sys; sys.path.insert(0, {root!r})\n"
        "from guard.policy.values import CompiledPolicy\n"
        "from guard.proxies.glance import glance\n"
        f"assert glance(CompiledPolicy(), {{'HOME': {str(tmp_path)!r}}}, 1.0) == []\n"
        "print(sorted({'re', 'typing', 'json', 'dataclasses', 'socket', 'select', 'subprocess',"
        " 'guard.proxies.find', 'guard.catalog.local_proxies'} & set(sys.modules)))"
    )
    words = [sys.executable, "-I", "-S", "-c", code]
    done: subprocess.CompletedProcess[str] = private_network.run(words)  # type: ignore[attr-defined]
    assert done.stdout == "[]\n"
