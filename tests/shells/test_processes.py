"""The prompt starts no process, counted by the kernel: strace sees every fork of a real session."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

pytestmark = pytest.mark.shells


def forks(trace: Path, start: Path, end: Path) -> int:
    """How many processes were made between the `cd` to `start` and the `cd` to `end`."""
    inside, count, closed = False, 0, False
    for line in trace.read_text().splitlines():
        if f'chdir("{start}")' in line:
            inside = True
        elif f'chdir("{end}")' in line:
            closed = inside
            inside = False
        elif inside and "resumed>" not in line and "CLONE_THREAD" not in line:
            count += any(f" {call}(" in line for call in ("fork", "vfork", "clone", "clone3"))
    assert closed, "the session did not reach its end"
    return count


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
    places = [guarded.directory / name for name in ("one", "two", "three")]
    for place in (*places, guarded.shims):
        place.mkdir()
    traced = copy.copy(shell)
    traced.interactive = [
        "strace",
        "-f",
        f"-o{trace}",
        "-etrace=fork,vfork,clone,clone3,chdir",
        *shell.interactive,
    ]
    session = open_session(traced, {"OPENAI_API_KEY": "v"})
    session.run(shell.source(guarded.hook(shell)))
    session.run(f"builtin cd {places[0]}")
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
    session.run(f"builtin cd {places[1]}")
    session.run("env true")
    session.run(f"builtin cd {places[2]}")
    session.child.sendline("exit")
    session.child.expect("exit|$")
    assert len(session.messages(output)) >= 3
    assert forks(trace, places[1], places[2]) == 1, "the trace does not see an external command"
    assert forks(trace, places[0], places[1]) == 0
