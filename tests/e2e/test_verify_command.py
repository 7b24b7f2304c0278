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

# beside opencode lies what npm made of Claude Code, which is no program without its install script
VERIFY = [sys.executable, "-m", "guard", "verify", "--agent", "opencode"]


def kept_directories(user: Sandbox) -> list[Path]:
    return sorted(user.tmp.glob("routeguard-verify-*"))


def test_it_proves_the_route_and_leaves_nothing(user: Sandbox) -> None:
    # with a company's CA and proxy, for which the recorder stands in
    ca = user.write(user.home / "ca.pem", Path(certifi.where()).read_text())
    user.write_policy(way=f'ca = "{ca}"\nproxy = "http://proxy.invalid:8080"')
    done = user.run([*VERIFY, "--json"], user.environ())
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_agent_too_and_leaves_nothing(user: Sandbox, number: int) -> None:
    process = subprocess.Popen(
        VERIFY,
        env=user.environ(),
        cwd=user.project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        # whoever runs the tests in the background may ignore SIGINT, and that is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    agent = await_agent(process.pid)
    os.kill(process.pid, number)
    process.communicate(timeout=180)
    assert process.returncode == 128 + number
    assert not agent.is_running() or agent.status() == psutil.STATUS_ZOMBIE
    assert kept_directories(user) == []


def await_agent(pid: int) -> psutil.Process:
    """The agent's process below `pid` that runs a prompt, once it is there."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        for process in psutil.Process(pid).children(recursive=True):
            try:
                if "run" in process.cmdline():
                    return process
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.05)
    raise AssertionError("the agent was not started")
