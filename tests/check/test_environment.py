"""The environment lint: the launch's own judgement, with a place where there is one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from guard.agents.environment import clean
from guard.agents.environment import proxies as proxies_of
from guard.agents.keys import unusable_key
from guard.agents.opencode import KEEPS
from guard.agents.registry import agent_by_id
from guard.check import ci_runners, environment
from guard.check.result import Result
from guard.errors import UsageError
from guard.findings import Finding
from guard.launch.agent import plan_launch
from guard.policy.cache import load
from guard.policy.values import AgentRoute, CompiledPolicy, PolicyException
from guard.rule_table import RULES

EVERY = frozenset(RULES)
SECRET = "sk-canary-q8Zr2Lm9Xw4TkP7vBd3N"
REAL = "sk-q8Zr2Lm9Xw4TkP7vBd3NsYh6"
"""Looks like no placeholder."""


class Machine:
    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.project = self.home / "project"
        self.project.mkdir(parents=True)
        self.system = place / "system"
        self.system.mkdir()
        self.policy: CompiledPolicy = load(
            str(self.project), {"HOME": str(self.home)}, system=str(place / "none.toml")
        )

    def asked(
        self, *, runner: ci_runners.Runner | None = None, **environ: str
    ) -> environment.EnvironmentRequest:
        return environment.EnvironmentRequest(
            {"HOME": str(self.home), "PORTKEY_API_KEY": "pk-key", **environ},
            str(self.project),
            self.policy,
            time.time(),
            runner,
            str(self.system),
        )

    def check(self, *, runner: ci_runners.Runner | None = None, **environ: str) -> Result:
        return environment.check(self.asked(runner=runner, **environ), EVERY)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    # what listens on the machine that runs the tests is another matter
    monkeypatch.setattr("guard.proxies.glance.glance", lambda *_, **__: [])
    return Machine(tmp_path)


def said(result: Result) -> list[tuple[str, str, str]]:
    return [(f.rule, f.subject, f.where) for f in result.findings]


def test_a_clean_environment_has_no_findings(machine: Machine) -> None:
    result = machine.check(LANG="C", EDITOR="vi", STRIPE_API_KEY="x", NODE_ENV="production")
    assert result.findings == ()
    assert result.kind == "environment"


def test_a_lost_prompt_hook(machine: Machine) -> None:
    result = machine.check(ROUTEGUARD_HOOK="lost:zsh")
    assert said(result) == [("RG503", "hook", "environment")]
    assert result.findings[0].severity == "warning"
    assert 'eval "$(routeguard hook zsh)"' in result.findings[0].fix


@pytest.mark.parametrize(
    ("name", "value", "rule", "severity"),
    [
        ("OPENAI_API_KEY", SECRET, "RG101", "error"),
        ("AWS_BEARER_TOKEN_BEDROCK", SECRET, "RG101", "error"),
        ("WHATEVER_API_KEY", SECRET, "RG102", "warning"),
        ("OPENAI_BASE_URL", "http://localhost:3456/v1", "RG103", "error"),
        ("HTTPS_PROXY", "http://127.0.0.1:8888", "RG104", "error"),
        ("OPENCODE_CONFIG", "/tmp/x.json", "RG105", "error"),
        ("OPENCODE_CONFIG_CONTENT", "{}", "RG105", "error"),
        ("GITHUB_TOKEN", SECRET, "RG107", "note"),
        ("NODE_TLS_REJECT_UNAUTHORIZED", "0", "RG108", "error"),
    ],
)
def test_each_variable_rule(
    machine: Machine, name: str, value: str, rule: str, severity: str
) -> None:
    (finding,) = machine.check(**{name: value}).findings
    assert (finding.rule, finding.subject, finding.severity) == (rule, name, severity)
    assert finding.where == "environment"
    assert SECRET not in finding.message + finding.fix


def test_the_words_are_those_of_the_launch(machine: Machine) -> None:
    environ = {"OPENAI_API_KEY": SECRET, "HTTPS_PROXY": "http://localhost:1", "GITHUB_TOKEN": "x"}
    _, changes, notes = clean(environ, machine.policy, time.time(), keeps=KEEPS, agent=True)
    proxies = proxies_of(environ, machine.policy, time.time())
    expected = {f"{change.name} {change.reason}" for change in changes}
    expected |= {finding.message for finding in (*notes, *proxies)}
    assert {finding.message for finding in machine.check(**environ).findings} == expected


def test_an_empty_variable_is_none(machine: Machine) -> None:
    empty = dict.fromkeys(("OPENAI_API_KEY", "OPENAI_BASE_URL", "X_API_KEY", "HTTPS_PROXY"), "")
    assert machine.check(**empty).findings == ()


def test_the_gateways_own_address_is_none(machine: Machine) -> None:
    assert machine.check(OPENAI_BASE_URL="https://api.portkey.ai/v1").findings == ()


def test_a_missing_and_a_foreign_gateway_key(machine: Machine) -> None:
    (missing,) = machine.check(PORTKEY_API_KEY="").findings
    assert (missing.rule, missing.subject) == ("RG106", "PORTKEY_API_KEY")
    (foreign,) = machine.check(PORTKEY_API_KEY="sk-ant-abc").findings
    assert foreign.rule == "RG106"
    assert foreign.message == f"PORTKEY_API_KEY {unusable_key('sk-ant-abc')}"
    assert foreign.fix == missing.fix


def test_an_exception_holds(machine: Machine) -> None:
    machine.policy.exceptions = tuple(
        PolicyException(subject=subject, reason="r", until=4e9)
        for subject in ("env:OPENAI_API_KEY", "env:X_API_KEY", "proxy:127.0.0.1:8888")
    )
    allowed = {"OPENAI_API_KEY": "x", "X_API_KEY": "x", "HTTPS_PROXY": "http://127.0.0.1:8888"}
    assert machine.check(**allowed).findings == ()


def test_flagging_makes_warnings(machine: Machine) -> None:
    machine.policy.keys_action = machine.policy.proxies_action = "flag"
    result = machine.check(OPENAI_API_KEY="x", HTTPS_PROXY="http://127.0.0.1:8888")
    assert {f.severity for f in result.findings} == {"warning"}
    machine.policy.keys_unknown = "ignore"
    assert machine.check(WHATEVER_API_KEY="x").findings == ()


@pytest.mark.parametrize("agent", ["opencode", "claude-code"])
def test_inside_a_guarded_agent_its_own_variables_are_none(machine: Machine, agent: str) -> None:
    machine.policy.routes = (AgentRoute(agent="claude-code", provider="a", model="m", small="m"),)
    adapter = agent_by_id(agent)
    assert adapter is not None
    asked = machine.asked()
    plan, _ = plan_launch(
        adapter,
        [],
        dict(asked.environ),
        [],
        "",
        machine.policy,
        str(machine.project),
        asked.now,
        write=True,
    )
    assert machine.check(**plan.environ).findings == ()
    token = {**plan.environ, "ANTHROPIC_AUTH_TOKEN": REAL}
    assert ("RG101", "ANTHROPIC_AUTH_TOKEN", "environment") in said(machine.check(**token))
    # no launch sets it without [gateway] ca
    trusted = {**plan.environ, "NODE_EXTRA_CA_CERTS": "/tmp/authority.pem"}
    assert ("RG108", "NODE_EXTRA_CA_CERTS", "environment") in said(machine.check(**trusted))


def test_config_layers_and_credential_stores(machine: Machine) -> None:
    plugin = machine.project / ".opencode" / "plugin" / "p.js"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("x")
    store = machine.home / ".local/share/opencode/auth.json"
    store.parent.mkdir(parents=True)
    store.write_text(f'{{"anthropic": {{"type": "api", "key": "{SECRET}"}}}}')
    result = machine.check()
    found = {f.rule: f for f in result.findings}
    assert set(found) == {"RG301", "RG304"}
    assert found["RG301"].path == ".opencode/plugin/p.js"
    assert found["RG304"].path == str(store)
    assert SECRET not in repr([f.as_dict() for f in result.findings])


# Files that set variables ------------------------------------------------------------------------


def at(result: Result) -> list[tuple[str, str, str, int]]:
    return [(f.rule, f.subject, os.path.basename(f.path), f.line) for f in result.findings]


def test_startup_files_at_their_lines(machine: Machine) -> None:
    (machine.home / ".zshrc").write_text(
        f"# x\nexport OPENAI_API_KEY='{SECRET}'\nexport EMPTY=1 ANTHROPIC_API_KEY=\n"
        "GROQ_API_KEY=x\nexport OPENAI_BASE_URL=https://api.portkey.ai/v1\n"
        "export ANTHROPIC_BASE_URL=http://localhost:3456\nexport OPENAI_API_BASE=$X\n"
        "export HTTPS_PROXY=http://127.0.0.1:9\nexport DEEPSEEK_API_KEY=$(op read x)\n"
    )
    fish = machine.home / ".config/fish/config.fish"
    fish.parent.mkdir(parents=True)
    fish.write_text("set -gx MISTRAL_API_KEY abc\n")
    result = machine.check()
    assert sorted(at(result)) == [
        ("RG101", "DEEPSEEK_API_KEY", ".zshrc", 9),
        ("RG101", "MISTRAL_API_KEY", "config.fish", 1),
        ("RG101", "OPENAI_API_KEY", ".zshrc", 2),
        ("RG103", "ANTHROPIC_BASE_URL", ".zshrc", 6),
        ("RG104", "HTTPS_PROXY", ".zshrc", 8),
    ]
    assert SECRET not in repr([f.as_dict() for f in result.findings])


def test_dotenv_files_of_the_project(machine: Machine) -> None:
    (machine.project / ".env").write_text(
        f"OPENAI_API_KEY=\nANTHROPIC_API_KEY={REAL}\nX_API_KEY=q8Zr2Lm9Xw4T\n"
        "MISTRAL_API_KEY=your-key-here\n"
    )
    (machine.project / ".envrc").write_text("export GROQ_API_KEY=$(op read x)\n")
    assert at(machine.check()) == [
        ("RG101", "ANTHROPIC_API_KEY", ".env", 2),
        ("RG102", "X_API_KEY", ".env", 3),
        ("RG101", "GROQ_API_KEY", ".envrc", 1),
    ]


def test_a_suppression_in_such_a_file_holds(machine: Machine) -> None:
    (machine.home / ".zshrc").write_text(
        "# routeguard: ignore[RG101] for the old build\nexport OPENAI_API_KEY=x\n"
        "export GROQ_API_KEY=x # routeguard: ignore[RG101]\n"
    )
    result = machine.check()
    assert [f.subject for f in result.suppressed] == ["OPENAI_API_KEY"]
    assert [f.subject for f in result.findings] == ["GROQ_API_KEY"]


def test_a_file_that_cannot_be_read_is_a_note(machine: Machine) -> None:
    os.mkfifo(machine.home / ".zshrc")
    (finding,) = machine.check().findings
    assert (finding.rule, os.path.basename(finding.path)) == ("RG903", ".zshrc")


# CI ----------------------------------------------------------------------------------------------


def test_in_a_job_startup_files_are_nobodys(machine: Machine, tmp_path: Path) -> None:
    (machine.home / ".zshrc").write_text("export OPENAI_API_KEY=x\n")
    handed = tmp_path / "env"
    handed.write_text(f"GROQ_API_KEY={SECRET}\nMISTRAL_API_KEY<<E\nx\nE\nEMPTY_API_KEY=\n")
    github = ci_runners.RUNNERS[0]
    result = machine.check(runner=github, GITHUB_ENV=str(handed), ANTHROPIC_API_KEY="x")
    assert [(f.subject, f.line) for f in result.findings] == [
        ("GROQ_API_KEY", 1),
        ("MISTRAL_API_KEY", 2),
        ("ANTHROPIC_API_KEY", 0),
    ]
    assert github.set_in in result.findings[-1].fix
    assert "running in GitHub Actions" in result.remarks


def test_what_bash_reads_in_every_step(machine: Machine, tmp_path: Path) -> None:
    script = tmp_path / "bash.env"
    script.write_text("export OPENAI_API_KEY=x\n")
    result = machine.check(runner=ci_runners.OTHER, BASH_ENV=str(script))
    assert at(result) == [("RG101", "OPENAI_API_KEY", "bash.env", 1)]


# A dotenv file as the environment ----------------------------------------------------------------


def by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def test_a_dotenv_file_instead_of_the_environment(machine: Machine) -> None:
    path = machine.project / "prod.env"
    path.write_text(
        f"\n# x\nOPENAI_API_KEY='{SECRET}'\nEMPTY_API_KEY=\nexport HTTPS_PROXY=http://[::1]:1\n"
    )
    asked = machine.asked(GROQ_API_KEY="x")
    result = environment.check_file(asked, "prod.env", EVERY)
    found = by_name(result.findings)
    assert set(found) == {"OPENAI_API_KEY", "HTTPS_PROXY", "PORTKEY_API_KEY"}
    assert (found["OPENAI_API_KEY"].path, found["OPENAI_API_KEY"].line) == ("prod.env", 3)
    assert found["HTTPS_PROXY"].line == 5
    assert (found["PORTKEY_API_KEY"].rule, found["PORTKEY_API_KEY"].line) == ("RG106", 0)
    assert SECRET not in repr([f.as_dict() for f in result.findings])


def test_an_environment_file_that_cannot_be_read(machine: Machine) -> None:
    os.mkfifo(machine.project / "fifo")
    for name in ("nosuch", "fifo", "."):
        with pytest.raises(UsageError):
            environment.check_file(machine.asked(), name, EVERY)


def test_a_hostile_environment_file_takes_no_long_time(machine: Machine) -> None:
    path = machine.project / "x.env"
    for text in ("A=" + " " * 200_000 + "x", "A='" + "\\'" * 50_000, "=" * 100_000, "\n" * 200_000):
        path.write_text(text)
        environment.check_file(machine.asked(), "x.env", EVERY)
