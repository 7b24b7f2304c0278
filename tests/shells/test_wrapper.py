"""The wrapper: what goes in arrives, what comes back is the command's own, and it fails closed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_for

pytestmark = pytest.mark.shells

WORDS = ["run", "two words", "", "-m", "a/b", "*", "$HOME", "'\"\\", "new\nline", "--", "--help"]


def process_state(pid: int) -> str:
    """The first letter of the state that ps shows: T is stopped."""
    done = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()[:1]


def sees_no_alias(shell: Any) -> bool:
    """bash 3.2 cannot tell what an alias says without a process, as docs/shells.md has it."""
    return bool(shell.name == "bash" and shell.version < (4, 0))


@pytest.mark.parametrize("name", ["opencode", "opencode2"])
def test_every_word_arrives_as_it_was_typed(anywhere: Any, shell: Any, name: str) -> None:
    words = " ".join(shell.quote(word) for word in WORDS)
    done = anywhere.run(shell, f"{shell.source(anywhere.hook(shell))}\n{name} {words}\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [record["argv"] for record in anywhere.records()] == [["exec", "--", name, *WORDS]]


@pytest.mark.parametrize("option", ["", "setopt ksh_arrays sh_word_split glob_subst", "emulate sh"])
def test_every_word_arrives_under_other_zsh_options(guarded: Any, zsh: Any, option: str) -> None:
    words = " ".join(zsh.quote(word) for word in WORDS)
    done = guarded.run(zsh, f"{option}\n{zsh.source(guarded.hook(zsh))}\nopencode {words}\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert guarded.records()[0]["argv"][3:] == WORDS


@pytest.mark.parametrize(("words", "status"), [("exit 0", 0), ("exit 7", 7), ("kill 15", 143)])
def test_the_status_is_the_commands_own(guarded: Any, shell: Any, words: str, status: int) -> None:
    done = guarded.run(
        shell, f"{shell.source(guarded.hook(shell))}\nopencode {words}\nexit {shell.status}\n"
    )
    assert (done.returncode, len(guarded.records())) == (status, 1)


def test_stdin_arrives_once_and_whole(guarded: Any, shell: Any) -> None:
    script = f"{shell.source(guarded.hook(shell))}\nprintf 'a\\nb' | opencode cat\n"
    done = guarded.run(shell, script)
    assert (done.returncode, done.stderr) == (0, "")
    assert guarded.records()[1:] == [{"stdin": "a\nb"}]


def test_a_subshell_and_a_pipeline_go_through_it_too(guarded: Any, shell: Any) -> None:
    inside = "begin; opencode one; end" if shell.name == "fish" else "( opencode one )"
    script = f"{shell.source(guarded.hook(shell))}\n{inside}\nopencode two | cat\n"
    assert guarded.run(shell, script).returncode == 0
    assert [record["argv"][3] for record in guarded.records()] == ["one", "two"]


@pytest.mark.parametrize("command", ["a function, too", "on PATH"])
def test_it_works_without_the_rest_of_the_hook(guarded: Any, shell: Any, command: str) -> None:
    """Some agents replay the user's functions without the ones that begin with an underscore, and
    `export -f` hands on one of them."""
    text = {"bash": "declare -f", "zsh": "functions", "fish": "functions"}[shell.name]
    copy = guarded.directory / "function"
    names = ["opencode", "routeguard"] if command == "a function, too" else ["opencode"]
    saved = "".join(f"{text} {name} >>{shell.quote(str(copy))}\n" for name in names)
    guarded.run(shell, f"{shell.source(guarded.hook(shell))}\n{saved}")
    search = guarded.directory / "search"
    search.mkdir()
    if command == "on PATH":
        launcher = search / "routeguard"
        launcher.write_text(f'#!/bin/sh\nexec {guarded.python} {guarded.main} "$@"\n')
        launcher.chmod(0o755)
    path = f"{search}:{guarded.environ['PATH']}"
    done = guarded.run(shell, f"{shell.source(copy)}\nopencode alone\n", {"PATH": path})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert guarded.records()[0]["argv"] == ["exec", "--", "opencode", "alone"]


@pytest.mark.parametrize("gone", ["main", "python"])
def test_without_its_guard_it_refuses_and_the_shell_goes_on(
    anywhere: Any, shell: Any, gone: str, tmp_path: Path
) -> None:
    real = tmp_path / "bin" / "opencode"
    real.parent.mkdir()
    real.write_text('#!/bin/sh\ntouch "$RECORD"\n')
    real.chmod(0o755)
    path = anywhere.hook(shell)
    getattr(anywhere, gone).unlink()
    script = f"{shell.source(path)}\nopencode run\necho still here {shell.status}\n"
    done = anywhere.run(shell, script, {"PATH": f"{real.parent}:{anywhere.environ['PATH']}"})
    assert done.stdout == "still here 126\n"
    assert done.stderr.startswith("routeguard: opencode refused: routeguard is missing [RG503]\n")
    assert str(anywhere.main) in done.stderr
    assert done.stderr.endswith(f"\n         exec {shell.name}\n")
    assert not anywhere.record.exists()


@pytest.mark.parametrize("words", ["env A_KEY=sk-value x", "-- A_KEY=sk-value x", "-- sh", ""])
def test_without_its_guard_exec_prints_no_word_of_its_command(
    guarded: Any, shell: Any, words: str
) -> None:
    path = guarded.hook(shell)
    guarded.main.unlink()
    done = guarded.run(shell, f"{shell.source(path)}\nrouteguard exec {words}\n")
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr.startswith("routeguard: exec refused: routeguard is missing [RG503]\n")
    assert "sk-value" not in done.stderr


def test_under_errexit_a_refusal_can_be_handled(guarded: Any, bash: Any) -> None:
    path = guarded.hook(bash)
    guarded.main.unlink()
    script = f"set -eu\n{bash.source(path)}\nopencode run || echo handled $?\n"
    assert guarded.run(bash, script).stdout == "handled 126\n"


def test_an_alias_that_is_already_there_does_not_take_its_place(
    guarded: Any, shell: Any, open_session: Callable[..., Any]
) -> None:
    session = open_session(shell)
    session.run("alias opencode='echo alias'")
    session.run(shell.source(guarded.hook(shell)))
    if sees_no_alias(shell):
        assert "alias run" in session.run("opencode run")
        return
    assert "alias run" not in session.run("opencode run")
    assert guarded.records()[0]["argv"][3:] == ["run"]


def test_an_alias_made_later_is_gone_at_the_next_prompt_and_said_once(
    guarded: Any, shell: Any, open_session: Callable[..., Any]
) -> None:
    session = open_session(shell)
    session.run(shell.source(guarded.hook(shell)))
    if sees_no_alias(shell):
        assert session.messages(session.run("alias opencode='echo alias'")) == []
        return
    assert session.messages(session.run("alias opencode='echo alias'")) == [
        "routeguard: removed the alias opencode: it bypassed the guard"
    ]
    assert "alias run" not in session.run("opencode run")
    assert guarded.records()[0]["argv"][3:] == ["run"]
    assert session.messages(session.run("true")) == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_an_alias_that_leads_to_the_wrapper_stays(
    name: str,
    when: str,
    guarded: Any,
    open_session: Callable[..., Any],
    request: pytest.FixtureRequest,
) -> None:
    shell = request.getfixturevalue(name)
    session = open_session(shell)
    lines = [shell.source(guarded.hook(shell)), "alias opencode='opencode --model a/b'"]
    output = "".join(session.run(line) for line in (lines if when == "after" else lines[::-1]))
    assert session.messages(output) == []
    session.run("opencode run")
    assert guarded.records()[0]["argv"][3:] == ["--model", "a/b", "run"]


def test_a_zsh_script_with_an_alias_goes_through_the_wrapper(guarded: Any, zsh: Any) -> None:
    script = f"alias opencode='echo alias'\n{zsh.source(guarded.hook(zsh))}\nopencode run\n"
    done = guarded.run(zsh, script)
    assert (done.stdout, done.stderr) == ("", "")
    assert guarded.records()[0]["argv"][3:] == ["run"]


@pytest.mark.parametrize(
    ("alias", "words"),
    [
        ("opencode='opencode --model a/b'", ["--model", "a/b", "run"]),
        ("opencode='command opencode'", ["run"]),
        ("exec='echo alias'", ["run"]),
    ],
)
def test_a_global_alias_of_zsh_is_in_no_wrapper(
    guarded: Any, zsh: Any, open_session: Callable[..., Any], alias: str, words: list[str]
) -> None:
    session = open_session(zsh)
    session.run(f"alias -g {alias}")
    session.run(zsh.source(guarded.hook(zsh)))
    assert session.messages(session.run("true")) == []
    session.run("opencode run")
    assert session.messages(session.run("true")) == []
    assert guarded.records()[0]["argv"] == ["exec", "--", "opencode", *words]


def test_ctrl_c_reaches_the_command_and_leaves_the_shell(
    guarded: Any, shell: Any, open_session: Callable[..., Any]
) -> None:
    session = open_session(shell)
    session.run(shell.source(guarded.hook(shell)))
    session.child.sendline("opencode sleep 0")
    wait_for(lambda: {"event": "sleeping"} in guarded.records())
    session.child.sendintr()
    wait_for(lambda: {"event": "interrupted"} in guarded.records())
    assert session.value(shell.status) == "130"
    assert len([record for record in guarded.records() if "argv" in record]) == 1


def test_ctrl_z_stops_it_and_fg_goes_on_with_its_status(
    guarded: Any, shell: Any, open_session: Callable[..., Any]
) -> None:
    session = open_session(shell)
    session.run(shell.source(guarded.hook(shell)))
    session.child.sendline("opencode sleep 5")
    wait_for(lambda: {"event": "sleeping"} in guarded.records())
    pid = guarded.records()[0]["pid"]
    session.child.send("\x1a")
    wait_for(lambda: process_state(pid) == "T")
    assert re.search("stopped|suspended", session.run("jobs"), re.IGNORECASE)
    session.child.sendline("fg")
    wait_for(lambda: {"event": "continued"} in guarded.records())
    Path(f"{guarded.record}.end").touch()
    wait_for(lambda: {"event": "ended"} in guarded.records())
    # after `fg`, fish answers 0 for every command and zsh 5.9 for every function
    expected = ("5",) if shell.name == "bash" else ("5", "0")
    assert session.value(shell.status) in expected
    assert len([record for record in guarded.records() if "argv" in record]) == 1


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_it_runs_in_the_background(
    name: str,
    guarded: Any,
    open_session: Callable[..., Any],
    request: pytest.FixtureRequest,
) -> None:
    """Not in fish, where no function can be put into the background."""
    shell = request.getfixturevalue(name)
    session = open_session(shell)
    session.run(shell.source(guarded.hook(shell)))
    session.run("opencode sleep 0 &")
    wait_for(lambda: {"event": "sleeping"} in guarded.records())
    Path(f"{guarded.record}.end").touch()
    wait_for(lambda: {"event": "ended"} in guarded.records())
    session.run("true")
