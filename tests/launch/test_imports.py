"""What a guarded launch of each agent loads: nothing that takes longer than what it is for."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guard.agents.registry import agent_by_id

MAIN = Path(__file__).resolve().parents[2] / "guard" / "__main__.py"

POLICY = """
[agents.codex]
provider = "@test"
model = "gpt-4o"

[agents.claude-code]
provider = "@test"
model = "claude-test"
"""

HEAVY = {
    *("asyncio", "click", "contextlib", "dataclasses", "datetime", "enum", "hashlib", "inspect"),
    *("ipaddress", "json", "pathlib", "psutil", "pydantic", "re", "socket", "sqlite3"),
    *("subprocess", "tempfile", "tomllib", "typing", "urllib", "zoneinfo"),
}


def put_files_of_agents(home: Path) -> None:
    """What the agents keep of one who works with them: settings, logins, a database."""
    for name, content in {
        ".claude.json": {"projects": {str(home): {"mcpServers": {}, "history": []}}},
        ".claude/settings.json": {"permissions": {"allow": ["Bash(ls:*)"]}},
        ".config/opencode/opencode.json": {"theme": "system", "agent": {"x": {"prompt": "é"}}},
        ".local/share/opencode/auth.json": {"portkey": {"type": "api", "key": "x"}},
    }.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    with sqlite3.connect(home / ".local/share/opencode/opencode.db") as database:
        database.execute("create table session (id text, project_id text, directory text)")
        database.execute("create table account_state (active_org_id text)")
    database.close()


@pytest.mark.parametrize("identity", ["opencode", "claude-code", "codex"])
def test_a_guarded_launch_loads_nothing_heavy(
    identity: str, machine: Any, private_network: Any
) -> None:
    agent = agent_by_id(identity)
    assert agent is not None
    package = {"name": agent.packages[0], "version": agent.tested}
    (machine.agent.parents[1] / "package.json").write_text(json.dumps(package))
    name = agent.names[0]
    if not (machine.bin / name).exists():
        (machine.bin / name).symlink_to(machine.agent)
    put_files_of_agents(machine.home)
    machine.policy(POLICY)
    words = [sys.executable, "-I", "-S", "-X", "importtime", str(MAIN), "exec", "--", name]
    words += agent.one_call("hi", "")
    kept = machine.home / ".cache/routeguard/policy"
    # the policy is kept a moment after its file was written
    for count in range(1, 50):
        done = subprocess.run(
            private_network.command(words),
            env=machine.environ, cwd=machine.project, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert machine.started == count, done.stderr
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        if "guard.policy.compile" not in imported:
            break
    assert list(kept.iterdir())
    assert "guard.launch.agent" in imported
    assert sorted({one.partition(".")[0] for one in imported} & HEAVY) == []
