"""A real process of the stand-in: refused, proved, started; and the service that runs beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_opencode2 import Build, install
from forked import run

from guard.agents import proved
from guard.launch.loopback_gateway import LoopbackGateway
from guard.launch.proof.canary import plant
from guard.launch.recorder import RecordingProxy
from guard.policy import cache

POLICY = """
[gateway]
base_url = "{url}/v1"
key = {{ env = "PORTKEY_API_KEY" }}
default = "portkey/gpt-4o"
small = "portkey/gpt-4o-mini"

[gateway.providers.portkey]
models = ["gpt-4o", "gpt-4o-mini"]

[proxies]
action = "flag"
"""


class Machine:
    def __init__(self, root: Path, gateway: LoopbackGateway, proxy: RecordingProxy) -> None:
        self.root, self.gateway, self.proxy = root, gateway, proxy
        self.home, self.project = root / "home", root / "home" / "project"
        self.program = install(root / "bin" / "opencode")
        (self.project / ".git").mkdir(parents=True)
        policy = self.home / ".config" / "routeguard" / "policy.toml"
        policy.parent.mkdir(parents=True)
        policy.write_text(POLICY.format(url=gateway.url))
        policy.chmod(0o600)
        self.environ = {
            "HOME": str(self.home),
            "PATH": f"{self.program.parent}:{os.defpath}",
            "PORTKEY_API_KEY": gateway.key,
            **plant(),
        }

    def routeguard(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run(words, env=self.environ, cwd=self.project)

    def prove(self) -> subprocess.CompletedProcess[str]:
        return self.routeguard("verify", "--agent", "opencode")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    key = plant(("PORTKEY_API_KEY",))["PORTKEY_API_KEY"]
    with LoopbackGateway(key, "the-answer") as gateway, RecordingProxy() as proxy:
        yield Machine(tmp_path, gateway, proxy)


def test_it_starts_only_once_its_route_is_proved(machine: Machine) -> None:
    first = machine.routeguard("exec", "--", "opencode", "run", "hi")
    assert (first.returncode, first.stdout.strip()) == (0, "the-answer"), first.stderr
    assert "opencode 2.2.7 was never tried with routeguard" in first.stderr
    assert "proved in" in first.stderr
    done = machine.routeguard("exec", "--", "opencode", "run", "hi")
    assert (done.returncode, done.stdout.strip()) == (0, "the-answer"), done.stderr
    assert "proved in" not in done.stderr
    assert {r.model for r in machine.gateway.requests} == {"gpt-4o", "gpt-4o-mini"}
    # what calls no model needs no proof, and an upgrade needs a new one
    install(machine.program, Build("2.2.8"))
    version = machine.routeguard("exec", "--", "opencode", "--version")
    assert (version.stdout, "prove" in version.stderr) == ("opencode2 v2.2.8\n", False)
    assert "proved in" in machine.routeguard("exec", "--", "opencode", "run", "hi").stderr


def test_a_binary_that_ignores_the_pin_does_not_start(machine: Machine) -> None:
    real = machine.program.rename(machine.program.with_name("real"))
    machine.program.write_text(
        f'#!/bin/sh\nunset XDG_CONFIG_HOME OPENCODE_CONFIG_CONTENT\nexec {real} "$@"\n'
    )
    machine.program.chmod(0o755)
    refused = machine.routeguard("exec", "--", "opencode", "run", "hi")
    assert refused.returncode == 126
    assert "did not prove its route" in refused.stderr
    assert "[RG204]" in refused.stderr
    assert machine.gateway.requests == []
    assert machine.prove().returncode == 1


def test_a_binary_of_its_other_name_alone(machine: Machine) -> None:
    machine.program.rename(machine.program.with_name("opencode2"))
    done = machine.routeguard("exec", "--", "opencode2", "run", "hi")
    assert (done.returncode, done.stdout.strip()) == (0, "the-answer"), done.stderr
    assert "proved in" in done.stderr


def test_a_service_that_runs_is_not_used_and_not_touched(machine: Machine) -> None:
    """It has the environment of whoever started it; `agents` names it and how to end it."""
    policy = cache.load(str(machine.project), machine.environ)
    line = proved.line_of(str(machine.program), (2, 2, 7), policy)
    proved.remember(line, machine.environ)
    state = machine.home / ".local" / "state" / "opencode" / "service.json"
    started = subprocess.run(
        [machine.program, "service", "start"],
        env={**machine.environ, "HTTPS_PROXY": machine.proxy.url, "HTTP_PROXY": ""},
        cwd=machine.project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert started.stdout == "started\n"
    pid = json.loads(state.read_text())["pid"]
    try:
        before = state.read_bytes()
        done = machine.routeguard("exec", "--", "opencode", "run", "hi")
        assert done.stdout.strip() == "the-answer", done.stderr
        assert f"background server (process {pid}) is not used" in done.stderr
        assert state.read_bytes() == before
        os.kill(pid, 0)

        shown = json.loads(
            machine.routeguard("explain", "--json", "--", "opencode", "run", "hi").stdout
        )
        assert f"background server (process {pid})" in shown["today"]["route"]
        assert "this launch has its own" in shown["rewritten"]

        listed = json.loads(machine.routeguard("agents", "--json").stdout)
        (one,) = [each for each in listed["agents"] if each["pid"] == pid]
        assert one["state"] == "unguarded"
        assert "OPENAI_API_KEY" in json.dumps(one["keys"])
        text = machine.routeguard("agents").stdout
        assert "opencode service stop" in text
    finally:
        os.kill(pid, signal.SIGKILL)
