"""Real shells that start in an installed home: guarded, silent, and shut if the guard is gone."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

pytestmark = pytest.mark.shells

SHELLS = ("bash", "zsh", "fish")


def plant_agent(home) -> Path:
    """Put an `opencode` on PATH that leaves a mark when it runs; returns the mark's path."""
    tools = home.path / "agent bin"
    tools.mkdir()
    agent = tools / "opencode"
    agent.write_text('#!/bin/sh\n: > "$HOME/agent-ran"\n')
    agent.chmod(0o755)
    (tools / "opencode2").symlink_to("opencode")
    home.environ["PATH"] = f"{tools}:{home.environ['PATH']}"
    return home.path / "agent-ran"


@pytest.mark.parametrize("name", SHELLS)
def test_a_new_shell_is_guarded_and_says_nothing(home, name: str) -> None:
    home.set_up("--shell", name)
    status, shown = home.shell(name, "true")
    assert (status, shown) == (0, b"")
    status, shown = home.shell(name, "type opencode")
    assert status == 0
    assert b"function" in shown
    assert b"routeguard exec" in shown or name == "zsh"
    shows = "declare -f" if name == "bash" else "functions"
    text = home.shell(name, f"{shows} routeguard")[1]
    assert str(home.data / "venv/run/guard/__main__.py").encode().replace(b"'", b"") in (
        text.replace(b"'\\''", b"").replace(b"\\'", b"").replace(b"'", b"")
    ), "an open shell must hold the path that survives an upgrade"


@pytest.mark.parametrize("name", SHELLS)
def test_sourcing_the_block_twice_is_silent_too(home, name: str) -> None:
    home.set_up("--shell", name)
    file = {
        "bash": "~/.bashrc",
        "zsh": "~/.zshrc",
        "fish": "~/.config/fish/conf.d/routeguard.fish",
    }[name]
    assert home.shell(name, f"source {file}; source {file}") == (0, b"")


def test_login_shells_of_bash_are_guarded(home) -> None:
    home.set_up("--shell", "bash")
    status, shown = home.shell("bash", "type -t opencode", options=("-l",))
    assert (status, shown.strip()) == (0, b"function")


def test_the_login_file_means_nothing_to_other_shells(home) -> None:
    home.set_up("--shell", "bash")
    result = home.run("/bin/sh", "-c", '. "$HOME/.profile"')
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("how", ["launcher gone", "launcher breaks", "Python gone"])
@pytest.mark.parametrize("name", SHELLS)
def test_without_its_guard_an_agent_is_refused_and_the_shell_is_usable(
    home, name: str, how: str
) -> None:
    home.set_up("--shell", name)
    ran = plant_agent(home)
    if how == "launcher gone":
        home.launcher.unlink()
    elif how == "launcher breaks":
        home.launcher.write_text("#!/bin/sh\nexit 4\n")
    else:
        (home.data / "venv").unlink()
    status, shown = home.shell(name, "echo usable")
    assert status == 0
    lines = shown.decode().splitlines()
    assert lines[-1] == "usable"
    said = [line for line in lines if line.startswith("routeguard:")]
    assert len(said) == 1
    if how == "launcher gone":
        assert f"  fix:   sh {shlex.quote(str(home.clone / 'install.sh'))}" in lines
    else:
        assert lines[1:] == [f"  fix:   {shlex.quote(str(home.launcher))} doctor", "usable"]
    for agent in ("opencode", "opencode2"):
        status, shown = home.shell(name, f"{agent} run hi")
        assert status == 126
        assert b"blocked in this shell" in shown
        assert not ran.exists()


@pytest.mark.parametrize("how", ["torn down", "program gone"])
@pytest.mark.parametrize("name", SHELLS)
def test_an_open_shell_says_how_it_starts_anew(home, name: str, how: str) -> None:
    home.set_up("--shell", name)
    ran = plant_agent(home)
    ends = {
        "torn down": f"{shlex.quote(str(home.launcher))} teardown --yes",
        "program gone": f"rm {shlex.quote(str(home.data / 'venv'))}",
    }[how]
    status, shown = home.shell(name, f"{ends}; opencode run hi")
    lines = shown.decode().splitlines()
    assert status == 126
    assert not ran.exists()
    assert lines[-2].strip().endswith("if there is something to repair, it says so:")
    fix = lines[-1].strip()
    assert fix == f"exec {name}"
    assert ("Shells that are open now block coding agents" in shown.decode()) == (
        how == "torn down"
    )
    status, shown = home.shell(name, f"{fix} -i -c 'opencode run hi'")
    if how == "torn down":
        assert (status, shown, ran.exists()) == (0, b"", True)
    else:
        assert (status, ran.exists()) == (126, False)
        assert b" doctor" in shown.partition(b"fix: ")[2]


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_an_alias_does_not_slip_past_the_refusal(home, name: str) -> None:
    rc = home.path / f".{name}rc"
    rc.write_text("alias opencode='command opencode --pure'\n")
    home.set_up("--shell", name)
    ran = plant_agent(home)
    home.launcher.unlink()
    status, _ = home.shell(name, "opencode run hi")
    assert status == 126
    assert not ran.exists()


@pytest.mark.parametrize("name", ["bash", "zsh"])
@pytest.mark.parametrize("broken", [False, True])
def test_strict_shells_survive_the_block(home, name: str, broken: bool) -> None:
    (home.path / f".{name}rc").write_text("set -eu\n")
    home.set_up("--shell", name)
    if broken:
        home.launcher.unlink()
    status, shown = home.shell(name, "echo usable")
    assert status == 0
    assert shown.strip().endswith(b"usable")
