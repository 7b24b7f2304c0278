"""`routeguard verify` on the real agent: proves, cleans up, and ends cleanly when told to."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import certifi
import psutil
import pytest
from harness.sandbox import Sandbox
from harness.waiting import PATIENCE, await_true

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
    agent = await_true(lambda: agent_below(process.pid, command))
    os.kill(process.pid, number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    with contextlib.suppress(psutil.NoSuchProcess):
        assert agent.status() == psutil.STATUS_ZOMBIE
    assert kept_directories(user) == []


def agent_below(pid: int, command: str) -> psutil.Process | None:
    """The agent's process below `pid` whose `command` runs a prompt, if it is there."""
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if command in process.cmdline():
                return process
    return None
