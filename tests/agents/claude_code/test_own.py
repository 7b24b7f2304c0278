"""The user's own MCP servers and hooks in a launch of Claude Code: what the policy names alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from guard.agents.claude_code import own
from guard.agents.claude_code.adapter import AGENT
from guard.agents.plan import Plan
from guard.policy.values import AgentRoute

from .test_planner import Machine, rules

COMMAND = {"command": "docs-server", "args": ["--stdio"], "env": {"TOKEN": "secret"}}
WEB = {"type": "http", "url": "https://mcp.example/x", "headers": {"Authorization": "secret"}}


@pytest.fixture
def machine(tmp_path: Path, variables: dict[str, tuple[str, str]]) -> Machine:
    machine = Machine(tmp_path, variables)
    servers = {"docs": COMMAND, "web": WEB, "more": {"command": "more"}}
    write(machine.home / ".claude.json", {"mcpServers": servers})
    hook = {"matcher": "Bash", "hooks": [{"type": "command", "command": "mine"}]}
    content = {"hooks": {"PreToolUse": [hook], "Stop": [hook]}}
    write(machine.home / ".claude" / "settings.json", content)
    return machine


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def wants(machine: Machine, **keys: tuple[str, ...]) -> None:
    machine.policy.routes = (AgentRoute(agent="claude-code", provider="anth", **keys),)


def said(plan: Plan, option: str) -> Any:
    (word,) = [word for word in plan.argv if word.startswith(f"{option}=")]
    return json.loads(word.partition("=")[2])


def prepared(machine: Machine, *typed: str) -> list[str]:
    plan = machine.plan(*typed)
    AGENT.prepare(plan, machine.policy, machine.survey(*typed), str)
    return plan.argv


def handed_over(argv: list[str]) -> Any:
    (word,) = [word for word in argv if word.startswith("--mcp-config=")]
    number = int(word.rpartition("/")[2])
    try:
        assert os.get_inheritable(number)
        return json.loads(os.read(number, 1 << 20))["mcpServers"]
    finally:
        os.close(number)


def test_nothing_is_handed_over_by_default(machine: Machine) -> None:
    plan = machine.plan("-p", "hi")
    assert [word.partition("=")[0] for word in plan.argv[:2]] == [
        "--settings",
        "--managed-settings",
    ]
    limits = said(plan, "--managed-settings")
    assert limits["allowedMcpServers"] == []
    assert limits["disableAllHooks"] is limits["disableSideloadFlags"] is True
    assert said(plan, "--settings")["disableAllHooks"] is True
    notes = {f.subject: f for f in plan.findings}
    assert {f.severity for f in notes.values()} == {"note"}
    assert "docs, more, web" in notes["mcp"].message
    assert notes["mcp"].fix.endswith('[agents.claude-code]\nmcp = ["docs", "more", "web"]')
    assert notes["hooks"].fix.endswith('hooks = ["PreToolUse", "Stop"]')


def test_the_servers_that_the_policy_names(machine: Machine) -> None:
    wants(machine, mcp=("docs", "web", "absent"))
    plan = machine.plan("hi")
    # the option takes every word up to the next one that begins with a dash
    assert plan.argv[:2] == [own.SERVERS, "--strict-mcp-config"]
    limits = said(plan, "--managed-settings")
    assert limits["allowManagedMcpServersOnly"] is True
    assert limits["allowedMcpServers"] == [
        {"serverCommand": ["docs-server", "--stdio"]},
        {"serverUrl": "https://mcp.example/x"},
    ]
    assert limits["disableAllHooks"] is True
    assert "secret" not in " ".join(plan.argv)
    assert handed_over(prepared(machine, "hi")) == {"docs": COMMAND, "web": WEB}
    left = list((machine.home / ".local/state/routeguard/claude-code").iterdir())
    assert left == []


def test_the_servers_of_this_project_in_the_users_own_file(machine: Machine) -> None:
    """Kept there under the root of the repository, that of the first checkout for a worktree."""
    path = machine.home / ".claude.json"
    content = json.loads(path.read_text())
    content["projects"] = {
        str(machine.project): {"mcpServers": {"docs": {"command": "here"}}},
        "/elsewhere": {"mcpServers": {"docs": {"command": "there"}, "x": {"command": "x"}}},
    }
    write(path, content)
    wants(machine, mcp=("docs", "x"))
    found = {"docs": {"command": "here"}}
    assert handed_over(prepared(machine, "-p", "hi")) == found
    git = ("git", "-C", str(machine.project), "-c", "user.name=x", "-c", "user.email=x@x")
    subprocess.run([*git[:3], "init", "-q"], check=True)
    below = machine.project / "a" / "b"
    below.mkdir(parents=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    tree = machine.root / "tree"
    subprocess.run([*git, "worktree", "add", "-q", str(tree)], check=True)
    for place in (below, tree):
        machine.project = place
        assert handed_over(prepared(machine, "-p", "hi")) == found


def test_a_projects_server_of_the_same_name_is_not_taken(machine: Machine) -> None:
    evil = {"mcpServers": {"docs": {"command": "evil"}, "theirs": {"command": "evil"}}}
    write(machine.project / ".mcp.json", evil)
    write(machine.project / ".claude" / "settings.json", evil)
    wants(machine, mcp=("docs", "theirs"))
    assert handed_over(prepared(machine, "-p", "hi")) == {"docs": COMMAND}


def test_the_hooks_that_the_policy_names(machine: Machine) -> None:
    path = machine.home / ".claude" / "settings.json"
    content = json.loads(path.read_text())
    other = {"type": "http", "url": "https://collector.example"}
    content["hooks"]["PreToolUse"][0]["hooks"].append(other)
    write(path, content)
    wants(machine, hooks=("PreToolUse", "SessionEnd"))
    write(machine.project / ".claude" / "settings.json", {"hooks": {"SessionEnd": [{}]}})
    plan = machine.plan("-p", "hi")
    limits, set_ = said(plan, "--managed-settings"), said(plan, "--settings")
    for key in ("disableAllHooks", "allowManagedHooksOnly", "disableSideloadFlags"):
        assert key not in limits
    assert limits["strictPluginOnlyCustomization"] == ["hooks", "mcp"]
    assert limits["strictKnownMarketplaces"] == limits["allowedMcpServers"] == []
    assert limits["disableCommandPluginSources"] is True
    assert set_["disableAllHooks"] is False
    assert set_["enabledPlugins"] == {"routeguard@inline": True}
    for key in ("statusLine", "subagentStatusLine", "fileSuggestion"):
        assert set_[key] == {"type": "command", "command": ""}
    assert any("only those that start a command" in f.message for f in plan.findings)
    (word,) = [word for word in prepared(machine, "-p", "hi") if word.startswith("--plugin-dir=")]
    folder = Path(word.partition("=")[2])
    held = json.loads((folder / "hooks" / "hooks.json").read_text())["hooks"]
    command = {"type": "command", "command": "mine"}
    assert held == {"PreToolUse": [{"matcher": "Bash", "hooks": [command]}]}
    assert folder.stat().st_mode & 0o077 == 0


def test_what_the_user_gives_as_settings_does_not_open_more(machine: Machine) -> None:
    wants(machine, hooks=("Stop",))
    given = {
        "disableAllHooks": True,
        "statusLine": {"type": "command", "command": "x"},
        "enabledPlugins": {"routeguard@inline": False, "a@b": True},
    }
    set_ = said(machine.plan("--settings", json.dumps(given), "-p", "hi"), "--settings")
    assert set_["disableAllHooks"] is False
    assert set_["statusLine"]["command"] == ""
    assert set_["enabledPlugins"]["routeguard@inline"] is True


@pytest.mark.parametrize("word", ["--bare", "--safe-mode", "--restricted", "--strict-mcp-config"])
def test_what_was_typed_takes_it_away_again(machine: Machine, word: str) -> None:
    wants(machine, mcp=("docs",), hooks=("Stop",))
    plan = machine.plan(word, "-p", "hi")
    assert own.SERVERS not in plan.argv
    hooks = any(word.startswith("--plugin-dir=") for word in plan.argv)
    assert hooks is (word == "--strict-mcp-config")


def test_beside_an_administrators_files(machine: Machine) -> None:
    wants(machine, mcp=("docs",), hooks=("Stop",))
    machine.managed('{"parentSettingsBehavior": "merge"}')
    plan = machine.plan("-p", "hi")
    assert own.SERVERS in plan.argv
    assert said(plan, "--managed-settings")["disableAllHooks"] is True
    assert [f.subject for f in plan.findings if "does not count" in f.message] == ["hooks"]
    # Claude Code would not start: `routeguard managed` writes this
    machine.managed('{"parentSettingsBehavior": "merge", "disableSideloadFlags": true}')
    assert own.SERVERS not in machine.plan("-p", "hi").argv
    machine.managed("{}")
    machine.managed("{}", "managed-mcp.json")
    plan = machine.plan("-p", "hi")
    assert own.SERVERS not in plan.argv
    assert [f.subject for f in plan.findings if "does not count" in f.message] == ["mcp", "hooks"]
    # beside an administrator's servers Claude Code does not start with it
    assert "--strict-mcp-config" not in plan.argv
    assert "--setting-sources=user" in plan.argv


@pytest.mark.parametrize(
    "text", ["{", '{"mcpServers": [', "[]", '{"mcpServers": 3, "projects": 4}']
)
def test_files_that_are_none_stop_nothing(machine: Machine, text: str) -> None:
    write(machine.home / ".claude.json", text)
    write(machine.home / ".claude" / "settings.json", text.replace("mcpServers", "hooks"))
    wants(machine, mcp=("docs",), hooks=("Stop",))
    plan = machine.plan("-p", "hi")
    assert plan.forbidden_by == []
    assert own.SERVERS not in plan.argv
    warned = [f.where for f in plan.findings if f.severity == "warning"]
    assert (str(machine.home / ".claude.json") in warned) is (text == '{"mcpServers": [')


def test_another_directory_of_settings(machine: Machine) -> None:
    other = machine.home / "other"
    write(other / ".claude.json", {"mcpServers": {"docs": {"command": "other"}}})
    machine.environ["CLAUDE_CONFIG_DIR"] = str(other)
    wants(machine, mcp=("docs",))
    assert handed_over(prepared(machine, "-p", "hi")) == {"docs": {"command": "other"}}
    # its former name wins where it is there
    write(other / ".config.json", {"mcpServers": {"docs": {"command": "former"}}})
    assert handed_over(prepared(machine, "-p", "hi")) == {"docs": {"command": "former"}}


def test_agents_on_the_command_line_are_refused(machine: Machine) -> None:
    """They can bring hooks and servers of their own, which nothing would close here."""
    assert rules(machine.plan("--agents", "{}", "-p", "hi")) == ["RG301"]
