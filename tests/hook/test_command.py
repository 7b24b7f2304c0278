"""`routeguard hook`: what it prints for which shell and policy, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import guard
from guard import shells
from guard.errors import ExitCode, UsageError, either
from guard.hook import SHELLS, command

MAIN = Path(guard.__file__).with_name("__main__.py")


def run(*argv: str, home: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """`routeguard` as the wrappers call it, without site-packages."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(MAIN), *argv],
        env={"HOME": str(home), "PATH": os.environ["PATH"], **extra},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("parent", "shell", "found", "said"),
    [
        ("zsh", "/bin/bash", "zsh", ""),
        ("python3", "/usr/bin/fish", "fish", "for fish (a guess by $SHELL)"),
        ("", "/bin/bash", "bash", "routeguard completion SHELL"),
        ("python3", "/bin/tcsh", "", "cannot tell which shell asks"),
        ("sh", "", "", "cannot tell which shell asks"),
    ],
)
def test_the_shell_that_asks(
    parent: str,
    shell: str,
    found: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shells, "program", lambda pid: parent)
    monkeypatch.setenv("SHELL", shell)
    if found:
        assert command.asking_shell("completion") == found
        assert said in capsys.readouterr().err
        return
    with pytest.raises(UsageError, match=said) as error:
        command.main([])
    assert error.value.fix == either(*(f"routeguard hook {one}" for one in SHELLS))


@pytest.mark.parametrize("argv", [["tcsh"], ["bash", "zsh"], ["--shell"], ["BASH"]])
def test_another_shell_is_a_usage_error_that_says_what_is_accepted(argv: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        command.main(argv)
    assert error.value.exit_code == ExitCode.USAGE
    every = either(*(f"routeguard hook {shell}" for shell in SHELLS))
    assert error.value.fix == f"{every}\nin a start file:\nrouteguard hook --help"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_a_hook_for_the_catalogue(shell: str, tmp_path: Path) -> None:
    done = run("hook", shell, home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(MAIN) in done.stdout
    assert sys.executable in done.stdout
    text = done.stdout
    if shell == "bash":  # holds the known keys without their ending
        text += " ".join(f"{word}_API_KEY" for word in text.split())
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HF_API_KEY", "DATADOG_API_KEY"):
        assert (name in text) == (name != "HF_API_KEY")


def test_the_users_policy_is_in_the_hook(tmp_path: Path) -> None:
    policy = tmp_path / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text('[keys]\naction = "flag"\nextra = ["MY_OWN_LLM_KEY"]\nunknown = "ignore"\n')
    text = run("hook", "bash", home=tmp_path).stdout
    assert "__rg_action=flag __rg_flag=ignore" in text
    assert "MY_OWN_LLM_KEY" in text


def test_a_projects_policy_is_not_in_the_hook(tmp_path: Path) -> None:
    """The shell lives on in other directories."""
    project = tmp_path / "project"
    project.mkdir()
    (project / ".routeguard.toml").write_text('[keys]\nextra = ["PROJECT_LLM_KEY"]\n')
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(MAIN), "hook", "bash"],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PROJECT_LLM_KEY" not in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_broken_policy_still_wraps_and_says_so_in_one_line(shell: str, tmp_path: Path) -> None:
    policy = tmp_path / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text("[gateway\n")
    done = run("hook", shell, home=tmp_path)
    # a start file takes any other status for "no hook at all"
    assert done.returncode == 0
    assert "exec -- opencode " in done.stdout.replace("'", "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("routeguard: ")
    assert str(policy) in line
    assert "[RG501]" in line


def test_a_home_that_cannot_be_written_costs_only_the_look_for_unknown_keys(tmp_path: Path) -> None:
    (tmp_path / ".cache").write_text("in the way")
    done = run("hook", "bash", home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "local __rg_scratch='' " in done.stdout


def test_files_of_shells_that_have_ended_are_removed(tmp_path: Path) -> None:
    scratch = tmp_path / ".cache/routeguard/prompt"
    run("hook", "bash", home=tmp_path)
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (str(ended.pid), str(os.getpid()), "notes"):
        (scratch / name).touch()
    run("hook", "bash", home=tmp_path)
    assert sorted(path.name for path in scratch.iterdir()) == sorted([str(os.getpid()), "notes"])


def test_help_names_every_start_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "guard", "hook", "--help"],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    for name in ("~/.bashrc", "~/.zshrc", "config.fish"):
        assert name in done.stdout
