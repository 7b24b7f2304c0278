"""Holding ports: what to hold, and that a held port is held against everything.

What binds fixed ports runs in a network namespace of its own.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from guard.policy.values import CompiledPolicy, PolicyException
from guard.proxies import hold

NOW = 1_800_000_000.0

PRELUDE = '''
import errno, os, socket, struct
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


def test_a_plan_holds_what_is_asked_for() -> None:
    assert hold.plan(CompiledPolicy(), {11434, 3456}, NOW) == ([3456, 11434], {})


def test_what_may_be_held_are_the_catalogues_ports_and_what_the_policy_lists() -> None:
    assert hold.permitted(CompiledPolicy(proxies_hold=(4000,)), {11434}) == {4000, 11434}


def test_an_exception_keeps_a_port_free_until_it_ends() -> None:
    exception = PolicyException(subject="port:11434", reason="a demo", until=NOW + 60)
    policy = CompiledPolicy(exceptions=(exception,))
    assert hold.plan(policy, {11434}, NOW) == ([], {11434: "allowed: a demo"})
    assert hold.plan(policy, {11434}, NOW + 61) == ([11434], {})


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "a.name.of.this.machine"])
def test_the_port_of_the_gateway_is_never_held(host: str) -> None:
    policy = CompiledPolicy(base_url=f"http://{host}:11434/v1")
    assert hold.plan(policy, {11434, 3456}, NOW) == ([3456], {11434: "the port of your gateway"})
    policy = CompiledPolicy(gateway_proxy=f"http://{host}:11434")
    assert hold.plan(policy, {11434, 3456}, NOW)[0] == [3456]


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
            if address.family == socket.AF_INET6:
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
            except OSError as error:
                print(errno.errorcode[error.errno])
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
        except OSError as error:
            print(errno.errorcode[error.errno])
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


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    name = str(tmp_path / "notify") if kind == "path" else f"@routeguard-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(10)
        hold.notify_ready()
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("name", ["", "vsock:2:1234", "/nowhere/at/all"])
def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    hold.notify_ready()
