"""The checks of a launch: each of them broken, and each of them well."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from doctored import Machine

from guard.agents import running
from guard.policy.values import PolicyException
from guard.proxies import view
from guard.proxies.found import PROXY, Found, Process
from guard.sources.listener import Listener


def test_no_policy_file(machine: Machine) -> None:
    assert machine.one("policy").what == "no file: the built-in policy holds"


def test_the_layers_of_a_policy(machine: Machine) -> None:
    machine.policy('[keys]\nunknown = "ignore"\n')
    found = machine.one("policy")
    assert found.state == "ok"
    assert found.what == f"valid: user {machine.home}/.config/routeguard/policy.toml"


@pytest.mark.parametrize(
    ("text", "said"), [("[keys]\naction = 3\n", "keys.action"), ("[keys\n", "policy.toml")]
)
def test_a_policy_that_is_not_valid(machine: Machine, text: str, said: str) -> None:
    machine.policy(text)
    found = machine.one("policy")
    assert (found.state, found.rule) == ("broken", "RG501")
    assert said in found.what
    assert found.fix


def test_a_policy_that_others_can_write(machine: Machine) -> None:
    machine.policy("")
    (machine.home / ".config/routeguard/policy.toml").chmod(0o666)
    assert machine.one("policy").state == "broken"


def test_what_needs_a_policy_is_skipped_without_one(machine: Machine) -> None:
    machine.policy("[keys\n")
    for name in ("agents", "launch", "key", "proxies"):
        found = machine.one(name)
        assert (found.state, found.what) == ("skipped", "needs a valid policy")


def test_a_note_of_the_policy_is_told(machine: Machine) -> None:
    (machine.project / ".git").mkdir()
    project = machine.project / ".routeguard.toml"
    project.write_text('[gateway]\nbase_url = "https://elsewhere.invalid/v1"\n')
    states = {one.state for one in machine.check("policy")}
    assert states == {"warning", "ok"} or states == {"broken"}


def test_a_directory_that_the_project_chose(machine: Machine) -> None:
    (machine.project / ".git").mkdir()
    machine.environ["XDG_STATE_HOME"] = str(machine.project / "state")
    wrong, well = machine.check("policy")
    assert (wrong.state, wrong.rule, well.state) == ("warning", "RG504", "ok")


def test_an_agent_of_the_tested_release(machine: Machine) -> None:
    found = machine.one("agents")
    assert found.state == "ok"
    assert f"opencode 1.18.33, {machine.bin}/opencode" in found.what


def test_no_agent(machine: Machine) -> None:
    machine.environ["PATH"] = "/usr/bin:/bin"
    found = machine.one("agents")
    assert found.state == "skipped"
    assert "npm install -g opencode-ai" in found.what
    assert machine.check("launch") == []


@pytest.mark.parametrize(("version", "state"), [("1.2.0", "broken"), ("1.19.0", "warning")])
def test_an_agent_outside_of_the_tested_range(machine: Machine, version: str, state: str) -> None:
    machine.environ["PATH"] = f"{machine.install('other', version)}:/usr/bin:/bin"
    found = machine.check("agents")
    assert (found[0].state, found[0].rule) == (state, "RG204")
    assert found[0].what.startswith("opencode: ")
    assert found[0].fix


def test_other_copies_on_path(machine: Machine) -> None:
    other = machine.install(".nvm/versions/node/v20.0.0", "1.2.0")
    machine.environ["PATH"] = f"{machine.environ['PATH']}:{other}:{machine.bin}"
    well, also = machine.check("agents")
    assert (well.state, also.state) == ("ok", "warning")
    assert also.what == f"other copies of opencode on PATH: {other}/opencode"


def test_a_launch_that_goes_to_the_gateway(machine: Machine) -> None:
    found = machine.one("launch")
    assert found.state == "ok"
    assert found.what.endswith("goes to portkey/gpt-4o; it removes OPENAI_API_KEY")


def test_a_launch_that_this_directory_refuses(machine: Machine) -> None:
    plugin = machine.project / ".opencode/plugin/x.ts"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("export default async () => ({})\n")
    found = machine.one("launch")
    assert (found.state, found.rule) == ("broken", "RG301")
    assert found.what.startswith("opencode: ")
    assert "routeguard allow file" in found.fix


def test_an_administrators_file_that_leaves_the_route(machine: Machine) -> None:
    machine.managed.mkdir(parents=True)
    path = machine.managed / "opencode.json"
    path.write_text('{"share": "disabled"}')
    found = machine.one("agent-files")
    assert (found.state, found.what) == (
        "ok", f"opencode: the administrator's {path} leaves the route as it is"
    )  # fmt: skip


def test_an_administrators_file_that_moves_the_route(machine: Machine) -> None:
    machine.managed.mkdir(parents=True)
    (machine.managed / "opencode.json").write_text('{"model": "openai/gpt-4o"}')
    found = machine.one("agent-files")
    assert (found.state, found.rule) == ("broken", "RG302")
    assert "administrator" in found.what


def test_a_file_of_the_agent_that_cannot_be_read(machine: Machine) -> None:
    machine.write(".config/opencode/opencode.json", "{")
    assert machine.one("agent-files").state == "broken"


def test_no_stored_login(machine: Machine) -> None:
    assert machine.one("logins").what == "opencode: none stored"


def test_a_stored_login(machine: Machine) -> None:
    store = {"openai": {"type": "api", "key": "sk-canary-0123456789abcdefghij"}}
    machine.write(".local/share/opencode/auth.json", json.dumps(store), 0o600)
    found = machine.one("logins")
    assert (found.state, found.rule) == ("warning", "RG304")
    assert found.what.startswith("openai: stored, and not used under the guard")
    assert "opencode auth logout" in found.fix


def test_a_login_that_fetches_configuration(machine: Machine) -> None:
    store = {"https://config.invalid": {"type": "wellknown", "key": "K", "token": "t"}}
    machine.write(".local/share/opencode/auth.json", json.dumps(store), 0o600)
    found = machine.one("logins")
    assert (found.state, found.rule) == ("broken", "RG305")


def listening(monkeypatch: pytest.MonkeyPatch, *found: Found) -> None:
    monkeypatch.setattr(view, "_listeners", lambda: ([], ""))
    monkeypatch.setattr(view, "find_listeners", lambda *_, **__: list(found))


LITELLM = Found(
    4000, (Listener("127.0.0.1", 4000),), verdict=PROXY, proxy="litellm", name="LiteLLM",
    process=Process(77, program="litellm"),
)  # fmt: skip


def test_no_local_proxy(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    listening(monkeypatch)
    assert machine.one("proxies").what == "none listens that the policy forbids"


@pytest.mark.parametrize(("action", "state"), [("refuse", "broken"), ("flag", "warning")])
def test_a_local_proxy(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, action: str, state: str
) -> None:
    listening(monkeypatch, LITELLM)
    machine.policy(f'[proxies]\naction = "{action}"\n')
    found = machine.one("proxies")
    assert (found.state, found.rule) == (state, "RG402")
    assert "routeguard ports stop 4000" in found.fix


def test_a_local_proxy_that_is_allowed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    listening(monkeypatch, LITELLM)
    context = machine.context()
    allowed = PolicyException(subject="port:4000", until=time.time() + 60)
    context.policy.exceptions = (allowed,)
    from guard.doctor.launch import proxies

    (found,) = proxies(context)
    assert found.state == "ok"
    assert "port 4000" in found.what


@pytest.fixture
def unguarded(tmp_path: Path) -> Iterator[int]:
    """The process id of a program named opencode that somebody started without us."""
    program = tmp_path / "opencode"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    with subprocess.Popen([program, "60"], env={"PATH": os.defpath}) as process:
        yield process.pid
        process.kill()


def test_no_running_agent(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.Table, "pids", lambda _: [os.getpid()])
    assert machine.one("running").what == "none is running"


def test_no_process_table(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.Table, "pids", lambda _: [])
    assert machine.one("running").state == "broken"


def test_a_running_agent_that_is_not_guarded(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, unguarded: int
) -> None:
    monkeypatch.setattr(running.Table, "pids", lambda _: [os.getpid(), unguarded])
    found = machine.one("running")
    assert (found.state, found.rule) == ("warning", "RG405")
    assert f"pid {unguarded}" in found.what
