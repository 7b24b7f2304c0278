"""`routeguard ports hold`: its options, what it refuses, and that it becomes the daemon.

What binds ports runs in a network namespace of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from guard.catalog import local_proxies
from guard.commands.ports_hold import hold
from guard.errors import GuardError, UsageError
from guard.install.hold_service import UNIT
from guard.proxies import hold as holder

PRELUDE = """
import fcntl, json, os, re, select, signal, socket, struct, subprocess, sys, time
with socket.socket() as s:  # SIOCSIFFLAGS: lo up, which needs no iproute2
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))

def start(*words):
    code = ("import sys; from guard.commands.ports_hold import hold;"
            " sys.exit(hold(sys.argv[1:], standalone_mode=False))")
    return subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True)

def free(port):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
"""


@pytest.fixture
def private_network(home: Path, missing_part: Callable[[str], None]) -> Callable[[str], str]:
    """Runs Python code after PRELUDE in a fresh network namespace, in this test's home."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rn", "true"], capture_output=True).returncode:
        missing_part("no user and network namespaces here: unshare -rn does not work")

    def run(code: str) -> str:
        ended = subprocess.run(
            [str(unshare), "-rn", sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
            env={"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr + ended.stdout
        return ended.stdout

    return run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and a service manager that cannot be reached."""
    for name in list(os.environ):
        if name.startswith(("XDG_", "ROUTEGUARD_")):
            monkeypatch.delenv(name)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text("#!/bin/sh\necho no bus >&2\nexit 1\n")
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def invoke(*words: str, answer: str = "") -> Result:
    return CliRunner().invoke(hold, list(words), input=answer, standalone_mode=False)


def test_it_becomes_the_daemon_and_holds_the_catalogue(
    private_network: Callable[[str], str],
) -> None:
    out = private_network("""
        process = start("--json")
        event = json.loads(process.stdout.readline())
        print(json.dumps(event["held"]), event["pid"] == process.pid)
        print(open(f"/proc/{process.pid}/cmdline").read().split("\\0")[3].rpartition("guard/")[2])
        print(free(11434), free(4000))
        status = start("--status")
        print(re.sub("[0-9-]+ [0-9:]+$", "THEN", status.stdout.readline().strip(), 1).replace(
            str(process.pid), "PID"), status.wait())
        document = json.loads(start("--status", "--json").stdout.read())
        print(document["running"], document["held"] == event["held"], document["taken"])
        process.terminate()
        print(process.wait(), free(11434))
        status = start("--status")
        print(status.stdout.read().strip(), status.wait())
        print(start("--status", "--json").stdout.read().strip())
    """)
    held, *rest = out.splitlines()
    ports, same = held.rsplit(" ", 1)
    assert json.loads(ports) == sorted(local_proxies.distinctive())
    assert [same, *rest] == [
        "True",
        "proxies/hold.py",
        "False True",
        "a hold runs: pid PID, since THEN 0",
        "True True []",
        "0 True",
        "no hold runs 1",
        '{"schema_version": 1, "running": false}',
    ]


def test_named_ports_are_all_it_holds(private_network: Callable[[str], str], home: Path) -> None:
    policy = home / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text("[proxies]\nhold = [4000, 8000]\n")
    out = private_network("""
        process = start("4000", "11434")
        print(process.stdout.readline().split(" (")[0], process.stdout.readline().split())
        print(free(3456), free(8000), free(4000), free(11434))
        process.send_signal(signal.SIGINT)
        print(process.wait())
    """)
    assert out.splitlines() == [
        "routeguard holds 2 ports ['4000', '11434']",
        "True True False False",
        "130",
    ]


def test_a_shared_port_is_refused_with_the_way_to_list_it(home: Path) -> None:
    result = invoke("11434", "4000")
    assert isinstance(result.exception, UsageError)
    text = result.exception.render()
    assert "4000 is not a port that only local proxies use" in text
    assert "[proxies] hold = [4000]" in text


def test_a_second_hold_ends_with_one(home: Path) -> None:
    lock = holder.Lock(os.environ)
    try:
        result = invoke()
    finally:
        lock.close(end=True)
    assert isinstance(result.exception, GuardError)
    assert f"another hold runs already: pid {os.getpid()}" in result.exception.what
    assert result.exception.exit_code == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--status", "11434"),
        ("--install", "11434"),
        ("--uninstall", "--json"),
        ("--install", "--quiet"),
        ("--json", "--quiet"),
        ("--yes",),
    ],
)
def test_options_that_do_not_go_together(home: Path, words: tuple[str, ...]) -> None:
    assert isinstance(invoke(*words).exception, UsageError)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("port", ["0", "65536", "ollama"])
def test_what_is_no_port(home: Path, port: str) -> None:
    result = CliRunner().invoke(hold, [port])
    assert result.exit_code == 2


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has launchd, not systemd")
def test_install_shows_what_it_writes_and_asks(home: Path) -> None:
    path = home / ".config/systemd/user" / UNIT
    result = invoke("--install", answer="n\n")
    assert "Type=notify" in result.output
    assert "runs systemctl --user enable --now routeguard-hold.service" in result.output
    assert result.exception is not None
    assert not path.exists()
    result = invoke("--install", answer="y\n")
    assert result.exception is None
    assert path.exists()
    assert "not started: systemctl --user daemon-reload: no bus" in result.output
    result = invoke("--install", "--yes")
    assert f"is there already: {path}" in result.output
    result = invoke("--uninstall", answer="n\n")
    assert path.exists()
    result = invoke("--uninstall", "--yes")
    assert f"removed  {path}" in result.output
    assert not path.exists()
    result = invoke("--uninstall")
    assert result.output == f"nothing to remove: there is no {path}\n"
