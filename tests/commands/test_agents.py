"""`routeguard agents`: what is shown, what is not, and the exit status."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click import unstyle
from click.testing import CliRunner

from guard.agents import guarded, running
from guard.agents.addresses import resolve_hosts
from guard.agents.connected import Peer
from guard.agents.guarded import DirectKey
from guard.agents.running import Running
from guard.commands import agents as command
from guard.errors import GuardError, PolicyError
from guard.policy.values import CompiledPolicy

NOW = 1_700_000_000.0
CANARY = "sk-canary-0123456789abcdefghij"

ONE = Running(
    pid=4242,
    started=77,
    since=NOW - 7200,
    uid=1000,
    user="ada",
    agent="opencode",
    name="OpenCode",
    recognised="program opencode",
    program="/home/ada/.opencode/bin/opencode",
    state=guarded.UNGUARDED,
    how="nothing in its environment comes from a launch by routeguard; it holds OPENAI_API_KEY",
    keys=(
        DirectKey("OPENAI_API_KEY", "provider_key", "OpenAI"),
        DirectKey("MY_API_KEY", "unknown_key", ""),
    ),
    peers=(
        Peer("loopback", "127.0.0.1", 4000, "LiteLLM", 2),
        Peer("incoming", "::1", 0),
        Peer("public address", "2606:4700::1111", 443),
    ),
    listens=(("127.0.0.1", 4096), ("::1", 4096)),
    tty="pts/3",
    directory="/home/ada/project",
    parents=((4000, "zsh"),),
)


def test_the_text() -> None:
    assert unstyle(command.render([ONE], "/home/ada", NOW)).splitlines() == [
        " PID  SINCE  USER  AGENT     STATE      EVIDENCE",
        "4242  2 h    ada   OpenCode  unguarded  nothing in its environment comes from a launch "
        "by routeguard; it holds OPENAI_API_KEY",
        "",
        "4242: ~/.opencode/bin/opencode (program opencode) in ~/project on pts/3",
        "  keys: OPENAI_API_KEY (OpenAI), MY_API_KEY",
        "  connected: loopback 127.0.0.1:4000 (LiteLLM) x2, incoming from ::1, "
        "public address [2606:4700::1111]:443",
        "  listens: 127.0.0.1:4096, [::1]:4096",
        "",
        "1 unguarded [RG405]",
        "  4242: end it and start `opencode` from a hooked shell, or with:",
        "    routeguard exec -- opencode",
    ]


def test_a_guarded_one_needs_no_fix() -> None:
    text = command.render([replace(ONE, state=guarded.GUARDED, keys=())], "/home/ada", NOW)
    assert "RG405" not in text
    assert "keys:" not in text


def test_nothing_runs() -> None:
    assert command.render([], "/home/ada", NOW) == "no known coding agent runs here"


def test_what_is_not_shown_to_us() -> None:
    hidden = replace(ONE, state=guarded.UNKNOWN, peers=None, listens=None)
    assert "connections: not visible to this user" in command.render([hidden], "/home/ada", NOW)
    shown = command.as_dict(hidden)
    assert (shown["connections"], shown["listens"], shown["guarded"]) == (None, None, None)


def test_a_name_cannot_rewrite_the_terminal() -> None:
    nasty = replace(ONE, agent="x", program="/t/\x1b[2Jcrush", directory="/t/\n", user="\x07")
    text = unstyle(command.render([nasty], "/home/ada", NOW))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert text.count("\\x1b[2Jcrush") == 2


def test_the_json() -> None:
    shown = command.as_dict(ONE)
    assert shown["state"] == "unguarded"
    assert shown["guarded"] is False
    assert shown["rule"] == "RG405"
    assert shown["since"] == "2023-11-14T20:13:20+00:00"
    assert shown["keys"][0] == {
        "name": "OPENAI_API_KEY",
        "kind": "provider_key",
        "owner": "OpenAI",
    }
    assert shown["connections"][0] == {
        "kind": "loopback",
        "address": "127.0.0.1",
        "port": 4000,
        "name": "LiteLLM",
        "count": 2,
    }
    assert shown["launch"] is None
    assert shown["parents"] == [{"pid": 4000, "program": "zsh"}]
    assert command.as_dict(replace(ONE, state=guarded.INHERITED, launch=9))["guarded"] is True
    # nothing pins its configuration
    assert command.as_dict(replace(ONE, state=guarded.CLEANED))["guarded"] is False
    assert command.as_dict(replace(ONE, state=guarded.UNKNOWN))["guarded"] is None


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Run the command with the agents given; returns click's result."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "ROUTEGUARD_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(found: list[Running], *argv: str) -> Any:
        monkeypatch.setattr(running, "find_running", lambda *_, **__: found)
        return CliRunner().invoke(command.agents, argv, standalone_mode=False)

    return run


def test_the_exit_status(listed: Callable[..., Any]) -> None:
    assert listed([]).return_value == 0
    assert listed([ONE]).return_value == 1
    assert listed([replace(ONE, state=guarded.CLEANED)]).return_value == 1
    for state in (guarded.GUARDED, guarded.INHERITED, guarded.UNKNOWN):
        assert listed([replace(ONE, state=state)]).return_value == 0
    output = json.loads(listed([ONE, replace(ONE, state="guarded")], "--json").output)
    assert output["schema_version"] == 1
    assert output["unguarded"] == 1
    assert [one["state"] for one in output["agents"]] == ["unguarded", "guarded"]


def test_colour(listed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31;1m" in listed([ONE]).output
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in listed([ONE]).output


def test_a_broken_policy_is_an_error(listed: Callable[..., Any], tmp_path: Path) -> None:
    policy = tmp_path / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text("nonsense = [")
    assert isinstance(listed([]).exception, PolicyError)


def test_no_process_table_is_not_the_same_as_no_agent(
    listed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.Table, "pids", lambda _: [])
    result = listed([])
    assert isinstance(result.exception, GuardError)
    assert result.exception.exit_code == 3
    assert "cannot list the processes" in result.exception.render()


def test_names_are_looked_up_only_when_asked_for(
    listed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        if host == "api.openai.com":
            raise OSError("no such name")
        return [(socket.AF_INET, 1, 6, "", ("192.0.2.7", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    listed([ONE])
    assert asked == []
    hosts = resolve_hosts(CompiledPolicy().base_url)
    assert {"api.portkey.ai", "api.openai.com", "api.anthropic.com"} <= set(asked)
    # an address that several share is the gateway's
    assert hosts == {"192.0.2.7": ("gateway", "api.portkey.ai")}


def test_a_lookup_that_hangs_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def getaddrinfo(host: str, *_: object, **__: object) -> list[Any]:
        if host != "api.portkey.ai":
            over.wait(60)
        return [(socket.AF_INET, 1, 6, "", ("192.0.2.7", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    # the one that answers does so at once: two seconds are for a busy machine
    hosts = resolve_hosts("https://api.portkey.ai/v1", limit=2.0)
    over.set()
    assert hosts == {"192.0.2.7": ("gateway", "api.portkey.ai")}


# The whole command -------------------------------------------------------------------------------


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Callable[[Mapping[str, str]], int]]:
    """Start a program called `claude`; its process id."""
    program = tmp_path / "bin/claude"
    program.parent.mkdir()
    program.write_text("#!/bin/bash\necho up\nread -r line\n")
    program.chmod(0o755)
    begun: list[subprocess.Popen[bytes]] = []

    def start(environ: Mapping[str, str]) -> int:
        process = subprocess.Popen(
            [program, "-p", f"a prompt with {CANARY}"],
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process.pid

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def test_a_real_agent_is_found_and_no_value_of_it_is_shown(
    agent: Callable[[Mapping[str, str]], int], tmp_path: Path
) -> None:
    pid = agent({"ANTHROPIC_API_KEY": CANARY})
    code = "import sys; from guard.commands.agents import agents; sys.exit(agents.main(\
sys.argv[1:], standalone_mode=False))"
    for argv in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *argv],
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1, done.stderr
        assert CANARY not in done.stdout + done.stderr
        assert "ANTHROPIC_API_KEY" in done.stdout
    (found,) = [one for one in json.loads(done.stdout)["agents"] if one["pid"] == pid]
    assert found["agent"] == "claude-code"
    assert found["parents"][0]["pid"] == os.getpid()
