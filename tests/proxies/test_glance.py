"""The check at every launch: cheap, remembers what is harmless, and forgets in time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guard.policy.compiled import CompiledPolicy, PolicyException
from guard.proxies import find, glance, seen
from guard.proxies.find import Judgement
from guard.proxies.found import OTHER, PROXY, SUSPECT, UNKNOWN, Found
from guard.sources import sockets
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
        monkeypatch.setattr(find, "judge", self._judge)

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

    def test_the_gateway_of_the_policy(self, world: World) -> None:
        world.add(8787, PROXY)
        world.policy = CompiledPolicy(base_url="http://127.0.0.1:8787/v1")
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

    def test_a_clock_that_was_set_back(self, world: World) -> None:
        world.add(3, OTHER)
        world.look()
        world.look(NOW - 3600)
        assert world.judged == [3]

    def test_it_is_not_prolonged_by_looking(self, world: World) -> None:
        world.add(3, OTHER)
        world.look()
        world.add(4, OTHER)
        world.look(NOW + 500)
        assert world.judged == [4]
        world.look(NOW + 650)
        assert world.judged == [3]

    def test_unsettled_is_looked_at_again(self, world: World) -> None:
        world.add(3, UNKNOWN, settled=False)
        world.look()
        world.look()
        assert world.judged == [3]

    def test_another_socket_on_the_same_port(self, world: World) -> None:
        world.add(3, UNKNOWN, cookie=7)
        world.look()
        world.listeners = []
        world.add(3, PROXY, cookie=8)
        assert world.look() == [3]

    def test_a_socket_without_a_number(self, world: World) -> None:
        world.add(3, OTHER)
        world.listeners[0].cookie = 0
        world.look()
        world.look()
        assert world.judged == [3]
        assert not world.file.exists()

    def test_one_that_is_gone_is_forgotten(self, world: World) -> None:
        world.add(3, OTHER)
        world.look()
        world.listeners = []
        world.add(4, OTHER)
        world.look()
        assert len(world.file.read_text().splitlines()) == 2

    def test_without_a_trace(self, world: World) -> None:
        world.add(3, OTHER)
        world.look(write=False)
        assert not world.file.exists()

    def test_a_file_of_ones_own(self, world: World) -> None:
        world.add(3, OTHER)
        world.look()
        assert world.file.stat().st_mode & 0o777 == 0o600
        assert os.listdir(world.file.parent) == ["listeners"]

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda file: file.chmod(0o620),
            lambda file: file.chmod(0o602),
            lambda file: file.write_text(file.read_text().replace("3 3", "3 4")),
            lambda file: file.write_text(file.read_text() + "9 9 1800000500\n"),
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
        scope = seen._scope()
        monkeypatch.setattr(seen, "_scope", lambda: f"{scope}{what}")
        world.look()
        assert world.judged == [3]
        monkeypatch.setattr(seen, "_scope", lambda: "")
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
    assert f"{here[0].cookie} {port} " in (tmp_path / ".cache/routeguard/listeners").read_text()


def test_nothing_slow_is_imported_when_nothing_listens(
    private_network: object, tmp_path: Path
) -> None:
    root = str(Path(glance.__file__).parents[2])
    code = (
        f"import sys; sys.path.insert(0, {root!r})\n"
        "from guard.policy.compiled import CompiledPolicy\n"
        "from guard.proxies.glance import glance\n"
        f"assert glance(CompiledPolicy(), {{'HOME': {str(tmp_path)!r}}}, 1.0) == []\n"
        "print(sorted({'re', 'typing', 'json', 'dataclasses', 'socket', 'select', 'subprocess',"
        " 'guard.proxies.find', 'guard.catalog.local_proxies'} & set(sys.modules)))"
    )
    words = [sys.executable, "-I", "-S", "-c", code]
    done: subprocess.CompletedProcess[str] = private_network.run(words)  # type: ignore[attr-defined]
    assert done.stdout == "[]\n"
