"""`routeguard ports hold`: what it holds, what it says, what it refuses, how it ends.

It binds fixed ports, so it runs in a network namespace of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from private_network import PrivateNetwork

from guard.catalog import local_proxies
from guard.commands.ports_hold import hold
from guard.errors import UsageError

PRELUDE = """
import os, select, signal, socket, subprocess, sys
code = ("import sys; from guard.commands.ports_hold import hold;"
        " sys.exit(hold(sys.argv[1:], standalone_mode=False))")

def start(*words, **more):
    return subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, bufsize=1, **more)

def until(process, part):
    text = ""
    while part not in text:
        line = process.stdout.readline()
        assert line, (text, process.stderr.read())
        text += line
    return text

def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    return process.wait(30)

def server(port):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port)); sock.listen()
    return sock

def free(port):
    try:
        server(port).close()
    except OSError:
        return False
    return True
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def in_network(home: Path, private_network: PrivateNetwork) -> Callable[[str], str]:
    """Runs Python code after PRELUDE in a fresh network namespace, in this test's home."""
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def run(code: str) -> str:
        words = [sys.executable, "-c", PRELUDE + textwrap.dedent(code)]
        return private_network.run(words, env=environ, timeout=120).stdout

    return run


def write_policy(home: Path, text: str) -> None:
    policy = home / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text(text)


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 0), ("SIGINT", 130)])
def test_it_holds_the_catalogues_ports_until_a_signal(
    in_network: Callable[[str], str], name: str, status: int
) -> None:
    out = in_network(f"""
        process = start()
        print(until(process, "52993").replace(str(process.pid), "PID"))
        print(free(11434), free(4000), end(process, signal.{name}), free(11434))
        print(process.stderr.read())
    """)
    *listed, rest = out.strip().splitlines()
    ports = [int(word) for line in listed[1:] for word in line.split()]
    assert ports == sorted(local_proxies.distinctive())
    assert listed[0] == f"routeguard holds {len(ports)} ports (pid PID):"
    assert max(map(len, listed)) <= 76
    assert rest == f"False True {status} True"


def test_named_ports_are_all_it_holds(in_network: Callable[[str], str], home: Path) -> None:
    write_policy(home, "[proxies]\nhold = [4000, 8000]\n")
    out = in_network("""
        process = start("4000", "11434")
        print(until(process, "  4000 11434\\n").partition(" (")[0])
        print(free(3456), free(8000), free(4000), free(11434), end(process))
    """)
    assert out.splitlines() == ["routeguard holds 2 ports", "True True False False 0"]


def test_what_an_exception_allows_is_left_alone(
    in_network: Callable[[str], str], home: Path
) -> None:
    exception = '[[exception]]\nsubject = "port:11434"\nreason = "a demo"\nuntil = 2999-01-01\n'
    write_policy(home, exception)
    out = in_network("""
        process = start("11434", "3456")
        print(until(process, "left alone 11434  allowed: a demo").splitlines()[1].split())
        print(free(11434), free(3456), end(process))
    """)
    assert out == "['3456']\nTrue False 0\n"


def test_a_taken_port_names_its_owner_and_is_held_once_it_is_free(
    in_network: Callable[[str], str],
) -> None:
    out = in_network("""
        rival = server(11434)
        process = start("11434", "3456")
        said = until(process, "stop it: ").splitlines()[-2:]
        print(said[0].replace(str(os.getpid()), "PID"))
        rival.close()
        print(until(process, "holds now"), free(11434), end(process))
    """)
    first, rest = out.split("\n", 1)
    assert first.startswith("taken      11434  ")
    assert "pid PID" in first
    assert rest == "holds now  11434\n False 0\n"


def test_without_any_port_it_ends(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        first = start("11434")
        until(first, "11434\\n")
        second = start("11434")
        said, error = second.communicate(timeout=30)
        print(second.returncode, "nothing listens: an open connection has it, or another" in said,
              error.splitlines()[-1], free(11434), end(first))
    """)
    assert out == "1 True guard.errors.GuardError: no port could be held False 0\n"


def test_a_signal_that_is_ignored_stays_ignored(in_network: Callable[[str], str]) -> None:
    out = in_network("""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        process = start("11434")
        until(process, "11434\\n")
        process.send_signal(signal.SIGINT)
        print(free(11434), end(process))
    """)
    assert out == "False 0\n"


def test_a_port_that_takes_rights_is_said_to(
    in_network: Callable[[str], str], home: Path, missing_part: Callable[[str], None]
) -> None:
    if shutil.which("setpriv") is None:
        missing_part("no setpriv here (package util-linux)")
    write_policy(home, "[proxies]\nhold = [81]\n")
    out = in_network("""
        drop = ["setpriv", "--bounding-set=-net_bind_service"]
        process = subprocess.Popen([*drop, sys.executable, "-c", code, "81", "11434"],
                                   stdout=subprocess.PIPE, text=True)
        print(until(process, "taken").splitlines()[-1], end(process))
    """)
    assert out == "taken         81  Permission denied: ports below 1024 take root 0\n"


def test_a_shared_port_is_refused_with_the_way_to_list_it() -> None:
    result = CliRunner().invoke(hold, ["11434", "4000"], standalone_mode=False)
    assert isinstance(result.exception, UsageError)
    text = result.exception.render()
    assert "port 4000 is not used by local proxies only" in text
    assert "your policy:\n         [proxies]\n         hold = [4000]" in text


def test_a_port_that_no_policy_can_list_is_refused_without_that_advice() -> None:
    result = CliRunner().invoke(hold, ["80"], standalone_mode=False)
    assert isinstance(result.exception, UsageError)
    assert "port 80 cannot be held: it is HTTP" in result.exception.render()
    assert "proxies" not in result.exception.render()


@pytest.mark.parametrize("word", ["0", "65536", "ollama", "--install", "--status"])
def test_what_is_no_port(word: str) -> None:
    assert CliRunner().invoke(hold, [word]).exit_code == 2
