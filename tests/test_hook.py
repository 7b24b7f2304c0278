"""The renderer of the hook: quoting, filling in, which names a shell is told, a broken policy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import guard
from guard import hook, shells
from guard.errors import ExitCode, GuardError, UsageError, either
from guard.policy.values import CompiledPolicy, GatewayProvider, PolicyException

MAIN = Path(guard.__file__).with_name("__main__.py")
NAMES = {
    "OPENAI_API_KEY": ("provider_key", "OpenAI"),
    "CLARIFAI_PAT": ("provider_key", "Clarifai"),
    "302AI_API_KEY": ("provider_key", "302.AI"),
    "bad name;id_API_KEY": ("provider_key", ""),
    "STRIPE_API_KEY": ("other_service", "Stripe"),
    "GITHUB_TOKEN": ("ambient", "GitHub"),
}
AWKWARD = [
    "plain",
    "two words",
    "it's",
    "''",
    '"',
    "\\",
    "\\'",
    "a\nb",
    "$HOME",
    "`id`",
    "!x",
    "é*[?]~",
    "",
]


def render(shell: str, policy: CompiledPolicy | None, **changes: Any) -> str:
    values = {"python": "/p", "main_file": "/m", "shims": "/s", "scratch": "/t"}
    return hook.render(shell, policy, **{**values, **changes})


def words(text: str, start: str) -> list[str]:
    """The names in the line of `text` that begins with `start`."""
    (line,) = (line for line in text.splitlines() if line.strip().startswith(start))
    return line.strip().removeprefix(start).strip("()' ").split()


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
    ("program", "options", "quote"),
    [
        ("sh", [], hook.quote_sh),
        ("bash", ["--norc"], hook.quote_bash),
        ("bash", ["--posix"], hook.quote_bash),
        ("zsh", ["-f"], hook.quote_zsh),
        ("zsh", ["-f", "-o", "rc_quotes"], hook.quote_zsh),
        ("zsh", ["-f", "-o", "csh_junkie_quotes"], hook.quote_zsh),
        ("fish", ["--no-config"], hook.quote_fish),
    ],
)
def test_a_quoted_text_is_one_word(
    program: str, options: list[str], quote: Any, missing_part: Any
) -> None:
    if shutil.which(program) is None:
        missing_part(f"{program} is not installed (Debian: apt-get install {program})")
    # one after another, so that none of them reaches into the next
    words = " ".join(f"{quote(text)} {quote(text)}" for text in AWKWARD)
    done = subprocess.run(
        [program, *options, "-c", f"printf '<%s>' {words}"], capture_output=True, check=False
    )
    expected = "".join(f"<{text}><{text}>" for text in AWKWARD)
    assert (done.returncode, done.stdout) == (0, expected.encode())


def test_filling_in_reads_no_value_again() -> None:
    values = {"A": "__B__", "B": "x__A__"}
    assert hook.fill("__A__ __B__ __C__ __routeguard__ __A", values) == (
        "__B__ x__A__ __C__ __routeguard__ __A"
    )


@pytest.mark.parametrize("shell", hook.SHELLS)
def test_every_placeholder_is_filled_in(shell: str) -> None:
    text = render(shell, CompiledPolicy(variables=NAMES))
    for word in text.replace("'", " ").replace('"', " ").split():
        assert not (word.startswith("__") and word.endswith("__") and word.isupper()), word


def test_bash_and_zsh_are_told_only_names_they_can_hold() -> None:
    policy = CompiledPolicy(variables=NAMES)
    assert words(render("zsh", policy), "keys=") == ["CLARIFAI_PAT", "OPENAI_API_KEY"]
    assert "302AI" not in re.sub(r"(?m)^\s*#.*$", "", render("bash", policy))
    assert "302AI_API_KEY CLARIFAI_PAT OPENAI_API_KEY" in render("fish", policy)
    for shell in hook.SHELLS:
        assert "bad name" not in render(shell, policy)


def test_other_names_are_those_that_look_like_a_key_and_are_known() -> None:
    policy = CompiledPolicy(variables=NAMES)
    assert words(render("zsh", policy), "others=") == ["PORTKEY_API_KEY", "STRIPE_API_KEY"]


def test_the_gateways_key_is_no_direct_key() -> None:
    provider = GatewayProvider(key_env="OPENAI_API_KEY")
    text = render("zsh", CompiledPolicy(variables=NAMES, providers=(provider,)))
    assert words(text, "keys=") == ["CLARIFAI_PAT"]
    assert "OPENAI_API_KEY" in words(text, "others=")


def test_exceptions_for_variables_carry_their_end() -> None:
    end = int(time.time()) + 1000
    exceptions = (
        PolicyException(subject="env:OPENAI_API_KEY", until=float(end)),
        PolicyException(subject="env:OPENAI_API_KEY", until=float(end - 500)),
        PolicyException(subject="env:CLARIFAI_PAT", until=1.0),
        PolicyException(subject="server:http://127.0.0.1", until=float(end)),
        PolicyException(subject="env:x; rm", until=float(end)),
    )
    text = render("zsh", CompiledPolicy(variables=NAMES, exceptions=exceptions))
    assert words(text, "allowed=") == [f"OPENAI_API_KEY={end}"]


@pytest.mark.parametrize("shell", hook.SHELLS)
def test_without_a_policy_the_wrappers_are_all_there_and_no_name_is_looked_for(shell: str) -> None:
    text = render(shell, None)
    assert "exec -- opencode " in text
    assert "exec -- opencode2 " in text
    assert "OPENAI" not in text


def test_templates_of_an_installed_package_come_from_inside_it(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "guard"
    (package / "shell").mkdir(parents=True)
    (package / "shell" / "hook.bash").write_text("ours")
    assert hook.template("hook.bash", package=str(package)) == "ours"


def test_a_directory_called_shell_beside_an_installed_package_is_not_ours(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "guard"
    package.mkdir(parents=True)
    (package.parent / "shell").mkdir()
    (package.parent / "shell" / "hook.bash").write_text("somebody else's")
    with pytest.raises(GuardError) as error:
        hook.template("hook.bash", package=str(package))
    assert error.value.rule == "RG503"
    (package.parent / "pyproject.toml").touch()
    assert hook.template("hook.bash", package=str(package)) == "somebody else's"


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
        assert hook.asking_shell("completion") == found
        assert said in capsys.readouterr().err
        return
    with pytest.raises(UsageError, match=said) as error:
        hook.main([])
    assert error.value.fix == either(*(f"routeguard hook {one}" for one in hook.SHELLS))


@pytest.mark.parametrize("argv", [["tcsh"], ["bash", "zsh"], ["--shell"], ["BASH"]])
def test_another_shell_is_a_usage_error_that_says_what_is_accepted(argv: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        hook.main(argv)
    assert error.value.exit_code == ExitCode.USAGE
    every = either(*(f"routeguard hook {shell}" for shell in hook.SHELLS))
    assert error.value.fix == f"{every}\nin a start file:\nrouteguard hook --help"


@pytest.mark.parametrize("shell", hook.SHELLS)
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


@pytest.mark.parametrize("shell", hook.SHELLS)
def test_a_broken_policy_still_wraps_and_says_so_in_one_line(shell: str, tmp_path: Path) -> None:
    policy = tmp_path / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text("[gateway\n")
    done = run("hook", shell, home=tmp_path)
    # a start file takes any other status for "no hook at all"
    assert done.returncode == 0
    assert "exec -- opencode " in done.stdout
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


def test_the_path_of_python_must_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(GuardError) as error:
        hook.interpreter()
    assert error.value.rule == "RG503"


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
