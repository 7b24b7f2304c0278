"""The prompt starts no process, counted by the kernel: strace sees every fork of a real session."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pexpect
import pytest

pytestmark = pytest.mark.shells


def forks(trace: Path, start: str, end: str) -> int:
    """How many processes were made between `umask START` and `umask END`."""
    inside, count = False, 0
    for line in trace.read_text().splitlines():
        if f" umask({start})" in line:
            inside = True
        elif inside and f" umask({end})" in line:
            return count
        elif inside and "resumed>" not in line and "CLONE_THREAD" not in line:
            count += any(f" {call}(" in line for call in ("fork", "vfork", "clone", "clone3"))
    pytest.fail("the session did not reach its end")


def test_prompts_make_no_process(
    guarded: Any,
    shell: Any,
    open_session: Callable[..., Any],
    missing_part: Callable[[str], NoReturn],
) -> None:
    if shutil.which("strace") is None:
        missing_part("strace is not installed (Debian: apt-get install strace)")
    if subprocess.run(["strace", "-o/dev/null", "true"], check=False).returncode != 0:
        missing_part("strace may not trace here (ptrace is forbidden)")
    trace = guarded.directory / "trace"
    guarded.shims.mkdir()
    traced = copy.copy(shell)
    traced.interactive = [
        "strace",
        "-f",
        f"-o{trace}",
        "-etrace=fork,vfork,clone,clone3,umask",
        *shell.interactive,
    ]
    session = open_session(traced, {"OPENAI_API_KEY": "v"})
    session.run(shell.source(guarded.hook(shell)))
    session.run("umask 021")
    output = ""
    for line in (
        shell.export("OPENAI_API_KEY"),
        shell.export("CLARIFAI_PAT"),
        shell.export("FOO_API_KEY"),
        shell.export("STRIPE_API_KEY"),
        "alias opencode='echo alias'",
        shell.export("PATH", f"/opt/tool:{guarded.environ['PATH']}"),
        "true",
        "true",
    ):
        output += session.run(line)
    session.run("umask 023")
    session.run("env true")
    session.run("umask 027")
    session.child.sendline("exit")
    session.child.expect(pexpect.EOF)
    assert len(session.messages(output)) >= 3
    assert forks(trace, "023", "027") == 1, "the trace does not see an external command"
    assert forks(trace, "021", "023") == 0
