"""The process table, read while it changes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guard.sources import processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def test_this_process() -> None:
    found = processes.look(os.getpid())
    assert found is not None
    assert (found.pid, found.parent, found.uid) == (os.getpid(), os.getppid(), os.getuid())
    assert os.path.realpath(found.exe) == os.path.realpath(sys.executable)
    assert found.cwd == os.getcwd()
    with open("/proc/self/cmdline", "rb") as file:
        assert found.argv == tuple(os.fsdecode(w) for w in file.read().split(b"\0")[:-1])
    assert 0 <= time.time() - processes.since(found.started) < 36000
    assert found.started == processes.started(os.getpid())


def test_names_with_blanks_and_parentheses(tmp_path: Path) -> None:
    program = tmp_path / "a) S (b 1"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as child:
        found = processes.look(child.pid)
        child.kill()
    assert found is not None
    assert (found.comm, found.parent) == ("a) S (b 1", os.getpid())


def test_a_program_that_was_deleted(tmp_path: Path) -> None:
    program = tmp_path / "proxy"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o700)
    with subprocess.Popen([str(program), "60"]) as child:
        program.unlink()
        found = processes.look(child.pid)
        child.kill()
    assert found is not None
    assert found.exe == str(program)


def test_a_zombie_and_nobody() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.look(child.pid) is None
    assert processes.started(child.pid) == 0
    child.wait()
    assert processes.look(child.pid) is None


def test_who_holds_a_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as made:
        inode = os.fstat(made.fileno()).st_ino
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        try:
            assert processes.holders([inode, 0]) == {inode: sorted([os.getpid(), child])}
            assert processes.holds(child, [inode])
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert not processes.holds(child, [inode])
    assert processes.holders([]) == {}
    assert not processes.holds(os.getpid(), [inode])


def test_parents() -> None:
    code = "import subprocess, sys; subprocess.run(['sleep', '60'])"
    with subprocess.Popen([sys.executable, "-c", code]) as middle:
        deadline = time.monotonic() + 10
        below: list[int] = []
        while not below and time.monotonic() < deadline:
            below = [
                pid
                for pid in processes.pids()
                if (one := processes.look(pid)) and one.parent == middle.pid and one.comm == "sleep"
            ]
        (pid,) = below
        snapshot = processes.look(pid)
        assert snapshot is not None
        above = [one.pid for one in processes.parents(snapshot)]
        os.kill(pid, signal.SIGKILL)
    assert above[:2] == [middle.pid, os.getpid()]


def test_of_user() -> None:
    assert os.getpid() in processes.of_user(os.getuid())
    assert processes.of_user(4_000_000) == []


def test_no_table(tmp_path: Path) -> None:
    root = str(tmp_path / "none")
    assert processes.pids(proc=root) == []
    assert processes.look(1, proc=root) is None
    assert processes.holders([1], proc=root) == {}
    assert processes.of_user(0, proc=root) == []
    assert processes.since(1, proc=root) == 0.0
    assert processes.control_groups(1, proc=root) == ""


def test_user_names() -> None:
    assert processes.user_name(-1) == ""
    assert processes.user_name(4_000_000) == "4000000"
    assert processes.user_name(0) == "root"
