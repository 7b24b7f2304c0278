"""A launch beside the files that routeguard wrote for an administrator, and changed ones."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from managed_policy import POLICY, compiled

from guard.agents import managed as administrators
from guard.agents.claude_code import planner as claude
from guard.agents.claude_code.adapter import AGENT as CLAUDE
from guard.agents.codex import planner as codex
from guard.agents.codex import settings
from guard.agents.codex.adapter import AGENT as CODEX
from guard.agents.codex.variables import KEY
from guard.agents.opencode import planner as opencode
from guard.agents.opencode import surroundings
from guard.agents.opencode.adapter import AGENT as OPENCODE
from guard.agents.opencode2 import planner as opencode2
from guard.agents.plan import Plan
from guard.cli import main
from guard.files import jsonc
from guard.policy.values import CompiledPolicy

NOW = 1_700_000_000.0
SECRET = "pk-canary0123456789"
RULE = "RG302"


class Machine:
    """A root with a system policy and the files of it, and a user who launches agents there."""

    def __init__(self, root: Path) -> None:
        self.root = root / "image"
        self.home, self.project = root / "home", root / "project"
        for folder in (self.home / ".codex", self.project / ".git"):
            folder.mkdir(parents=True)
        place = self.root / "etc" / "routeguard"
        place.mkdir(parents=True)
        for folder in (self.root, self.root / "etc", place):
            folder.chmod(0o755)
        self.policy: CompiledPolicy = compiled(place, POLICY)
        assert main(["managed", "install", "--root", str(self.root), "--program", "/x"]) == 0
        self.suffix = administrators.installed(str(self.root)).suffix
        self.environ = {"HOME": str(self.home), "PATH": "/usr/bin", "COMPANY_KEY": SECRET}

    def file(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def program(self, package: str, version: str, name: str) -> str:
        folder = self.root.parent / "node_modules" / package
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps({"name": package, "version": version}))
        return str(folder / name)

    def codex(self, *typed: str) -> Plan:
        program = self.program("@openai/codex", "0.171.0", "bin/codex.js")
        words = list(typed or ("exec", "hi"))
        found = codex.survey(
            words, self.environ, program, str(self.project), write=True, root=str(self.root)
        )
        return CODEX.plan(self.policy, found, program, NOW)

    def claude(self) -> Plan:
        program = self.program("@anthropic-ai/claude-code-linux-x64", "2.1.332", "claude")
        found = claude.survey(
            ["-p", "hi"], self.environ, program, str(self.project), root=str(self.root)
        )
        return CLAUDE.plan(self.policy, found, program, NOW)

    def opencode(
        self, *typed: str, change: Mapping[str, Any] | None = None, ours: bool = True
    ) -> Plan:
        program = self.program("opencode-ai", "1.18.33", "bin/opencode.exe")
        found = opencode.survey(
            list(typed or ("run", "hi")), self.environ, program, str(self.project), write=False
        )
        path = self.file("/etc/opencode/opencode.json")
        content = {**jsonc.parse(path.read_text()), **(change or {})}
        one = surroundings.Config(str(path), content, ours=self.suffix if ours else "")
        found.found.managed = [one]
        return OPENCODE.plan(self.policy, found, program, NOW)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def refused(plan: Plan) -> list[tuple[str, str]]:
    return [(finding.rule, finding.subject) for finding in plan.forbidden_by]


def notes(plan: Plan) -> list[str]:
    return [one.where for one in plan.findings if one.severity == "note" and one.rule == RULE]


def test_codex_takes_the_route_of_the_file(machine: Machine) -> None:
    plan = machine.codex()
    assert refused(plan) == []
    given = dict(settings.typed(w.removeprefix("--config=") for w in plan.argv if "=" in w))
    name = settings.typed_value(given["model_provider"])
    content = tomllib.loads(machine.file("/etc/codex/managed_config.toml").read_text())
    assert name == content["model_provider"] == f"portkey_{machine.suffix}"
    # what the file's provider is merged with is the same
    assert (
        settings.typed_value(given[f"model_providers.{name}"]) == content["model_providers"][name]
    )
    assert plan.environ["COMPANY_KEY"] == SECRET
    assert any(variable.startswith(KEY) for variable in plan.environ)
    hidden = settings.typed_value(given["shell_environment_policy.exclude"])
    assert {"COMPANY_KEY", f"{KEY}*"} <= set(hidden)
    assert len(notes(plan)) == 2
    assert SECRET not in " ".join(plan.argv)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("gateway.example.com", "evil.example.com"),
        lambda text: text.replace('model_provider = "', 'model_provider = "x'),
        lambda text: text + "# only a comment\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text + " ",
    ],
)
def test_a_changed_file_of_codex_is_an_override(machine: Machine, change: Any) -> None:
    path = machine.file("/etc/codex/managed_config.toml")
    path.write_bytes(change(path.read_text()).encode())
    assert (RULE, "model_provider") in refused(machine.codex())


def test_a_policy_that_moved_on_is_no_longer_what_was_written(machine: Machine) -> None:
    moved = POLICY.replace("gateway.example.com", "other.example.com")
    machine.policy = compiled(machine.root / "etc" / "routeguard", moved)
    plan = machine.codex()
    assert [rule for rule, _ in refused(plan)] == [RULE]
    assert "routeguard managed install" in plan.forbidden_by[0].fix
    assert [rule for rule, _ in refused(machine.opencode())] == [RULE]


@pytest.mark.parametrize("path", [".codex/config.toml", ".codex/work.config.toml"])
def test_settings_that_change_the_administrators_provider(machine: Machine, path: str) -> None:
    name = f"portkey_{machine.suffix}"
    (machine.home / path).write_text(f'[model_providers.{name}.http_headers]\nx-evil = "1"\n')
    words = ("exec", "-p", "work", "hi") if "work" in path else ("exec", "hi")
    assert refused(machine.codex(*words)) == [(RULE, name)]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/codex/managed_config.toml",
        "/etc/codex/requirements.toml",
        "/etc/codex",
        "/etc/claude-code/managed-settings.json",
        "/etc/claude-code",
    ],
)
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_can_change_is_refused(machine: Machine, path: str, mode: int) -> None:
    place = machine.file(path)
    place.chmod(place.stat().st_mode | mode)
    plan = machine.codex() if "codex" in path else machine.claude()
    assert RULE in [rule for rule, _ in refused(plan)]
    assert f"sudo chmod go-w {place}" in plan.forbidden_by[0].fix


def test_a_memory_that_others_can_change_counts_for_nothing(machine: Machine) -> None:
    machine.file("/etc/routeguard/managed.json").chmod(0o666)
    assert administrators.installed(str(machine.root)).suffix == ""
    assert (RULE, "model_provider") in refused(machine.codex())


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to somebody else")
def test_a_file_of_somebody_else_is_refused(machine: Machine) -> None:
    for path in ("/etc/codex/managed_config.toml", "/etc/claude-code/managed-settings.json"):
        os.chown(machine.file(path), 12345, 12345)
    for plan in (machine.codex(), machine.claude()):
        assert RULE in [rule for rule, _ in refused(plan)]
        assert any("user id 12345" in one.message for one in plan.forbidden_by)


def test_claude_code_keeps_its_restrictions(machine: Machine) -> None:
    plan = machine.claude()
    assert refused(plan) == []
    assert plan.argv[1].startswith("--managed-settings=")
    # ours says "merge": nothing else has to hold the project's code
    assert "--strict-mcp-config" not in plan.argv
    assert notes(plan) == [str(machine.file("/etc/claude-code/managed-settings.json"))]
    machine.file("/etc/claude-code/managed-settings.json").write_text("{}")
    plan = machine.claude()
    assert "--strict-mcp-config" in plan.argv
    assert notes(plan) == []


def test_opencode_takes_the_providers_of_the_file(machine: Machine) -> None:
    plan = machine.opencode()
    assert refused(plan) == []
    content = json.loads(plan.environ["OPENCODE_CONFIG_CONTENT"])
    assert content["enabled_providers"] == [f"portkey-{machine.suffix}"]
    assert content["model"] == f"portkey-{machine.suffix}/gpt-4o"
    assert content["disabled_providers"] != []


def test_opencode_says_which_models_the_file_allows(machine: Machine) -> None:
    plan = machine.opencode("run", "-m", "portkey/gpt-5.5", "hi")
    assert refused(plan) == [("RG201", "gpt-5.5")]
    assert "gpt-4o" in plan.forbidden_by[0].fix


@pytest.mark.parametrize(
    "change",
    [
        {"enabled_providers": ["evil"]},
        {"share": "auto"},
        {"plugin": ["./x.js"]},
        {"provider": {}, "enabled_providers": []},
        {"experimental": {"openTelemetry": True}},
    ],
)
def test_opencodes_file_is_compared_with_the_pin(machine: Machine, change: dict[str, Any]) -> None:
    assert [rule for rule, _ in refused(machine.opencode(change=change))] == [RULE]


def test_a_changed_file_of_opencode_is_an_override(machine: Machine) -> None:
    assert {rule for rule, _ in refused(machine.opencode(ours=False))} == {RULE}


def test_opencode_2_is_not_stopped_by_the_file_of_1(machine: Machine) -> None:
    path = machine.file("/etc/opencode/opencode.json")
    one = surroundings.Config(str(path), jsonc.parse(path.read_text()), ours=machine.suffix)
    found = surroundings.Surroundings(managed=[one])

    class Facts:
        pass

    def judged(facts: Facts) -> list[str]:
        plan = Plan("opencode", "guarded", "", [], [], {})
        opencode2._judge_user(plan, facts)  # type: ignore[arg-type]
        return [finding.rule for finding in plan.findings]

    facts = Facts()
    facts.found = found  # type: ignore[attr-defined]
    assert judged(facts) == []
    one.ours = ""
    assert judged(facts) == [RULE]
