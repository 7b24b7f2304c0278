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


@pytest.mark.parametrize("options", ["sh_glob", "ksh_arrays no_unset", "csh_junkie_quotes"])
def test_a_start_file_of_zsh_reads_it_under_any_option(options: str, zsh: Any) -> None:
    source = Path(__file__).parents[2] / "shell/complete.zsh"
    script = f"setopt {options}\nfunction compdef {{ echo $@ }}\n. {str(source)!r}"
    done = subprocess.run([*zsh.batch, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("_routeguard_completion routeguard\n", "")


QUESTIONS = {
    "sh": {"shim"},
    "rules RG20": {"RG201", "RG202", "RG203", "RG204", "RG205", "RG206", "RG207"},
    "why ANTHROPIC_API": {"ANTHROPIC_API_KEY"},
    "portkey --e": set(),
    "portkey status --entry port": {"portkey"},
    "exec -- completeme": {"completeme-too"},
    "explain -- completeme": {"completeme-too"},
    "exec -- completeme-too fil": {"file-here"},
}
"""Lines up to the cursor, and what may come there."""


@pytest.fixture
def there(routeguard: Path, guarded: Any) -> dict[str, str]:
    """The variables of a place with a program and a file to complete."""
    program = routeguard.with_name("completeme-too")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (guarded.directory / "file-here").touch()
    return {"PATH": f"{routeguard.parent}:{os.environ['PATH']}"}


def test_bash_completes(bash: Any, guarded: Any, routeguard: Path, there: dict[str, str]) -> None:
    path = guarded.directory / "completion.bash"
    path.write_text(printed(routeguard, "bash"))
    script = f"cd '{guarded.directory}'; . '{path}'\n"
    for line in QUESTIONS:
        words = ["routeguard", *line.split(" ")]
        script += (
            f"COMP_WORDS=({' '.join(words)}) COMP_CWORD={len(words) - 1}\n"
            "_routeguard_completion routeguard\n"
            "printf '%s ' \"${COMPREPLY[@]}\"; echo\n"
        )
    done = guarded.run(bash, script, there)
    if bash.version < (4, 4):  # as the help of the command says
        return
    said = [set(line.split()) for line in done.stdout.splitlines()]
    # without bash-completion the arguments of the command are left to the terminal's own files
    wanted = {**QUESTIONS, "exec -- completeme-too fil": set()}
    assert dict(zip(QUESTIONS, said, strict=True)) == wanted, done.stderr


def test_fish_completes(fish: Any, guarded: Any, routeguard: Path, there: dict[str, str]) -> None:
    path = guarded.directory / "completion.fish"
    path.write_text(printed(routeguard, "fish"))
    script = f"cd '{guarded.directory}'; source {path}\n"
    for line in QUESTIONS:
        script += f"complete -C 'routeguard {line}'\necho =\n"
    done = guarded.run(fish, script, there)
    said = [part.split("\n") for part in done.stdout.split("=\n")]
    found = [{line.split("\t")[0] for line in lines if line} for lines in said[:-1]]
    assert dict(zip(QUESTIONS, found, strict=True)) == QUESTIONS, done.stderr
    done = guarded.run(fish, f"source {path}\ncomplete -C 'routeguard polic'\n", there)
    # nothing is cut at a comma
    assert done.stdout == "policy\tWrite, check and show the policy\n"


def test_zsh_completes(
    zsh: Any, guarded: Any, routeguard: Path, there: dict[str, str], open_session: Any
) -> None:
    path = guarded.directory / "completion.zsh"
    path.write_text(printed(routeguard, "zsh"))
    session = open_session(zsh, there)
    session.run("autoload -Uz compinit && compinit -u -D; setopt zle")
    session.run(f". {path}")
    session.child.sendline("setopt zle")
    for typed, shown in (
        ("routeguard sh", "routeguard shim"),
        ("routeguard why ANTHROPIC_API", "routeguard why ANTHROPIC_API_KEY"),
        ("routeguard exec -- completeme", "routeguard exec -- completeme-too"),
    ):
        session.child.send(f"{typed}\t")
        session.child.expect_exact(shown)
        session.child.send("\x15")
