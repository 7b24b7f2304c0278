"""The process table, read while it changes."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from guard.sources import processes
from guard.sources.listener import Listener

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def test_this_process() -> None:
    found = processes.snapshot(os.getpid())
    assert found is not None
    assert (found.pid, found.parent, found.uid) == (os.getpid(), os.getppid(), os.getuid())
    assert os.path.realpath(found.exe) == os.path.realpath(sys.executable)
    assert found.cwd == os.getcwd()
    with open("/proc/self/cmdline", "rb") as file:
        assert found.argv == tuple(os.fsdecode(w) for w in file.read().split(b"\0")[:-1])
    assert 0 <= time.time() - processes.since(found) < 36000
    assert found.started == processes.started(os.getpid())


def test_names_with_blanks_and_parentheses(tmp_path: Path) -> None:
    program = tmp_path / "a) S (b 1"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as child:
        found = processes.snapshot(child.pid)
        child.kill()
    assert found is not None
    assert (found.comm, found.parent) == ("a) S (b 1", os.getpid())


def test_a_program_that_was_deleted(tmp_path: Path) -> None:
    program = tmp_path / "proxy"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o700)
    with subprocess.Popen([str(program), "60"]) as child:
        program.unlink()
        found = processes.snapshot(child.pid)
        child.kill()
    assert found is not None
    assert found.exe == str(program)


def test_a_zombie_and_nobody() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.snapshot(child.pid) is None
    assert processes.started(child.pid) == 0
    child.wait()
    assert processes.snapshot(child.pid) is None


def listener(made: socket.socket) -> Listener:
    port = made.getsockname()[1]
    return Listener("127.0.0.1", port, inode=os.fstat(made.fileno()).st_ino)


@pytest.mark.parametrize("macos", [False, True])
def test_who_holds_a_socket(monkeypatch: pytest.MonkeyPatch, macos: bool) -> None:
    """As on macOS: no inode is known, and each process is asked. Not shown is psutil on a Mac."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        one = listener(made)
        nothing = Listener("127.0.0.1", 1)
        if macos:
            monkeypatch.setattr(processes, "_LINUX", False)
            monkeypatch.setattr(psutil, "pids", lambda: [os.getpid(), child])
            one.inode = 0
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        try:
            pids = tuple(sorted([os.getpid(), child]))
            assert processes.holders([nothing, one]) == [(), pids]
            assert processes.holds(child, [nothing, one])
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert not processes.holds(child, [one])
    assert processes.holders([]) == []
    assert not processes.holds(os.getpid(), [one])


def test_psutil_before_version_6_names_it_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_LINUX", False)
    monkeypatch.setattr(psutil, "pids", lambda: [os.getpid()])
    monkeypatch.setattr(
        psutil.Process, "connections", psutil.Process.net_connections, raising=False
    )
    monkeypatch.delattr(psutil.Process, "net_connections")
    with socket.create_server(("127.0.0.1", 0)) as made:
        port = made.getsockname()[1]
        assert processes.holders([Listener("127.0.0.1", port)]) == [(os.getpid(),)]


def test_a_process_that_may_not_be_seen_is_the_one_that_netstat_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(processes, "_LINUX", False)
    monkeypatch.setattr(psutil.Process, "net_connections", denied)
    one = Listener("127.0.0.1", 4000, pid=os.getpid())
    assert processes.holders([one]) == [(os.getpid(),)]
    assert processes.holds(os.getpid(), [one])
    assert not processes.holds(1, [one])


def test_parents() -> None:
    code = "import subprocess, sys; subprocess.run(['sleep', '60'])"
    with subprocess.Popen([sys.executable, "-c", code]) as middle:
        deadline = time.monotonic() + 60
        below: list[int] = []
        while not below and time.monotonic() < deadline:
            below = [
                pid
                for pid in processes.pids()
                if (one := processes.snapshot(pid))
                and one.parent == middle.pid
                and one.comm == "sleep"
            ]
        (pid,) = below
        snapshot = processes.snapshot(pid)
        assert snapshot is not None
        above = [one.pid for one in processes.parents(snapshot)]
        os.kill(pid, signal.SIGKILL)
    assert above[:2] == [middle.pid, os.getpid()]


def test_of_user() -> None:
    assert os.getpid() in processes.of_user(os.getuid())
    assert processes.of_user(4_000_000) == []


def test_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(tmp_path / "none")
    monkeypatch.setattr(processes, "PROC", root)
    monkeypatch.setattr(psutil, "PROCFS_PATH", root)
    assert processes.pids() == []
    assert processes.snapshot(1) is None
    assert processes.started(1) == 0
    assert processes.holders([Listener("127.0.0.1", 1, inode=1)]) == [()]
    assert not processes.sockets_visible(1)
    assert processes.of_user(0) == []
    assert processes.environment(1) is None
    assert (processes.terminal(1), processes.program_file(1)) == ("", "")
    assert processes.control_groups(1) == ""


def test_a_title_is_one_word(tmp_path: Path) -> None:
    """psutil would make it two."""
    code = (
        "import ctypes, sys, time; libc = ctypes.CDLL(None)\n"
        "raw = open('/proc/self/stat').read().rpartition(')')[2].split()\n"
        "start, end = int(raw[45]), int(raw[46])\n"
        "ctypes.memset(start, 0, end - start); ctypes.memmove(start, b'next-server (v1)', 16)\n"
        "print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = processes.snapshot(child.pid)
        child.kill()
    assert found is not None
    assert found.argv == ("next-server (v1)",)


def test_user_names() -> None:
    assert processes.user_name(-1) == ""
    assert processes.user_name(4_000_000) == "4000000"
    assert processes.user_name(0) == "root"


def test_its_terminal() -> None:
    assert processes.terminal(1) == ""  # and one that is opened after the first look
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    words = ["setsid", "--ctty", "sh", "-c", "echo; exec sleep 60"]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs) as child:
        os.read(ours, 16)
        found = processes.terminal(child.pid)
        child.kill()
    os.close(ours)
    os.close(theirs)
    assert found == name.removeprefix("/dev/")
