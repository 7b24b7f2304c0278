"""A home, a repository and an installed opencode, for tests of what a launch becomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opencode_rules import evaluate

from guard.agents.opencode import frontmatter, permissions, planner
from guard.agents.opencode.adapter import AGENT
from guard.agents.opencode.facts import Facts
from guard.agents.plan import Plan
from guard.agents.registry import without_guard
from guard.launch.agent import refusal
from guard.policy.values import CompiledPolicy

NOW = 1_700_000_000.0
KEY = "pk-canary0123456789"
SECOND = "pk-canary9876543210"


class Launch:
    """One plan with the agents it gives to opencode, from the config and from Markdown files."""

    def __init__(self, plan: Plan, facts: Facts) -> None:
        self.plan = plan
        self.refused = [(f.rule, f.subject) for f in plan.forbidden_by]
        self.notes = [f"{f.subject}: {f.message}" for f in plan.findings if f.severity != "error"]
        self.config: dict[str, Any] = json.loads(plan.environ.get("OPENCODE_CONFIG_CONTENT", "{}"))
        self.agents: dict[str, dict[str, Any]] = dict(self.config.get("agent", {}))
        self.commands: dict[str, dict[str, Any]] = dict(self.config.get("command", {}))
        self.texts = facts.outcome.texts if facts.outcome else {}
        for path, text in self.texts.items():
            if text is not None:
                fields, body = frontmatter.read(text)
                of_command = "/command" in path
                name = fields.pop("name")
                table = self.commands if of_command else self.agents
                assert name not in table
                table[name] = {**fields, ("template" if of_command else "prompt"): body}

    def action(self, agent: str, tool: str, call: str = "x") -> str:
        """What opencode decides for a `call` of `tool` by `agent`, as its source has it."""
        entry = self.agents.get(agent, {})
        return evaluate(
            tool,
            call,
            [
                *permissions.DEFAULTS,
                *permissions.BUILT_IN.get(agent, []),
                *permissions.rules(self.config.get("permission", {})),
                *permissions.rules(entry.get("permission", {})),
            ],
        )


class Machine:
    """A home, a repository and an installed opencode; `plan` plans `opencode ARGV` there."""

    def __init__(self, root: Path, policy: CompiledPolicy) -> None:
        self.policy = policy
        self.home = root / "home"
        self.project = root / "project"
        self.program = root / "opencode-ai" / "bin" / "opencode.exe"
        for folder in (self.home, self.project / ".git", self.program.parent):
            folder.mkdir(parents=True)
        self.program.write_bytes(b"\x7fELF")
        self.version("1.18.33")
        self.environ = {
            "HOME": str(self.home),
            "PATH": "/usr/bin:/bin",
            "PWD": str(self.project),
            "PORTKEY_API_KEY": KEY,
            "OPENROUTER_GATEWAY_KEY": SECOND,
        }

    evaluate = staticmethod(evaluate)

    def version(self, version: str) -> None:
        package = self.program.parent.parent / "package.json"
        package.write_text(json.dumps({"name": "opencode-ai", "version": version}))

    def put(self, path: str, content: object) -> str:
        target = self.project.parent / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(target)

    def look(self, *argv: str) -> Facts:
        return planner.survey(
            list(argv),
            without_guard(self.environ),
            str(self.program),
            str(self.project),
            write=False,
        )

    def plan(self, *argv: str) -> Plan:
        plan = AGENT.plan(self.policy, self.look(*argv), str(self.program), NOW)
        # nothing that is ever shown holds a value
        shown = [f.as_dict() for f in plan.findings] + [c.as_dict() for c in plan.changes]
        shown += [plan.rewritten, plan.route, plan.argv]
        if plan.forbidden_by:
            shown.append(refusal(plan).render())
        assert "canary" not in json.dumps(shown)
        return plan

    def launch(self, *argv: str) -> Launch:
        facts = self.look(*argv)
        return Launch(AGENT.plan(self.policy, facts, str(self.program), NOW), facts)

    def config(self, *argv: str) -> dict[str, Any]:
        plan = self.plan(*argv)
        assert plan.forbidden_by == []
        content: dict[str, Any] = json.loads(plan.environ["OPENCODE_CONFIG_CONTENT"])
        return content


@pytest.fixture
def machine(tmp_path: Path, policy: CompiledPolicy) -> Machine:
    return Machine(tmp_path.resolve(), policy)
