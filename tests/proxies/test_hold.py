"""Holding ports: what to hold, that a held port is held against everything, and the daemon.

What binds fixed ports runs in a network namespace of its own.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pytest

from guard.errors import GuardError
from guard.policy.compiled import CompiledPolicy, PolicyException
from guard.proxies import hold
from guard.proxies.found import Found, Process
from guard.sources.keepers import Keeper

NOW = 1_800_000_000.0

PRELUDE = '''
import atexit, errno, json, os, select, signal, socket, struct, subprocess, sys, time
from guard.proxies import hold
P = 11434
BINDS = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET, "127.0.0.2"),
         (socket.AF_INET6, "::1"), (socket.AF_INET6, "::"), (socket.AF_INET6, "::ffff:127.0.0.1")]
OPTIONS = {"plain": (), "addr": (socket.SO_REUSEADDR,), "port": (socket.SO_REUSEPORT,),
           "both": (socket.SO_REUSEADDR, socket.SO_REUSEPORT)}

def rivals(families=(socket.AF_INET, socket.AF_INET6)):
    """Every way in which another program might listen: what came of it."""
    out = {}
    for protocol in (0, 262):  # IPPROTO_MPTCP
        for family, host in BINDS:
            if family not in families:
                continue
            for only in ((0,) if family == socket.AF_INET or "ffff" in host else (0, 1)):
                for name, options in OPTIONS.items():
                    try:
                        sock = socket.socket(family, socket.SOCK_STREAM, protocol)
                    except OSError as error:
                        if protocol:
                            continue  # a kernel without MPTCP has no MPTCP listeners
                        raise
                    if family == socket.AF_INET6:
                        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
                    for option in options:
                        sock.setsockopt(socket.SOL_SOCKET, option, 1)
                    try:
                        sock.bind((host, P)); sock.listen()
                        result = "listens"
                    except OSError as error:
                        result = errno.errorcode[error.errno]
                    sock.close()
                    out[f"{protocol} {host} {only} {name}"] = result
    return out

def server(port=P, host="127.0.0.1"):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port)); sock.listen()
    return sock

class Daemon:
    def __init__(self, catalogue=(3456, 4141, P), asked=(), form="text", **environ):
        script = os.path.abspath(hold.__file__)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", script, *hold.arguments(catalogue, asked, form)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environ})
        atexit.register(self.process.kill)  # also where the scenario fails
        self.pid = self.process.pid
        self.text = ""
    def until(self, part, seconds=30):
        limit = time.monotonic() + seconds
        while part not in self.text:
            left = max(0, limit - time.monotonic())
            ready, _, _ = select.select([self.process.stdout], [], [], left)
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                raise SystemExit(f"never said {part!r}: {self.text!r} {self.process.poll()}")
            self.text += data.decode()
        return self.text
    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        self.text += out.decode()
        return self.process.returncode, err.decode()

def free(port):
    try:
        server(port).close()
    except OSError:
        return False
    return True

def policy(text):
    path = os.path.join(os.environ["HOME"], ".config/routeguard/policy.toml")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)
'''


class Network(Protocol):
    """A network namespace of one's own, as conftest.py makes it."""

    def run(
        self, words: list[str], *, env: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def in_network(private_network: Network, tmp_path: Path) -> Callable[[str], str]:
    """Runs Python code after PRELUDE in a network of its own, with a home of its own."""

    def run(code: str) -> str:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        return private_network.run(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
            env={"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            timeout=120,
        ).stdout

    return run


# What to hold -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://api.portkey.ai/v1",
        "https://gateway.corp:8443/v1",
        "http://127.0.0.1:8787/v1",
        "http://[::1]:8787",
        "http://[::1]/v1",
        "http://localhost",
    ],
)
def test_the_port_of_the_gateway_is_what_the_standard_library_reads(url: str) -> None:
    parts = urlsplit(url)
    expected = parts.port or {"https": 443, "http": 80}[parts.scheme]
    assert hold.gateway_port(url) == expected


def test_a_plan_holds_the_catalogue_and_what_the_policy_lists() -> None:
    policy = CompiledPolicy(proxies_hold=(4000, 8000))
    ports, asides = hold.plan(policy, {11434, 3456}, (), NOW)
    assert ports == {3456, 4000, 8000, 11434}
    assert asides == []


def test_named_ports_limit_the_plan_and_a_port_that_is_not_listed_is_left_alone() -> None:
    ports, asides = hold.plan(CompiledPolicy(), {11434, 3456}, {11434, 4000}, NOW)
    assert ports == {11434}
    assert [(aside.port, aside.why) for aside in asides] == [
        (4000, "the policy does not list it any more")
    ]


def test_an_exception_keeps_a_port_free_until_it_ends() -> None:
    exception = PolicyException(subject="port:11434", reason="a demo", until=NOW + 60)
    policy = CompiledPolicy(exceptions=(exception,))
    ports, asides = hold.plan(policy, {11434}, (), NOW)
    assert ports == frozenset()
    assert [aside.port for aside in asides] == [11434]
    assert asides[0].why.startswith("an exception until ")
    assert asides[0].why.endswith(": a demo")
    assert hold.plan(policy, {11434}, (), NOW + 61) == ({11434}, [])


def test_the_port_of_the_gateway_is_never_held() -> None:
    # routeguard: ignore[RG103] a gateway of its own
    policy = CompiledPolicy(base_url="http://127.0.0.1:11434/v1", proxies_hold=(11434,))
    ports, asides = hold.plan(policy, {11434, 3456}, {11434, 3456}, NOW)
    assert ports == {3456}
    assert [(aside.port, aside.why) for aside in asides] == [
        (11434, "the gateway of the policy has this port")
    ]


def test_what_is_said_of_an_owner() -> None:
    process = Process(812, program="ollama", user="ollama")
    keeper = Keeper("systemd", "ollama.service", stop=("systemctl", "stop", "ollama.service"))
    found = Found(
        11434, (), verdict="proxy", proxy="ollama", name="Ollama", process=process, keeper=keeper
    )
    assert hold.owner(found) == (
        "11434",
        "Ollama",
        "ollama",
        "812",
        "ollama",
        "systemctl stop ollama.service",
    )
    found.keeper = None
    assert hold.owner(found)[-1] == "routeguard ports stop 11434"
    found.verdict = "suspect"
    assert (hold.owner(found)[1], hold.owner(found)[-1]) == ("", "kill 812")
    other = Found(11434, (), verdict="other", process=Process(9, program="ssh"))
    assert hold.owner(other) == ("11434", "", "ssh", "9", "", "")


def test_listed_ports_stay_within_the_measure() -> None:
    text = hold.listed(range(10000, 10100))
    assert text.split() == [str(port) for port in range(10000, 10100)]
    assert max(map(len, text.split("\n"))) <= 76
    assert all(line.startswith("  1") for line in text.split("\n"))


# A held port --------------------------------------------------------------------------------------


def test_a_held_port_is_held_against_every_other_bind(
    in_network: Callable[[str], str],
) -> None:
    out = in_network("""
        held = hold.take(P)
        results = rivals()
        assert len(results) >= 32, results
        assert set(results.values()) == {"EADDRINUSE"}, results
        for host in ("127.0.0.1", "::1"):
            try:
                socket.create_connection((host, P), timeout=5)
            except ConnectionRefusedError:
                print("refused")
        print(f":{P:04X} " in open("/proc/net/tcp").read() + open("/proc/net/tcp6").read())
        print([os.get_inheritable(sock.fileno()) for sock in held])
        for sock in held:
            sock.close()
        assert set(rivals().values()) == {"listens"}
    """)
    assert out.split("\n") == ["refused", "refused", "False", "[False]", ""]


def test_held_with_ipv6_switched_off(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as file:
            file.write("1")
        held = hold.take(P)
        print(set(rivals((socket.AF_INET,)).values()))
    """)
    assert out == "{'EADDRINUSE'}\n"


def test_held_on_ipv4_by_a_kernel_without_ipv6(in_network: Callable[[str], str]) -> None:
    # `ipv6.disable=1` is an option of the boot: no namespace can have it, so `_bind` answers
    # as such a kernel does
    out = in_network("""
        bind = hold._bind
        def without_ipv6(port, address):
            if address.family == 6:
                raise OSError(errno.EAFNOSUPPORT, "no IPv6")
            return bind(port, address)
        hold._bind = without_ipv6
        held = hold.take(P)
        print([sock.getsockname() for sock in held], set(rivals((socket.AF_INET,)).values()))
    """)
    assert out == "[('0.0.0.0', 11434)] {'EADDRINUSE'}\n"


def test_a_server_that_runs_keeps_its_port(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        for host in ("127.0.0.1", "0.0.0.0"):
            running = server(host=host)
            try:
                hold.take(P)
            except hold.TakenError as error:
                print(errno.errorcode[error.number])
            client = socket.create_connection(("127.0.0.1", P))
            print(running.accept()[1][0])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close(); running.close()
    """)
    assert out.split() == ["EADDRINUSE", "127.0.0.1"] * 2


@pytest.mark.parametrize("clients", ["closed", "open"])
def test_a_port_is_held_at_once_after_its_server_ended_with_connections(
    in_network: Callable[[str], str], clients: str
) -> None:
    """A plain bind fails for a minute then (TIME_WAIT), while the next server starts at once."""
    out = in_network(f"""
        running = server(host="0.0.0.0")
        client = socket.create_connection(("127.0.0.1", P))
        accepted, _ = running.accept()
        accepted.close(); running.close()
        if {clients!r} == "closed":
            client.close()
        try:
            hold._bind(P, hold.LINUX[0])
        except OSError as error:
            print(errno.errorcode[error.errno])
        held = hold.take(P)
        print(set(rivals().values()))
    """)
    assert out == "EADDRINUSE\n{'EADDRINUSE'}\n"


def test_an_outgoing_connection_keeps_its_port(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        running = server(port=5000)
        client = socket.socket()
        client.bind(("127.0.0.1", P))
        client.connect(("127.0.0.1", 5000))
        try:
            hold.take(P)
        except hold.TakenError as error:
            print(errno.errorcode[error.number])
        client.send(b"still there")
        print(running.accept()[0].recv(20).decode())
    """)
    assert out == "EADDRINUSE\nstill there\n"


def test_macos_holds_each_address(in_network: Callable[[str], str]) -> None:
    # which sockets are made; how a Mac treats them is not shown by a Linux kernel
    out = in_network("""
        print(sorted(sock.getsockname()[0] for sock in hold.take(P, "darwin")))
    """)
    assert out == "['0.0.0.0', '127.0.0.1', '::', '::1']\n"


# One hold at a time -------------------------------------------------------------------------------


def test_a_second_lock_says_who_has_the_first(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert hold.running(environ) is None
    lock = hold.Lock(environ)
    lock.say({3456, 11434}, {4141})
    found = hold.running(environ)
    assert found is not None
    assert (found.pid, found.held, found.taken) == (os.getpid(), (3456, 11434), (4141,))
    assert abs(found.since - time.time()) < 60
    with pytest.raises(hold.AlreadyHeldError) as caught:
        hold.Lock(environ)
    assert f"pid {os.getpid()}" in caught.value.what
    assert caught.value.exit_code == 1
    path = Path(hold.lock_file(environ))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lock.close(end=True)
    assert path.read_text() == ""
    assert hold.running(environ) is None
    hold.Lock(environ).close(end=True)


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    path = Path(hold.lock_file(environ))
    path.parent.mkdir(parents=True, mode=0o700)
    (tmp_path / "precious").write_text("precious")
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(GuardError, match="cannot lock its state file"):
        hold.Lock(environ)
    with pytest.raises(GuardError, match="cannot tell whether a hold runs"):
        hold.running(environ)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_lock_outlives_no_process(tmp_path: Path) -> None:
    """A hold that was killed leaves words in its file, and no lock."""
    environ = {"HOME": str(tmp_path)}
    lock = hold.Lock(environ)
    lock.say({11434}, ())
    lock.close(end=False)
    assert hold.running(environ) is None


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_the_service_manager_is_told(tmp_path: Path, kind: str) -> None:
    name = str(tmp_path / "notify") if kind == "path" else f"@routeguard-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(10)
        hold.notify({"NOTIFY_SOCKET": name}, "READY=1")
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("name", ["", "vsock:2:1234", "/nowhere/at/all"])
def test_without_a_service_manager_nothing_is_told(name: str) -> None:
    hold.notify({"NOTIFY_SOCKET": name}, "READY=1")


# What a child does --------------------------------------------------------------------------------


def test_a_childs_words_come_back_printable() -> None:
    assert hold.in_child(lambda: [("a\tb", "c\nd"), ("é",)]) == [["a\\tb", "c\\nd"], ["é"]]


def test_a_child_that_says_nothing_has_no_lines() -> None:
    assert hold.in_child(list) == []


def test_what_a_child_cannot_do_is_said_without_the_text_of_an_unexpected_error() -> None:
    def expected() -> list[tuple[str, ...]]:
        raise GuardError("cannot read it", where="/some/file")

    def unexpected() -> list[tuple[str, ...]]:
        raise KeyError("a value")

    with pytest.raises(hold.ChildError, match=r"^cannot read it \(/some/file\)$"):
        hold.in_child(expected)
    with pytest.raises(hold.ChildError, match=r"^KeyError$"):
        hold.in_child(unexpected)


def test_a_child_that_dies_gives_no_half_answer() -> None:
    with pytest.raises(hold.ChildError, match="not whole"):
        hold.in_child(lambda: os._exit(3))


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "CHILD_SECONDS", 0.2)
    with pytest.raises(hold.ChildError, match="no answer"):
        hold.in_child(lambda: time.sleep(60) or [])


def test_a_child_is_ended_by_what_wakes_us() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x")
    with pytest.raises(hold.ChildError, match="interrupted"):
        hold.in_child(lambda: time.sleep(60) or [], wake=reader)
    os.close(reader)
    os.close(writer)


# The daemon ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 0), ("SIGHUP", 0), ("SIGINT", 130)])
def test_a_signal_ends_it_and_frees_the_ports(
    in_network: Callable[[str], str], name: str, status: int
) -> None:
    # under nohup, and in some CI, it is ignored from the start, and stays so
    out = in_network(f"""
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        daemon = Daemon()
        daemon.until("  3456 4141 11434\\n")
        print([free(port) for port in (3456, 4141, P)], hold.running(os.environ).pid == daemon.pid)
        print(daemon.end(signal.{name}))
        print([free(port) for port in (3456, 4141, P)], hold.running(os.environ))
        print(daemon.text.splitlines()[-1])
    """)
    assert out.splitlines() == [
        "[False, False, False] True",
        f"({status}, '')",
        "[True, True, True] None",
        "3 ports are free again",
    ]


def test_a_signal_that_is_ignored_stays_ignored(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        daemon = Daemon()
        daemon.until("11434\\n")
        daemon.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        print(free(P), daemon.end())
    """)
    assert out == "False (0, '')\n"


def test_killed_it_leaves_nothing_behind(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        daemon = Daemon()
        daemon.until("11434\\n")
        daemon.end(signal.SIGKILL)
        print(free(P), hold.running(os.environ))
        daemon = Daemon()
        daemon.until("11434\\n")
        print(daemon.end())
    """)
    assert out == "True None\n(0, '')\n"


def test_a_second_one_says_so_and_takes_nothing(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        first = Daemon(catalogue=(P,))
        first.until("11434\\n")
        second = Daemon(catalogue=(P, 3456))
        out, err = second.process.communicate(timeout=30)
        said = err.decode().splitlines()[0].replace(str(first.pid), "PID")
        print(second.process.returncode, out, said)
        print(free(3456), first.end())
    """)
    status, _, rest = out.partition(" ")
    assert status == "1"
    assert rest.startswith("b'' routeguard: another hold runs already: pid PID, since ")
    assert rest.splitlines()[-1] == "True (0, '')"


def test_a_port_that_becomes_free_is_held_and_said_once(
    in_network: Callable[[str], str],
) -> None:
    out = in_network("""
        rival = server()
        daemon = Daemon()
        daemon.until("taken      11434")
        print(hold.running(os.environ).taken)
        rival.close()
        daemon.until("holds now  11434\\n")
        time.sleep(2.5)
        print(free(P), hold.running(os.environ).taken, daemon.end())
        print(daemon.text.count("holds now"), daemon.text.count("taken "))
    """)
    assert out == "(11434,)\nFalse () (0, '')\n1 1\n"


def test_it_follows_the_policy(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        import datetime
        daemon = Daemon(catalogue=(P, 3456))
        daemon.until("11434\\n")
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=8)
        moment = until.isoformat(timespec="seconds")
        policy(f'''proxies.hold = [4000]
            exception = [{{ subject = "port:11434", reason = "a demo", until = {moment} }}]''')
        daemon.until("holds now   4000\\n")
        daemon.until("let go     11434")
        print(free(P), free(3456), free(4000))
        daemon.until("holds now  11434\\n")
        print(free(P), free(3456), free(4000))
        policy("this is no policy")
        daemon.until("cannot read the policy, nothing is changed")
        time.sleep(4)
        print(free(P), free(3456), free(4000))
        policy("")
        daemon.until("let go      4000  the policy does not list it any more\\n")
        print(daemon.end())
        print(daemon.text.count("cannot read"))
        print([line for line in daemon.text.splitlines() if "demo" in line])
    """)
    lines = out.splitlines()
    assert lines[:4] == ["True False False", "False False False", "False False False", "(0, '')"]
    assert lines[4] == "1"
    assert lines[5].startswith("['let go     11434  an exception until ")
    assert lines[5].endswith(": a demo']")


def test_an_exception_of_routeguard_allow_counts(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        from guard.policy import compiled
        daemon = Daemon(catalogue=(P,))
        daemon.until("11434\\n")
        path = compiled.allowed_file(compiled.user_policy(os.environ))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write('exception = [{subject = "port:11434", reason = "x", until = 2999-01-01}]')
        os.chmod(path, 0o600)
        daemon.until("let go     11434  an exception until ")
        print(free(P))
        os.unlink(path)
        daemon.until("holds now  11434\\n")
        print(free(P), daemon.end())
    """)
    assert out == "True\nFalse (0, '')\n"


def test_without_a_change_the_policy_is_read_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = hold.Holder((), (), {"HOME": str(tmp_path)}, hold.Voice("quiet"))
    path = tmp_path / "policy.toml"
    holder._files = (str(path),)
    assert holder._read() == (frozenset(), {})
    assert not holder._is_stale()
    path.write_text("")
    assert holder._is_stale()
    holder._read()
    assert not holder._is_stale()
    holder._until = time.time() - 1
    assert holder._is_stale()
    monkeypatch.setattr(hold, "REREAD_ANYWAY", 0.0)
    holder._read()
    assert holder._is_stale()


def test_a_policy_that_cannot_be_read_at_the_start_is_an_error(
    in_network: Callable[[str], str],
) -> None:
    out = in_network("""
        policy("this is no policy")
        daemon = Daemon()
        out, err = daemon.process.communicate(timeout=30)
        print(daemon.process.returncode, out, err.decode().splitlines()[0], free(P))
    """)
    assert out == "3 b'' routeguard: cannot read the policy [RG501] True\n"


def test_events_as_json_lines(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        rival = server(4141)
        daemon = Daemon(form="json")
        daemon.until('"taken", ')
        rival.close()
        daemon.until('"held", ')
        daemon.end()
        for line in daemon.text.splitlines():
            event = json.loads(line)
            assert event["schema_version"] == 1 and event["time"].endswith("Z")
            print(event["event"], event.get("port"), event.get("held"), event.get("taken"),
                  event.get("ports"))
    """)
    assert out.splitlines() == [
        "start None [3456, 11434] [4141] None",
        "taken 4141 None None None",
        "held 4141 None None None",
        "end None None None [3456, 4141, 11434]",
    ]


def test_quiet_is_silent(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        daemon = Daemon(form="quiet")
        while free(P):
            time.sleep(0.05)
        print(daemon.end(), repr(daemon.text))
    """)
    assert out == "(0, '') ''\n"


def test_it_is_ready_when_it_holds(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.bind("\\0routeguard-manager"); manager.settimeout(30)
        daemon = Daemon(NOTIFY_SOCKET="@routeguard-manager")
        print(manager.recv(1000).decode().splitlines(), free(P))
        print(daemon.end(), manager.recv(1000).decode())
    """)
    assert out == "['READY=1', 'STATUS=holds 3 ports'] False\n(0, '') STOPPING=1\n"


def test_when_nobody_reads_any_more_it_ends(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        rival = server()
        daemon = Daemon()
        daemon.until("taken      11434")
        daemon.process.stdout.close()
        rival.close()
        print(daemon.process.wait(timeout=30), daemon.process.stderr.read(), free(3456))
    """)
    assert out == "141 b'' True\n"


def test_a_taken_port_names_its_owner(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        rival = server()
        daemon = Daemon(form="json")
        daemon.until('"taken", ')
        daemon.end()
        event = json.loads(daemon.text.splitlines()[1])
        print(event["port"], event["pid"] == os.getpid(), event["program"] != "")
    """)
    assert out == "11434 True True\n"


def test_it_stays_small(in_network: Callable[[str], str]) -> None:
    """Neither what compiles a policy nor what identifies a program is ever in the daemon."""
    out = in_network("""
        rival = server()
        daemon = Daemon()
        daemon.until("taken      11434")
        policy("[proxies]\\nhold = [4000]")
        daemon.until("holds now   4000")
        mapped = open(f"/proc/{daemon.pid}/maps").read()
        print([name for name in ("pydantic", "psutil", "_json", "_socket") if name in mapped])
        print(len([fd for fd in os.listdir(f"/proc/{daemon.pid}/fd")]))
        daemon.end()
    """)
    names, descriptors = out.splitlines()
    assert names in ("['_socket']", "[]")  # [] where it is built into the interpreter
    # three of the standard ones, two of the wake-up pipe, the lock, the three ports it has
    assert int(descriptors) == 9


def test_a_port_that_takes_rights_is_said_to(
    in_network: Callable[[str], str], missing_part: Callable[[str], None]
) -> None:
    if shutil.which("setpriv") is None:
        missing_part("no setpriv here (package util-linux)")
    out = in_network("""
        sys.executable, python = "/usr/bin/env", sys.executable
        drop = ["setpriv", "--bounding-set=-net_bind_service", python]
        Popen = subprocess.Popen
        subprocess.Popen = lambda argv, **kw: Popen([*drop, *argv[1:]], **kw)
        daemon = Daemon(catalogue=(81, P))
        daemon.until("taken ")
        print(daemon.end(), daemon.text.splitlines()[2])
    """)
    assert out == "(0, '') taken         81  Permission denied: ports this low are for root\n"
