"""The gateway key by a command: handed on in memory, and every failure says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guard.errors import ExitCode, GuardError
from guard.launch.keys import fetch
from guard.policy.values import GatewayProvider

ENVIRON = {"PATH": os.defpath, "HANDED": "on"}


def entry(*command: str, timeout: float = 30.0) -> GatewayProvider:
    return GatewayProvider(name="gw", key_env="", key_command=command, key_timeout=timeout)


def shell(script: str, timeout: float = 30.0) -> GatewayProvider:
    return entry("/bin/sh", "-c", script, timeout=timeout)


@pytest.mark.parametrize(
    ("script", "key"),
    [
        ("printf pk-abc", "pk-abc"),
        ("echo pk-abc", "pk-abc"),
        (r"printf 'pk-abc\r\n'", "pk-abc"),
        ('printf "pk-$HANDED"', "pk-on"),
        ("echo 'ask me' >&2; printf pk-abc", "pk-abc"),
    ],
)
def test_what_it_prints(script: str, key: str) -> None:
    assert fetch(shell(script), ENVIRON) == key


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 3", "ended with status 3"),
        ("echo canary-secret; exit 1", "ended with status 1"),
        ("kill -9 $$", "ended with status -9"),
        ("true", "printed nothing"),
        ("echo", "printed nothing"),
        ("echo '  '", "printed nothing"),
        (r"printf 'canary-secret\n\n'", "a line break"),
        (r"printf 'canary\nsecret\n'", "a space or a control character"),
        ("echo canary secret", "a space or a control character"),
        ("echo 'canary\"secret'", "holds a quote"),
        (r"printf 'canary\\secret'", "holds a quote"),
        ("echo canary{secret}", "holds a quote"),
        (r"printf 'canary\377secret'", "is not ASCII"),
        ("echo sk-ant-canary-secret", "begins with sk-ant-"),
        ("echo gsk_canary-secret", "begins with gsk_"),
    ],
)
def test_failures(script: str, why: str) -> None:
    with pytest.raises(GuardError) as caught:
        fetch(shell(script), ENVIRON)
    text = caught.value.render()
    assert why in text
    assert "fix:" in text
    assert (caught.value.rule, caught.value.exit_code) == ("RG106", ExitCode.REFUSED)
    # the script is in the policy, what it prints is not for anybody's eyes
    assert "secret" not in text


def test_it_takes_too_long() -> None:
    with pytest.raises(GuardError, match="could not be fetched") as caught:
        fetch(shell("exec sleep 60", timeout=0.05), ENVIRON)
    assert "within 0.05 seconds" in caught.value.why


@pytest.mark.parametrize("command", ["/nonexistent/op", "no-such-op", "/", "/dev/null"])
def test_no_such_command(command: str) -> None:
    with pytest.raises(GuardError) as caught:
        fetch(entry(command, "read", "op://vault/canary"), ENVIRON)
    assert caught.value.rule == "RG106"
    assert command in caught.value.render()
    assert "canary" not in caught.value.render()


def test_a_project_chooses_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # direnv and node_modules/.bin put a folder of the repository first
    project, own = tmp_path / "project", tmp_path / "own"
    for folder, key in ((project, "pk-theirs"), (project / "bin", "pk-theirs"), (own, "pk-own")):
        folder.mkdir()
        (folder / "op").write_text(f"#!/bin/sh\necho {key}\n")
        (folder / "op").chmod(0o755)
    (project / ".git").mkdir()
    monkeypatch.chdir(project)
    for first in (str(project / "bin"), str(project), "bin", ".", ""):
        environ = {"PATH": f"{first}:{own}:{os.defpath}"}
        assert fetch(entry("op"), environ) == "pk-own"
        with pytest.raises(GuardError, match="could not be fetched"):
            fetch(entry("op"), {"PATH": first})
    for relative in ("./op", "bin/op"):
        with pytest.raises(GuardError) as caught:
            fetch(entry(relative), {"PATH": os.defpath})
        assert "a relative path" in caught.value.why


def test_it_does_not_ask_routeguard_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    script = f"echo $ROUTEGUARD_KEY >> {asked}; echo pk-abc"
    assert fetch(shell(script), ENVIRON) == "pk-abc"
    # what the command starts has its environment
    monkeypatch.setenv("ROUTEGUARD_KEY", asked.read_text().strip())
    with pytest.raises(GuardError) as caught:
        fetch(shell(script), ENVIRON)
    assert "asks routeguard for the key" in caught.value.why
    assert asked.read_text() == f"{os.getpid()}\n"
    # a daemon that such a command started keeps its environment: nobody waits for it any more
    with subprocess.Popen(["/bin/true"]) as ended:
        pass
    for gone in (str(ended.pid), "", "x", "9" * 40):
        monkeypatch.setenv("ROUTEGUARD_KEY", gone)
        assert fetch(shell(script), ENVIRON) == "pk-abc"


def test_it_may_ask_on_the_terminal(tmp_path: Path) -> None:
    # standard input is ours, so that it can read a password
    read, write = os.pipe()
    os.write(write, b"typed\n")
    os.close(write)
    saved = os.dup(0)
    os.dup2(read, 0)
    try:
        assert fetch(shell("read word; echo pk-$word"), ENVIRON) == "pk-typed"
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(read)


def test_words_are_not_a_shell_line() -> None:
    program = entry(sys.executable, "-c", "import sys; print(len(sys.argv))", "$(x)", "a b", ";")
    assert fetch(program, ENVIRON) == "4"
