"""From listening sockets to what is behind them: real processes in a network of their own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

import psutil
import pytest

from guard.proxies import fingerprint
from guard.proxies.find import GATEWAY, HTTP_PROXY, find_listeners, judge_listeners
from guard.proxies.found import OTHER, PROXY, SUSPECT, UNKNOWN
from guard.sources import processes
from guard.sources.listener import Listener
from guard.sources.sockets import listening

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")

SCENE = """
import json, os, signal, subprocess, sys, time
from guard.catalog import agents, local_proxies
from guard.proxies import fingerprint
from guard.proxies.find import judge_listeners
from guard.sources import processes
from guard.sources.sockets import listening
import encodings.idna, psutil, pwd, selectors
# another user may not be able to read what is imported or opened later
agents.agents(), local_proxies.distinctive()
given = json.loads(sys.argv[1])
started = [
    subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=given["cwd"],
                     start_new_session=True)
    for words in given["commands"]
]
try:
    deadline = time.monotonic() + 50
    while True:
        there = [one for one in listening() if one.port in given["ports"]]
        held = {pid for pids in processes.holders(there) for pid in pids}
        if len(there) >= given["sockets"] and len(held) >= given["holders"]:
            break
        assert time.monotonic() < deadline, listening()
        time.sleep(0.02)
    child = os.fork() if given["uid"] else 0
    if child:
        assert os.waitpid(child, 0)[1] == 0
        sys.exit()
    if given["uid"]:
        os.setgid(given["uid"])
        os.setuid(given["uid"])
    found = judge_listeners(listening(), **given["options"])
    print(json.dumps([
        {
            "port": one.found.port, "verdict": one.found.verdict, "proxy": one.found.proxy,
            "name": one.found.name, "how": one.found.how, "settled": one.settled,
            "addresses": [listener.address for listener in one.found.listeners],
            "program": one.found.process.program if one.found.process else None,
            "pid": one.found.process.pid if one.found.process else None,
            "since": one.found.process.since if one.found.process else 0,
            "user": one.found.process.user if one.found.process else "",
            "others": [other.pid for other in one.found.others],
            "parents": one.found.process.parents if one.found.process else [],
            "pids": [process.pid for process in started],
            "now": time.time(),
        }
        for one in found
    ]))
    sys.stdout.flush()
finally:
    if os.getuid() == given["me"]:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)  # workers, too
            process.wait()
    else:
        os._exit(0 if sys.exc_info()[0] is None else 1)
"""

LISTENS = """
import socket, sys, time
made = socket.create_server(("127.0.0.1", int(sys.argv[-1])))
while True:
    connection, _ = made.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello")
    connection.close()
"""


class Network(Protocol):
    def python(self, code: str, *arguments: str, timeout: float = 60) -> str: ...


Scene = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def scene(private_network: Network, tmp_path: Path) -> Scene:
    """Start commands in a fresh network, wait for their ports, and say what was found.

    It waits for `sockets` on these ports, by default one each, and for as many `holders` of them.
    """

    def run(
        *commands: list[str],
        ports: list[int],
        options: Mapping[str, object] | None = None,
        sockets: int = 0,
        holders: int = 1,
        uid: int = 0,
    ) -> list[dict[str, Any]]:
        given = {
            "commands": commands,
            "ports": ports,
            "options": options or {},
            "cwd": str(tmp_path),
            "sockets": sockets or len(set(ports)),
            "holders": holders,
            "uid": uid,
            "me": os.getuid(),
        }
        found: list[dict[str, Any]] = json.loads(private_network.python(SCENE, json.dumps(given)))
        return found

    return run


def program(directory: Path, name: str, text: str = LISTENS, interpreter: str = "") -> str:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{interpreter or sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return str(path)


class TestVerdicts:
    def test_a_known_program_on_any_port(self, scene: Scene, tmp_path: Path) -> None:
        (one,) = scene([program(tmp_path, "litellm"), "--port", "5123"], ports=[5123])
        assert (one["verdict"], one["proxy"], one["how"]) == (PROXY, "litellm", "program litellm")
        assert (one["program"], one["pid"]) == ("litellm", one["pids"][0])
        assert 0 <= one["now"] - one["since"] < 60
        assert one["user"] == processes.user_name(os.getuid())
        assert one["parents"]

    def test_a_link_to_it(self, scene: Scene, tmp_path: Path) -> None:
        program(tmp_path, "litellm")
        (tmp_path / "harmless").symlink_to("litellm")
        (one,) = scene([str(tmp_path / "harmless"), "5123"], ports=[5123])
        assert (one["verdict"], one["proxy"], one["program"]) == (PROXY, "litellm", "harmless")

    def test_a_dedicated_port_is_suspect(self, scene: Scene, tmp_path: Path) -> None:
        (one,) = scene([program(tmp_path, "thing"), "11434"], ports=[11434])
        assert (one["verdict"], one["proxy"]) == (SUSPECT, "ollama")
        assert one["how"] == "port 11434 is that of Ollama"

    def test_a_shared_port_is_not(self, scene: Scene, tmp_path: Path) -> None:
        made = program(tmp_path, "thing")
        ports = [3000, 4000, 5000, 8000, 8080, 8787]
        found = scene(*([made, str(port)] for port in ports), ports=ports)
        assert [(one["port"], one["verdict"], one["settled"]) for one in found] == [
            (port, UNKNOWN, True) for port in ports
        ]

    def test_the_server_of_the_standard_library(self, scene: Scene) -> None:
        commands = [[sys.executable, "-m", "http.server", str(port)] for port in (8000, 8080)]
        found = scene(*commands, ports=[8000, 8080])
        assert [one["verdict"] for one in found] == [UNKNOWN, UNKNOWN]

    def test_an_agent_that_listens(self, scene: Scene, tmp_path: Path) -> None:
        (one,) = scene([program(tmp_path, "opencode"), "serve", "4096"], ports=[4096])
        assert (one["verdict"], one["proxy"]) == (OTHER, "")

    def test_an_answer_tells_on_any_port(self, scene: Scene, tmp_path: Path) -> None:
        text = LISTENS.replace("Length: 5", "Length: 20").replace("hello", "AI Gateway says hey!")
        (one,) = scene([program(tmp_path, "main", text), "6123"], ports=[6123])
        assert (one["verdict"], one["proxy"]) == (PROXY, "portkey-gateway-oss")
        assert one["how"] == "answers GET / as it does"
        (one,) = scene(
            [program(tmp_path, "main", text), "6123"], ports=[6123], options={"probe": False}
        )
        assert one["verdict"] == UNKNOWN

    def test_who_does_not_answer_is_not_settled(self, scene: Scene, tmp_path: Path) -> None:
        text = LISTENS.replace(
            "    connection.sendall", "    time.sleep(9)\n    connection.sendall"
        )
        (one,) = scene([program(tmp_path, "main", text), "6123"], ports=[6123])
        assert (one["verdict"], one["settled"]) == (UNKNOWN, False)

    def test_the_gateway_and_the_http_proxy_of_the_policy(
        self, scene: Scene, tmp_path: Path
    ) -> None:
        made = program(tmp_path, "litellm")
        found = scene(
            [made, "4000"],
            [made, "3128"],
            ports=[3128, 4000],
            options={"gateway": "http://127.0.0.1:4000/v1", "proxy": "http://localhost:3128"},
        )
        said = [(one["verdict"], one["name"], one["proxy"]) for one in found]
        assert said == [(OTHER, HTTP_PROXY, ""), (OTHER, GATEWAY, "")]

    def test_a_master_and_its_workers_are_one(self, scene: Scene, tmp_path: Path) -> None:
        text = LISTENS.replace("while True", "import os\nos.fork() and os.fork()\nwhile True", 1)
        (one,) = scene([program(tmp_path, "litellm", text), "4000"], ports=[4000], holders=3)
        assert one["pid"] == one["pids"][0]
        assert len(one["others"]) == 2

    def test_twice_forked(self, scene: Scene, tmp_path: Path) -> None:
        # ends by itself: nobody is left who could end it
        text = (
            "import os, signal\n"
            "if os.fork(): os._exit(0)\nos.setsid()\n"
            "if os.fork(): os._exit(0)\nsignal.alarm(50)\n" + LISTENS
        )
        (one,) = scene([program(tmp_path, "litellm", text), "4000"], ports=[4000])
        assert (one["verdict"], one["pid"] in one["pids"]) == (PROXY, False)

    def test_two_programs_on_one_port(self, scene: Scene, tmp_path: Path) -> None:
        text = LISTENS.replace("int(sys.argv[-1]))", "int(sys.argv[-1])), reuse_port=True")
        found = scene(
            [program(tmp_path, "litellm", text), "4000"],
            [program(tmp_path, "other", text), "4000"],
            ports=[4000],
            sockets=2,
        )
        assert sorted((one["verdict"], one["program"]) for one in found) == [
            (PROXY, "litellm"),
            (UNKNOWN, "other"),
        ]

    @pytest.mark.parametrize("kind", ["ipv6", "both", "wildcard", "mptcp"])
    def test_sockets_of_every_kind(self, scene: Scene, tmp_path: Path, kind: str) -> None:
        made = {
            "ipv6": 'socket.create_server(("::1", int(sys.argv[-1])), family=socket.AF_INET6)',
            "both": 'socket.create_server(("::", int(sys.argv[-1])), family=socket.AF_INET6,'
            " dualstack_ipv6=True)",
            "wildcard": 'socket.create_server(("0.0.0.0", int(sys.argv[-1])))',
            "mptcp": "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262);"
            ' made.bind(("127.0.0.1", int(sys.argv[-1]))); made.listen()',
        }[kind]
        text = LISTENS.replace('socket.create_server(("127.0.0.1", int(sys.argv[-1])))', made)
        (one,) = scene([program(tmp_path, "litellm", text), "5123"], ports=[5123])
        assert (one["verdict"], one["proxy"]) == (PROXY, "litellm")

    def test_two_families_are_one_record(self, scene: Scene, tmp_path: Path) -> None:
        text = LISTENS.replace(
            "while True",
            'second = socket.create_server(("::1", int(sys.argv[-1])), family=socket.AF_INET6)\n'
            "while True",
            1,
        )
        (one,) = scene([program(tmp_path, "litellm", text), "4000"], ports=[4000], sockets=2)
        assert one["addresses"] == ["127.0.0.1", "::1"]

    @pytest.mark.parametrize("name", ["start-server", "link"])
    def test_the_real_portkey_gateway(
        self, scene: Scene, missing_part: Callable[[str], NoReturn], name: str
    ) -> None:
        parts = Path(__file__).resolve().parents[1] / "parts"
        real = f"{parts}/node_modules/@portkey-ai/gateway/build/start-server.js"
        if not os.path.exists(real) or shutil.which("node") is None:
            missing_part("node and @portkey-ai/gateway: npm install @portkey-ai/gateway")
        script = real if name == "start-server" else f"{parts}/node_modules/.bin/gateway"
        (one,) = scene(["node", script, "--port=8787"], ports=[8787])
        assert (one["verdict"], one["proxy"]) == (PROXY, "portkey-gateway-oss")
        assert one["how"] == "file of its npm package"


class TestAnotherUser:
    @pytest.fixture(autouse=True)
    def root_alone(self) -> None:
        if os.getuid() != 0:
            pytest.skip("only root can start a process of another user")

    def test_a_known_command_line_of_the_sockets_user(self, scene: Scene, tmp_path: Path) -> None:
        os.chmod(tmp_path, 0o755)
        (one,) = scene([program(tmp_path, "litellm"), "--port", "5123"], ports=[5123], uid=65534)
        assert (one["verdict"], one["proxy"]) == (PROXY, "litellm")
        assert "a process of its user root" in one["how"]

    def test_a_dedicated_port(self, scene: Scene, tmp_path: Path) -> None:
        (one,) = scene([program(tmp_path, "thing"), "11434"], ports=[11434], uid=65534)
        assert (one["verdict"], one["program"]) == (SUSPECT, None)

    def test_a_shared_port(self, scene: Scene, tmp_path: Path) -> None:
        (one,) = scene([program(tmp_path, "thing"), "8000"], ports=[8000], uid=65534)
        assert (one["verdict"], one["program"], one["settled"]) == (UNKNOWN, None, True)


class Tree:
    """A process table made of files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def process(
        self,
        pid: int,
        *argv: str,
        inode: int = 0,
        started: int = 100,
        parent: int = 0,
        uid: int = -1,
        cgroup: str = "",
    ) -> Path:
        home = self.root / str(pid)
        (home / "fd").mkdir(parents=True)
        (home / "stat").write_text(
            f"{pid} (a) b) S {parent} " + "0 " * 17 + f"{started} " + "0 " * 30 + "\n"
        )
        (home / "status").write_text(
            f"Name:\tx\nUid:\t{os.getuid() if uid < 0 else uid}\t0\t0\t0\n"
        )
        (home / "cmdline").write_bytes(b"\0".join(map(os.fsencode, argv)) + b"\0")
        (home / "cgroup").write_text(cgroup)
        if inode:
            os.symlink(f"socket:[{inode}]", home / "fd" / "3")
        return home


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return Tree(table_at(tmp_path / "proc", monkeypatch))


def table_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the process table read from `root` from here on."""
    monkeypatch.setattr(processes, "PROC", str(root))
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(root))
    return root


def on(port: int, inode: int = 0, uid: int | None = None) -> Listener:
    return Listener("10.9.8.7", port, uid=os.getuid() if uid is None else uid, inode=inode)


class TestAProcessTableThatDoesNotHelp:
    """Never an exception: the port alone, or nothing."""

    def verdicts(self, *listeners: Listener) -> list[str]:
        return [one.verdict for one in find_listeners(listeners)]

    def test_no_proc(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        table_at(tmp_path / "nothing", monkeypatch)
        assert self.verdicts(on(8000, 1), on(11434, 2)) == [UNKNOWN, SUSPECT]

    def test_hidepid(self, tree: Tree) -> None:
        """Foreign processes are not listed at all."""
        tree.process(10, "bash")
        assert self.verdicts(on(8000, 1, uid=999), on(11434, 2, uid=999)) == [
            UNKNOWN,
            SUSPECT,
        ]

    def test_uid_unknown(self, tree: Tree) -> None:
        tree.process(10, "litellm")
        assert self.verdicts(Listener("127.0.0.1", 1)) == [UNKNOWN]

    def test_it_is_read_at_all(self, tree: Tree) -> None:
        tree.process(10, "/bin/litellm", inode=5)
        (one,) = find_listeners([on(4000, 5)])
        assert (one.verdict, one.process is not None) == (PROXY, True)

    @pytest.mark.parametrize("missing", ["stat", "cmdline", "status", "cgroup", "fd"])
    def test_a_file_is_missing(self, tree: Tree, missing: str) -> None:
        home = tree.process(10, "/bin/litellm", inode=5)
        path = home / missing
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        wanted = [PROXY] if missing in ("status", "cgroup") else [UNKNOWN]
        if missing == "fd":  # as another user's process: its command line tells
            wanted = [PROXY]
        assert self.verdicts(on(4001 if missing != "fd" else 4000, 5)) == wanted

    @pytest.mark.parametrize("text", ["", "1", "1 (x", "1 (x) S", "1 (x) S a b c", "1 (x) Z 1" * 9])
    def test_nonsense_in_stat(self, tree: Tree, text: str) -> None:
        home = tree.process(10, "/bin/litellm", inode=5)
        (home / "stat").write_text(text)
        assert self.verdicts(on(4001, 5)) == [UNKNOWN]

    def test_it_exits_between_the_looks(self, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
        home = tree.process(10, "/bin/litellm", inode=5)
        real = processes.holders

        def then_gone(*given: Any, **named: Any) -> list[tuple[int, ...]]:
            found = real(*given, **named)
            shutil.rmtree(home)
            return found

        monkeypatch.setattr(processes, "holders", then_gone)
        (one,) = judge_listeners([on(4001, 5)])
        assert (one.found.verdict, one.found.process, one.settled) == (UNKNOWN, None, False)

    def test_its_number_is_reused_between_the_looks(
        self, tree: Tree, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = tree.process(10, "/bin/harmless", inode=5)
        real = processes.holders

        def then_another(*given: Any, **named: Any) -> list[tuple[int, ...]]:
            found = real(*given, **named)
            shutil.rmtree(home)
            tree.process(10, "/bin/litellm", started=200)  # holds no socket
            return found

        monkeypatch.setattr(processes, "holders", then_another)
        (one,) = judge_listeners([on(4001, 5)])
        assert (one.found.verdict, one.found.process) == (UNKNOWN, None)

    def test_its_number_is_reused_while_it_is_read(
        self, tree: Tree, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = tree.process(10, "/bin/litellm", inode=5)
        real = processes._arguments

        def then_another(process: psutil.Process) -> tuple[str, ...]:
            argv = real(process)
            stat = home / "stat"
            stat.write_text(stat.read_text().replace(" 100 ", " 200 "))
            return argv

        monkeypatch.setattr(processes, "_arguments", then_another)
        assert self.verdicts(on(4001, 5)) == [UNKNOWN]

    def test_a_parent_that_is_younger_is_none(self, tree: Tree) -> None:
        tree.process(9, "/bin/litellm", started=500)
        tree.process(10, "node", "x.js", inode=5, parent=9)
        (one,) = find_listeners([on(4001, 5)])
        assert one.verdict == UNKNOWN
        assert one.process is not None
        assert one.process.parents == ()

    def test_parents_in_a_circle(self, tree: Tree) -> None:
        tree.process(9, "sh", parent=10)
        tree.process(10, "litellm", inode=5, parent=9)
        assert self.verdicts(on(4001, 5)) == [PROXY]


def test_a_namesake_that_does_not_hold_the_socket_is_no_suspect(tree: Tree) -> None:
    """It may run in another network namespace, or hold another port."""
    tree.process(30, "/usr/bin/ollama", "serve", inode=1)
    (found,) = find_listeners([on(11434, 2)])
    assert (found.verdict, found.process) == (SUSPECT, None)


class TestForwarders:
    def test_a_foreign_docker_proxy_is_known_by_its_command_line(
        self, tree: Tree, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uid = os.stat(tree.root.parent).st_uid
        home = tree.process(
            20, "/usr/bin/docker-proxy", "-host-port", "9123", "-container-port", "4000", uid=uid
        )
        (home / "fd").rmdir()  # root's: nobody else may look into it
        seen: list[fingerprint.Target] = []

        def ask(targets: list[fingerprint.Target]) -> list[fingerprint.HttpAnswer]:
            seen.extend(targets)
            return [fingerprint.HttpAnswer(definite=True) for _ in targets]

        monkeypatch.setattr(fingerprint, "ask", ask)
        find_listeners([Listener("0.0.0.0", 9123, uid=uid, inode=77)])
        assert [(one.port, one.catalogued) for one in seen] == [(9123, 4000)]

    def test_containers_by_image(
        self, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        line = r"web\tghcr.io/berriai/litellm:main\t0.0.0.0:9123->4000/tcp, [::]:9123->4000/tcp"
        program(tmp_path / "bin", "docker", f"printf '{line}\\n'\n", "/bin/sh")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        listener = Listener("0.0.0.0", 9123, uid=999, inode=77)
        (one,) = find_listeners([listener], containers=True)
        assert (one.verdict, one.proxy) == (PROXY, "litellm")
        assert one.keeper is not None
        assert one.keeper.stop == ("docker", "stop", "web")
        assert [f.verdict for f in find_listeners([listener])] == [UNKNOWN]


def test_only_who_may_be_asked_is_asked(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.process(1, "/usr/lib/systemd/systemd", inode=1)
    tree.process(2, "/usr/bin/opencode", inode=2)
    tree.process(3, "/usr/bin/postgres", inode=3)
    tree.process(4, "/usr/bin/python3", "main.py", inode=4)
    tree.process(5, "/usr/bin/postgres", inode=5)
    tree.process(6, "/usr/bin/litellm", inode=6)
    seen: list[int] = []

    def ask(targets: list[fingerprint.Target]) -> list[fingerprint.HttpAnswer]:
        seen.extend(one.port for one in targets)
        return [fingerprint.HttpAnswer(definite=True) for _ in targets]

    monkeypatch.setattr(fingerprint, "ask", ask)
    at = {8000: 1, 8080: 2, 5432: 3, 6123: 4, 8081: 5, 4000: 6}
    judged = judge_listeners(
        [Listener("127.0.0.1", port, inode=inode) for port, inode in at.items()],
    )
    assert sorted(seen) == [6123, 8081]
    assert [one.found.port for one in judged if not one.settled] == [8000], "held by systemd"
    seen.clear()
    find_listeners([Listener("192.168.7.7", 8081, inode=5)])
    assert seen == [], "not on loopback"


def test_our_own_listener_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as made:
        port = made.getsockname()[1]
        (one,) = find_listeners([one for one in listening() if one.port == port])
    assert (one.verdict, one.how) == (OTHER, "routeguard itself")


def test_a_socket_that_closes_at_once() -> None:
    """Whatever the moment, no exception."""
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            with subprocess.Popen(
                [sys.executable, "-c", "import socket; socket.create_server(('127.0.0.1', 0))"]
            ):
                pass

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(15):
            find_listeners(listening(), probe=False)
    finally:
        stop.set()
        thread.join()
