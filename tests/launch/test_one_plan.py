"""One plan, one answer: what `exec` does, `explain` shows and `check --env` judges is the same."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guard.agents.registry import default_agent
from guard.launch import agent, fence
from guard.policy.values import CompiledPolicy

Situation = Callable[[Any], dict[str, "str | None"]]
"""Puts a machine into a state; returns what differs in the environment (None: taken away)."""


def environment(**more: str | None) -> Situation:
    return lambda machine: more


def file(name: str, text: str, **more: str | None) -> Situation:
    def write(machine: Any) -> dict[str, str | None]:
        path = machine.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return {k: v and v.replace("{root}", str(machine.root)) for k, v in more.items()}

    return write


def packaged(version: str) -> Situation:
    def install(machine: Any) -> dict[str, str | None]:
        machine.install(version)
        return {}

    return install


def asked(answer: str) -> Situation:
    """A binary without a package, as a download is: only it can say what version it is."""

    def install(machine: Any) -> dict[str, str | None]:
        machine.says_its_version()
        first = machine.agent.read_text().partition("\n")[0]
        program = machine.root / "download" / "opencode"
        # what is asked below a launch is the one that it starts
        asks = "sys.argv[1:] == ['--version'] and 'ROUTEGUARD_LAUNCH' not in os.environ"
        start = f"os.execv({str(machine.agent)!r}, ['opencode', *sys.argv[1:]])"
        machine.script(program, f"{first}\nimport os, sys\nif {asks}:\n    {answer}\n{start}\n")
        return {"PATH": f"{program.parent}:/usr/bin:/bin"}

    return install


PROXY = {"HTTPS_PROXY": "http://127.1:8888"}
SITUATIONS: dict[str, tuple[Situation, str]] = {
    "nothing in the way": (environment(), ""),
    "direct keys, which are removed": (environment(GROQ_API_KEY="x", OPENAI_API_KEY="y"), ""),
    "an older version": (packaged("1.17.0"), "RG204"),
    "version 2": (packaged("2.0.0"), "RG204"),
    "a download": (asked("sys.exit(print('1.18.33'))"), ""),
    "an old download": (asked("sys.exit(print('opencode 1.2.3'))"), "RG204"),
    "a download of version 2": (asked("sys.exit(print('opencode v2.0.1'))"), "RG204"),
    "a download that does not say": (asked("sys.exit(3)"), "RG204"),
    "no key": (environment(PORTKEY_API_KEY=None), "RG106"),
    "an empty key": (environment(PORTKEY_API_KEY=" "), "RG106"),
    "another vendor's key": (environment(PORTKEY_API_KEY="sk-ant-abc"), "RG106"),
    "a key with a quote": (environment(PORTKEY_API_KEY='a"b'), "RG106"),
    "an HTTP proxy here": (environment(**PROXY), "RG104"),
    "two HTTP proxies": (environment(**PROXY, http_proxy="http://[::1]:1"), "RG104"),
    "a plugin": (file("project/.opencode/plugin/a.js", ""), "RG301"),
    "a config that is none": (file("project/opencode.json", '{"a": foo}'), "RG303"),
    "a config with a foreign provider": (
        file("project/opencode.json", '{"model": "anthropic/x", "enabled_providers": ["openai"]}'),
        "",
    ),
    "an inline config that is none": (environment(OPENCODE_CONFIG_CONTENT="{"), "RG303"),
    "a login that fetches a config": (
        file(
            "home/.local/share/opencode/auth.json",
            '{"https://evil.example": {"type": "wellknown", "key": "K", "token": "t"}}',
        ),
        "RG305",
    ),
    "a directory that the project chose": (
        file("project/.git/HEAD", "", XDG_STATE_HOME="{root}/project/state"),
        "RG504",
    ),
    "several reasons": (
        file("project/.opencode/plugin/a.js", "", PORTKEY_API_KEY=None, **PROXY),
        "RG104 RG106 RG301",
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_three_commands_say_the_same(machine: Any, name: str) -> None:
    situation, rules = SITUATIONS[name]
    changed = situation(machine)
    expected = set(rules.split())
    others = set()
    if "RG104" in expected:
        others = {"RG402"}  # what else listens on the machine of the tests
    else:
        machine.policy('[proxies]\naction = "flag"\n')
    for decide in (explained, checked, executed):
        starts, found = decide(machine, changed)
        assert (starts, found - others) == (not expected, expected), decide.__name__


def executed(machine: Any, changed: dict[str, str | None]) -> tuple[bool, set[str]]:
    before = machine.started
    done = machine.exec("opencode", **changed)
    started = machine.started > before
    assert done.status == (0 if started else 126)
    rules = set() if started else set(re.findall(r"\[(RG\d+)\]", done.err))
    return started, rules


def explained(machine: Any, changed: dict[str, str | None]) -> tuple[bool, set[str]]:
    words = ("explain", "--format", "json", "--")
    done = machine.exec("opencode", command=words, **changed)
    found = json.loads(done.out)
    assert done.status == (0 if found["starts"] else 1)
    return found["starts"], {f["rule"] for f in found["findings"] if f["severity"] == "error"}


def checked(machine: Any, changed: dict[str, str | None]) -> tuple[bool, set[str]]:
    words = ("check", "--env", "--no-ci", "--format", "json")
    done = machine.exec(command=words, **changed)
    errors = [f for f in json.loads(done.out)["findings"] if f["severity"] == "error"]
    # a variable that the launch removes is a finding of the environment, and refuses nothing
    removed = {"RG101", "RG103", "RG105", "RG108"}
    rules = {f["rule"] for f in errors if f["rule"] not in removed}
    return not rules, rules


def test_an_agent_that_is_not_there(machine: Any) -> None:
    (machine.bin / "opencode").unlink()
    machine.policy('[proxies]\naction = "flag"\n')
    # what a repository calls by this name is not asked for anything
    trap = machine.script(machine.project / "opencode", f"#!/bin/sh\ntouch '{machine.root}/trap'\n")
    assert trap.exists()
    for command in (("exec", "--"), ("explain", "--")):
        done = machine.exec("opencode", command=command, PATH="/nonexistent")
        assert (done.status, "[RG502]" in done.err) == (127, True)
    done = machine.exec(
        command=("check", "--env", "--no-ci"), PATH="/nonexistent", OPENAI_API_KEY=None
    )
    assert done.status == 0
    assert "opencode is not installed here: its version was not checked" in done.out
    assert not (machine.root / "trap").exists()


def test_what_asks_for_nothing_is_not_asked_for_its_version(machine: Any) -> None:
    changed = asked(f"open({str(machine.root / 'asked')!r}, 'a').write('x'); sys.exit()")(machine)
    machine.exec("opencode", "--help", command=("explain", "--"), **changed)
    machine.exec("opencode", "--help", **changed)
    assert not (machine.root / "asked").exists()


def test_a_fence_that_cannot_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "unavailable", lambda: "the kernel is too old")
    monkeypatch.setattr("guard.proxies.glance.glance", lambda *_, **__: [])
    for wanted, rules in (("require", ["RG404"]), ("try", []), ("off", [])):
        here = str(tmp_path)
        own = {"HOME": here, "PORTKEY_API_KEY": "pk-abc"}
        policy = CompiledPolicy(proxies_fence=wanted)
        plan, _ = agent.plan_launch(
            default_agent(), [], own, [], "", policy, here, time.time(), write=False
        )
        errors = [f.rule for f in plan.forbidden_by if f.rule != "RG204"]
        assert errors == rules


LISTENS = """
import socket, subprocess, sys
with socket.create_server(("127.0.0.1", 11434)):
    sys.exit(subprocess.call(sys.argv[1:]))
"""


def test_a_proxy_that_listens(machine: Any, private_network: Any) -> None:
    """In a network of its own: every other launch on this machine would be refused, too."""
    machine.within = private_network.command([sys.executable, "-c", LISTENS])
    assert "RG402" in explained(machine, {})[1]
    assert explained(machine, {}) == checked(machine, {}) == executed(machine, {})
