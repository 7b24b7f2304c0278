"""`routeguard verify` on the real agent: proves, cleans up, and ends cleanly when told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import certifi
import psutil
import pytest
from harness.sandbox import Sandbox

from guard.agents.opencode.adapter import AGENT

pytestmark = pytest.mark.e2e

VERIFY = [sys.executable, "-m", "guard", "verify", "--agent"]


def kept_directories(user: Sandbox) -> list[Path]:
    return sorted(user.tmp.glob("routeguard-verify-*"))


def test_it_proves_the_route_and_leaves_nothing(user: Sandbox) -> None:
    # with a company's CA and proxy, for which the recorder stands in
    ca = user.write(user.home / "ca.pem", Path(certifi.where()).read_text())
    user.write_policy(way=f'ca = "{ca}"\nproxy = "http://proxy.invalid:8080"')
    done = user.run([*VERIFY, "opencode", "--json"], user.environ())
    assert done.status == 0, done
    proof = json.loads(done.out)
    assert proof["passed"] is True
    assert proof["agent"]["version"] == AGENT.tested
    assert all(check["ok"] for check in proof["checks"])
    assert len(proof["checks"]) == 5
    seen = {contact["host"]: contact["keys_seen"] for contact in proof["control"]["contacts"]}
    assert seen["hostile.invalid:80"] == ["OPENAI_API_KEY"]
    assert proof["guarded"]["contacts"] == []
    assert proof["guarded"]["gateway_calls"] >= 1
    # neither the user's own keys nor the user's own proxy had any part in it
    assert (done.calls, done.asked, user.leaks()) == ([], [], [])
    assert kept_directories(user) == []


@pytest.mark.parametrize(
    ("fixture", "command", "number"),
    [("user", "run", signal.SIGINT), ("codex_user", "exec", signal.SIGTERM)],
)
def test_a_signal_ends_the_agent_too_and_leaves_nothing(
    request: pytest.FixtureRequest, fixture: str, command: str, number: int
) -> None:
    user: Sandbox = request.getfixturevalue(fixture)
    process = subprocess.Popen(
        [*VERIFY, user.agent],
        env=user.environ(),
        cwd=user.project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        # whoever runs the tests in the background may ignore SIGINT, and that is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    agent = await_agent(process.pid, command)
    os.kill(process.pid, number)
    process.communicate(timeout=180)
    assert process.returncode == 128 + number
    assert not agent.is_running() or agent.status() == psutil.STATUS_ZOMBIE
    assert kept_directories(user) == []


def await_agent(pid: int, command: str) -> psutil.Process:
    """The agent's process below `pid` whose `command` runs a prompt, once it is there."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        for process in psutil.Process(pid).children(recursive=True):
            try:
                if command in process.cmdline():
                    return process
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.05)
    raise AssertionError("the agent was not started")
