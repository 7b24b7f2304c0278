"""Wrapper and shim with the real routeguard behind them, and a stand-in for the agent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
import pytest

import guard
from guard.hook import templates

pytestmark = pytest.mark.shells

MAIN = Path(guard.__file__).with_name("__main__.py")
VERSION = "1.18.33"


class Machine:
    """A home directory with an agent on PATH that notes how it was called."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.home.mkdir(parents=True)
        self.calls = directory / "calls"
        self.shims = self.home / ".local/share/routeguard/shims"
        agent = directory / "bin" / "opencode"
        agent.parent.mkdir()
        agent.write_text(
            "#!/bin/sh\n"
            f'[ "$1" != --version ] || {{ echo {VERSION}; exit; }}\n'
            f'echo "$*" "keys:${{OPENAI_API_KEY-}}" >>\'{self.calls}\'\n'
            "exit 5\n"
        )
        agent.chmod(0o755)
        about = {"name": "opencode-ai", "version": VERSION}
        (agent.parent / "package.json").write_text(json.dumps(about))
        self.environ = {
            "PATH": f"{agent.parent}:/usr/bin:/bin",
            "HOME": str(self.home),
            "PORTKEY_API_KEY": "k",
            "OPENAI_API_KEY": "CANARY",
        }

    def routeguard(self, *argv: str) -> subprocess.CompletedProcess[str]:
        done = forked.run(argv, env=self.environ)
        assert done.returncode == 0, done
        return done

    def run(self, argv: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            env={**self.environ, **environ},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.routeguard("hook", "bash")  # a fork compiles the policy in a tenth of the time
    return made


def load(shell: Any) -> str:
    """The line of a start file, as the documentation gives it."""
    command = f"'{sys.executable}' -I -S '{MAIN}' hook {shell.name}"
    return f"{command} | source" if shell.name == "fish" else f'eval "$({command})"'


def script(machine: Machine, shell: Any, text: str) -> list[str]:
    path = machine.directory / f"script.{shell.name}"
    path.write_text(text)
    return [*shell.batch, str(path)]


def test_an_allowed_launch_runs_once_with_its_own_status(machine: Machine, shell: Any) -> None:
    text = f"{load(shell)}\nopencode run 'two words'\nexit {shell.status}\n"
    done = machine.run(script(machine, shell, text))
    assert done.returncode == 5, done.stderr
    assert machine.called() == ["run two words keys:"]


def test_a_broken_policy_leaves_the_shell_usable_and_the_agent_not_run(
    machine: Machine, shell: Any
) -> None:
    policy = machine.home / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text("[gateway\n")
    text = f"{load(shell)}\nopencode run hi\necho status {shell.status}\n"
    done = machine.run(script(machine, shell, text))
    assert done.stdout == "status 3\n"
    assert done.stderr.count("RG501") == 2  # once from the hook, once from the launch
    assert machine.called() == []


@pytest.mark.parametrize(
    "argv",
    [["/usr/bin/env", "opencode"], ["sh", "-c", 'opencode "$@"', "sh"], ["nice", "opencode"]],
    ids=["env", "sh", "nice"],
)
def test_a_shim_guards_a_launch_without_a_hook(machine: Machine, argv: list[str]) -> None:
    machine.routeguard("shim", "install")
    path = f"{machine.shims}:{machine.environ['PATH']}"
    done = machine.run([*argv, "run", "two words"], PATH=path)
    assert done.returncode == 5, done.stderr
    assert machine.called() == ["run two words keys:"]


def test_the_hook_puts_the_shims_first_so_that_command_is_guarded_too(
    machine: Machine, shell: Any
) -> None:
    machine.routeguard("shim", "install")
    # set again, because the hook has removed it from this shell
    text = f"{load(shell)}\n{shell.export('OPENAI_API_KEY', 'CANARY')}\ncommand opencode run hi\n"
    done = machine.run(script(machine, shell, text))
    assert done.returncode == 5, done.stderr
    assert machine.called() == ["run hi keys:"]


def test_shims_twice_on_path_and_nothing_behind_them_end_in_not_found(machine: Machine) -> None:
    machine.routeguard("shim", "install")
    copy = machine.directory / "copy"
    shutil.copytree(machine.shims, copy)
    path = f"{copy}:{machine.shims}:{machine.shims}:/usr/bin:/bin"
    done = machine.run(["/usr/bin/env", "opencode", "run", "hi"], PATH=path)
    assert done.returncode == 127
    assert "RG502" in done.stderr


@pytest.mark.parametrize("program", ["sh", "dash", "bash", "zsh"])
def test_a_shim_whose_guard_is_gone_refuses(
    tmp_path: Path, program: str, anywhere: Any, missing_part: Any
) -> None:
    if shutil.which(program) is None:
        missing_part(f"{program} is not installed (Debian: apt-get install {program})")
    shim = anywhere.directory / "shim"
    values = {
        "PYTHON": templates.quote_sh(str(anywhere.python)),
        "MAIN": templates.quote_sh(str(anywhere.main)),
        "NAME": "opencode",
        "WORDS": "exec -- opencode",
    }
    shim.write_bytes(os.fsencode(templates.fill(templates.template("shim.sh"), values)))
    argv = [program, str(shim), "run", "two words", ""]
    done = subprocess.run(argv, env=anywhere.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert anywhere.records()[0]["argv"] == ["exec", "--", "opencode", "run", "two words", ""]
    anywhere.main.unlink()
    done = subprocess.run(argv, env=anywhere.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr.startswith("routeguard: opencode refused: routeguard is missing [RG503]\n")
    assert done.stderr.endswith(f"\n         rm '{shim}'\n")
    assert len(anywhere.records()) == 1


def test_a_tmux_server_that_was_started_with_a_key(machine: Machine, missing_part: Any) -> None:
    """`why` in a window names the command that keeps the key out of the next window."""
    if shutil.which("tmux") is None:
        missing_part("tmux is not installed (Debian: apt-get install tmux)")
    tmux = ["tmux", "-S", str(machine.directory / "tmux"), "-f", "/dev/null"]
    said, left = machine.directory / "said", machine.directory / "left"
    why = f"'{sys.executable}' -m guard why OPENAI_API_KEY >'{said}' 2>&1"
    environ = {**machine.environ, "SHELL": "/bin/sh", "TERM": "xterm"}
    try:
        subprocess.run(
            [*tmux, "new", "-d", f"{why}; tmux wait-for -S asked; cat"], env=environ, check=True
        )
        subprocess.run([*tmux, "wait-for", "asked"], env=environ, check=True, timeout=120)
        (line,) = (row for row in said.read_text().splitlines() if "set-environment" in row)
        assert line.strip() == "tmux set-environment -gu OPENAI_API_KEY"
        command = line.split()
        subprocess.run([*tmux, *command[1:]], env=environ, check=True)
        look = f"echo \"${{OPENAI_API_KEY-gone}}\" >'{left}'; tmux wait-for -S looked; cat"
        subprocess.run([*tmux, "new-window", "-d", look], env=environ, check=True)
        subprocess.run([*tmux, "wait-for", "looked"], env=environ, check=True, timeout=120)
        assert left.read_text() == "gone\n"
    finally:
        subprocess.run([*tmux, "kill-server"], env=environ, check=False)


def test_an_agent_that_cannot_be_guarded_is_not_started_by_name_shim_or_package(
    machine: Machine, shell: Any
) -> None:
    programs = machine.directory / "bin"
    for name in ("gemini", "npx"):
        (programs / name).symlink_to(programs / "opencode")
    machine.routeguard("shim", "install")
    lines = ("gemini -p hi", "command gemini -p hi", "routeguard exec -- npx @google/gemini-cli")
    text = "\n".join([load(shell), *(f"{line}\necho status {shell.status}" for line in lines)])
    done = machine.run(script(machine, shell, text + "\n"))
    assert done.stdout == "status 126\n" * 3, done.stderr
    assert done.stderr.count("routeguard: gemini was not started: Gemini CLI speaks only") == 2
    assert done.stderr.count("routeguard: npx was not started: Gemini CLI speaks only") == 1
    assert machine.called() == []
