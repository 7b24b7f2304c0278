"""What routeguard says of the real Codex: the proof, the plan, the running one."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from company import Authority, Tunnel, over_tls
from harness.codex import CodexUser
from harness.portkey import ANSWER, STALL
from harness.sandbox import environ_of
from harness.tools import tool_call
from harness.waiting import await_true

from guard.agents.codex.adapter import AGENT
from guard.agents.codex.facts import native
from guard.agents.guarded import GUARDED, UNGUARDED
from guard.agents.running import Running, find_running
from guard.launch.loopback_gateway import LoopbackGateway
from guard.launch.verify import guarded_launch
from guard.policy import cache
from guard.sources import processes

pytestmark = pytest.mark.e2e


def test_verify_proves_the_route(codex_user: CodexUser) -> None:
    user = codex_user
    verify = [sys.executable, "-m", "guard", "verify", "--agent", "codex", "--json"]
    done = user.run(verify, user.environ())
    assert done.status == 0, done
    proof = json.loads(done.out)
    assert proof["passed"] is True
    assert proof["agent"] | {"path": ""} == {"id": "codex", "path": "", "version": AGENT.tested}
    seen = {contact["host"]: contact["keys_seen"] for contact in proof["control"]["contacts"]}
    assert seen["api.openai.invalid:80"] == ["OPENAI_API_KEY"]
    assert proof["guarded"]["contacts"] == []
    assert (done.calls, done.asked, user.leaks()) == ([], [], [])


def running(user: CodexUser) -> list[Running]:
    """The agents that run with the home of `user`."""
    policy = cache.load(str(user.project), user.environ())
    pids = [pid for pid in processes.pids() if environ_of(pid).get("HOME") == str(user.home)]
    return find_running(policy, time.time(), pids=pids, connections=False)


def test_a_running_one_is_known(codex_user: CodexUser) -> None:
    """Guarded, and not the sandbox around its command; and a bare one in its environment."""
    user = codex_user
    # else 0.171.0 has an empty /tmp/.git while it runs, for what other tests do there a repository
    user.settings("[sandbox_workspace_write]\nexclude_slash_tmp = true\n")
    # the model is told at once that it runs, and does not answer
    command = tool_call("exec_command", cmd="touch started; sleep 600", yield_time_ms=250)
    user.network.upstream.asks_for = [command]
    process = start([*guarded_launch("codex"), "exec", "-s", "workspace-write", STALL], user)
    try:
        await_true((user.project / "started").exists)
        environ = environ_of(process.pid)
        found = running(user)
        assert [(one.pid, one.agent, one.state) for one in found] == [
            (process.pid, "codex", GUARDED)
        ]
    finally:
        process.kill()
        process.wait()
    nested = start([native(str(user.program)), "exec", "hi"], user, environ)
    try:
        (one,) = await_true(lambda: running(user))
        assert (one.pid, one.state) == (nested.pid, UNGUARDED)
        assert "its arguments do not pin it" in one.how
    finally:
        nested.kill()
        nested.wait()


def start(
    argv: list[str], user: CodexUser, environ: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `argv` in the project of `user`, with nothing to read and nothing to see."""
    return subprocess.Popen(
        argv,
        env=environ or user.environ(),
        cwd=user.project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_the_certificates_and_the_proxy_of_a_company(codex_user: CodexUser) -> None:
    user, host = codex_user, "gateway.company.example"
    authority = Authority(user.root)
    gateway = LoopbackGateway(user.gateway_key, ANSWER)
    over_tls(gateway, authority.leaf(host))
    with gateway, Tunnel(gateway.port) as tunnel:
        way = f'proxy = "{tunnel.url}"\nca = "{authority.ca}"'
        user.write_policy(front=f"https://{host}", way=way)
        done = user.guarded("exec", "hi", env={"SSL_CERT_FILE": "/none"})
        assert (done.status, done.out.strip(), done.asked) == (0, ANSWER, []), done
        assert {one.path for one in gateway.requests} == {"/v1/responses"}
        assert {head.split()[1] for head in tunnel.heads} == {f"{host}:443".encode()}
