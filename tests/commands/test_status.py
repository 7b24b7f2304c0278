"""`routeguard status`: guarded or not, in one screen and in one line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import forked
import pytest
from doctored import CANARIES, Machine
from doctored import machine as machine

from guard import paths
from guard.doctor.status import is_plain
from guard.install import shims

UTF8 = {"LANG": "C.UTF-8", "TERM": "xterm"}


def run(machine: Machine, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = machine.environ | UTF8 | more
    done = forked.run(["status", *words], env=environ, cwd=machine.project)
    for text in (done.stdout, done.stderr):
        assert not [value for value in CANARIES.values() if value in text]
    return done


def short(machine: Machine, **more: str) -> tuple[int, str]:
    done = run(machine, "--short", **more)
    assert done.stderr == ""
    return done.returncode, done.stdout.removesuffix("\n")


def test_guarded_by_the_hook_and_the_shims(machine: Machine) -> None:
    machine.guard()
    assert short(machine) == (0, "portkey ✓")
    said = run(machine).stdout.splitlines()
    assert said[0] == "launches  guarded by the hook of zsh and shims"
    assert (
        f"opencode  {machine.bin}/opencode, through a shim".replace(str(machine.home), "~") in said
    )
    assert "key       from the variable PORTKEY_API_KEY" in said


def test_an_agent_is_called_as_it_is_typed(machine: Machine) -> None:
    machine.guard()
    agent = machine.bin / "claude"
    agent.write_text("#!/bin/sh\n")
    agent.chmod(0o755)
    assert re.search(r"^claude +~?/", run(machine).stdout, re.MULTILINE)
    assert "claude-code" in [
        one["id"] for one in json.loads(run(machine, "--json").stdout)["agents"]
    ]


def test_either_of_them_is_enough(machine: Machine) -> None:
    machine.environ["ROUTEGUARD_HOOK"] = "live:bash"
    assert short(machine) == (0, "portkey ✓")
    machine.guard()
    del machine.environ["ROUTEGUARD_HOOK"]
    assert short(machine) == (0, "portkey ✓")
    assert "guarded by shims" in run(machine).stdout


def test_neither(machine: Machine) -> None:
    assert short(machine) == (1, "unguarded: hook missing")
    done = run(machine)
    assert done.returncode == 1
    assert "launches  unguarded: hook missing" in done.stdout
    assert "fix       routeguard doctor --offline" in done.stdout


def test_an_agent_that_the_policy_leaves_out_needs_no_shim(machine: Machine) -> None:
    shims.install(machine.environ)
    other = machine.bin / "claude"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    (Path(paths.own_shims(machine.environ)) / "claude").unlink()
    path = f"{paths.own_shims(machine.environ)}:{machine.environ['PATH']}"
    assert short(machine, PATH=path) == (1, "unguarded: hook missing")
    machine.policy('[agents]\nguard = ["opencode"]\n')
    assert short(machine, PATH=path) == (0, "portkey ✓")


def test_a_program_manager_in_front_of_the_shims(machine: Machine) -> None:
    shims.install(machine.environ)
    behind = f"{machine.environ['PATH']}:{paths.own_shims(machine.environ)}"
    assert short(machine, PATH=behind) == (1, "unguarded: hook missing")


def test_a_lost_hook(machine: Machine) -> None:
    assert short(machine, ROUTEGUARD_HOOK="lost:bash") == (0, "portkey: hook lost")


def test_no_key(machine: Machine) -> None:
    machine.guard()
    del machine.environ["PORTKEY_API_KEY"]
    assert short(machine) == (0, "portkey: no key")
    assert "fix       export PORTKEY_API_KEY=…" in run(machine).stdout


@pytest.mark.parametrize(
    ("value", "why"),
    [("…", "holds a character that is not ASCII"), ("sk-ant-canary", "begins with sk-ant-")],
)
def test_a_key_that_no_launch_can_use(machine: Machine, value: str, why: str) -> None:
    machine.guard()
    machine.environ["PORTKEY_API_KEY"] = value
    assert short(machine) == (0, "portkey: unusable key")
    said = run(machine).stdout
    assert f"key       PORTKEY_API_KEY {why}" in said
    assert "fix       export PORTKEY_API_KEY=…" in said
    assert json.loads(run(machine, "--json").stdout)["key"] == {"present": False, "source": ""}


def test_the_key_command_is_not_run(machine: Machine) -> None:
    machine.guard()
    ran = machine.home / "ran"
    machine.policy(f'[gateway]\nkey = {{ command = ["touch", "{ran}"] }}\n')
    assert short(machine) == (0, "portkey ✓")
    assert "key       from the command touch (not run)" in run(machine).stdout
    assert not ran.exists()


def test_a_broken_policy_blocks(machine: Machine) -> None:
    machine.guard()
    machine.policy("[keys\n")
    assert short(machine) == (1, "blocked: policy broken")
    assert "launches  blocked: policy broken" in run(machine).stdout


@pytest.mark.parametrize(
    "environ",
    [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"LANG": "C"}, {"LC_ALL": "POSIX"}, {"LANG": "de_DE"}],
)
def test_ascii_where_more_may_not_be_shown(machine: Machine, environ: dict[str, str]) -> None:
    machine.guard()
    assert short(machine, **environ) == (0, "portkey ok")


def test_the_locale_is_the_first_that_is_set() -> None:
    assert is_plain({})
    assert not is_plain({"LANG": "en_US.utf8"})
    assert is_plain({"LC_ALL": "C", "LC_CTYPE": "C.UTF-8", "LANG": "C.UTF-8"})
    assert not is_plain({"LC_CTYPE": "UTF-8", "LANG": "C"})


def test_json(machine: Machine) -> None:
    machine.guard()
    found: dict[str, Any] = json.loads(run(machine, "--json").stdout)
    assert (found["schema_version"], found["state"], found["by"]) == (
        1, "guarded", ["hook", "shims"]
    )  # fmt: skip
    assert found["agents"] == [
        {
            "id": "opencode",
            "program": f"{machine.bin}/opencode",
            "on_path": f"{paths.own_shims(machine.environ)}/opencode",
            "shim": True,
        }
    ]
    assert found["key"] == {"present": True, "source": "the variable PORTKEY_API_KEY"}
    machine.policy("[keys\n")
    found = json.loads(run(machine, "--short", "--json").stdout)
    assert (found["state"], found["policy"]["valid"]) == ("blocked", False)


@pytest.mark.shells
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_prompt_of_a_real_shell(
    machine: Machine, tmp_path: Path, shell: str, missing_part: Callable[[str], NoReturn]
) -> None:
    """What a prompt evaluates is asked through the hook's own function, which knows."""
    program = shutil.which(shell) or missing_part(f"{shell} is not installed")
    shims.install(machine.environ)
    environ = machine.environ | UTF8
    environ["PATH"] = f"{paths.own_shims(environ)}:{environ['PATH']}"
    load = f'eval "$(routeguard hook {shell})"\n'
    lines = {
        "bash": f"{load}PS1='<$(routeguard status --short)>'\necho \"${{PS1@P}}\"\n",
        "zsh": f"{load}PS1='<$(routeguard status --short)>'\nsetopt promptsubst; print -P $PS1\n",
        "fish": "routeguard hook fish | source\necho '<'(routeguard status --short)'>'\n",
    }
    flags = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}
    script = tmp_path / "script"
    script.write_text(lines[shell])
    done = subprocess.run(
        [program, *flags[shell], "-i", str(script)],
        env=environ, cwd=machine.project, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "<portkey ✓>" in done.stdout, done
