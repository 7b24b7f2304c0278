"""Completion of routeguard's own commands, asked of the real shells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.shells


@pytest.fixture
def routeguard(tmp_path: Path) -> Path:
    """`routeguard` in a directory for PATH."""
    path = tmp_path / "bin" / "routeguard"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m guard \"$@\"\n")
    path.chmod(0o755)
    return path


def printed(routeguard: Path, shell: str) -> str:
    done = subprocess.run(
        [routeguard, "completion", shell], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_what_is_printed_parses(
    name: str, routeguard: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    shell = request.getfixturevalue(name)
    path = tmp_path / "completion"
    path.write_text(printed(routeguard, name))
    done = subprocess.run([shell.batch[0], "-n", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes_a_command(bash: Any, guarded: Any, routeguard: Path) -> None:
    script = f"""
        {printed(routeguard, "bash").strip()}
        COMP_WORDS=(routeguard sh) COMP_CWORD=1
        _routeguard_completion routeguard
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    script = "\n".join(line.strip() for line in script.splitlines())
    extra = {"PATH": f"{routeguard.parent}:{os.environ['PATH']}"}
    done = guarded.run(bash, script, extra)
    if bash.version < (4, 4):  # as the help of the command says
        assert "not supported" in done.stderr or "invalid option name" in done.stderr
    else:
        assert (done.stdout, done.stderr) == ("shim\n", "")


def test_fish_completes_a_command(fish: Any, guarded: Any, routeguard: Path) -> None:
    path = guarded.directory / "completion.fish"
    path.write_text(printed(routeguard, "fish"))
    extra = {"PATH": f"{routeguard.parent}:{os.environ['PATH']}"}
    done = guarded.run(fish, f"source {path}\ncomplete -C 'routeguard sh'\n", extra)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["shim"]


def test_zsh_completes_a_command(
    zsh: Any, guarded: Any, routeguard: Path, open_session: Any
) -> None:
    path = guarded.directory / "completion.zsh"
    path.write_text(printed(routeguard, "zsh"))
    extra = {"PATH": f"{routeguard.parent}:{os.environ['PATH']}"}
    session = open_session(zsh, extra)
    session.run("autoload -Uz compinit && compinit -u -D; setopt zle")
    session.run(f". {path}")
    session.child.sendline("setopt zle")
    session.child.send("routeguard sh\t")
    session.child.expect_exact("routeguard shim")
