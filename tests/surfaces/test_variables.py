"""One table of variables, through every surface that judges them: one rule, the same words.

A surface that differs says why, in DIFFERS.
"""

from __future__ import annotations

import functools
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from guard.agents.registry import agent_by_id, keeps
from guard.catalog import entries
from guard.catalog.classify import classify
from guard.check import ci_runners, engine, environment
from guard.check.variable import explain
from guard.hook import SHELLS, render
from guard.launch import agent
from guard.policy import cache
from guard.policy.values import CompiledPolicy
from guard.rule_table import RULES
from guard.rules.detectors import DETECTORS
from guard.sources.file import SourceFile
from guard.variables import judge, rule_of

EVERY = frozenset(RULES)
KEY = "sk-proj-" + "q8Zr2Lm9Xw4TkP7vBd3NsYh6" * 2

Said = list[tuple[str, str]]
"""(rule, message) of each finding."""


@functools.cache
def policy_without_files() -> CompiledPolicy:
    with tempfile.TemporaryDirectory() as nothing:
        return cache.load("/", {"HOME": nothing}, system=f"{nothing}/none")


class Place:
    """A home and a project with nothing in them, and the policy that holds there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.project = self.home / "project"
        self.project.mkdir(parents=True)
        self.policy = policy_without_files()

    def asked(self, **more: str) -> environment.EnvironmentRequest:
        environ = {"HOME": str(self.home), "PORTKEY_API_KEY": "pk-key", **more}
        root = str(self.root / "system")
        return environment.EnvironmentRequest(
            environ, str(self.project), self.policy, time.time(), None, root
        )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("guard.proxies.glance.glance", lambda *_, **__: [])
    return Place(tmp_path.resolve())


def in_file(name: str, text: str) -> Callable[[Place, str, str], Said]:
    def judged(place: Place, variable: str, value: str) -> Said:
        content = text.replace("NAME", variable).replace("VALUE", value)
        file = SourceFile(name, content.encode(), absolute=str(place.project / name))
        outcome = engine.Outcome()
        engine.check_file(file, engine.Settings(place.policy), DETECTORS, outcome)
        # what a key looks like is another question than what a variable does
        return [(f.rule, f.message) for f, _ in outcome.found if f.rule != "RG111"]

    return judged


def by_launch_of(identifier: str, *typed: str) -> Callable[[Place, str, str], Said | None]:
    """What a launch of the agent with this id says; None where it sets a value of its own."""

    def judged(place: Place, variable: str, value: str) -> Said | None:
        adapter = agent_by_id(identifier)
        assert adapter is not None
        own = dict(place.asked(**{variable: value}).environ)
        here = str(place.project)
        plan, _ = agent.plan_launch(
            adapter, [*typed], own, [], "", place.policy, here, time.time(), write=False
        )
        changes = [change for change in plan.changes if change.name == variable]
        if any(change.action == "set" for change in changes):
            assert plan.environ[variable] != value
            return None
        removed = [(c.rule, f"{c.name} {c.reason}") for c in changes if c.action == "removed"]
        # without a rule: an agent's own, by its name alone
        said = [(rule, words) for rule, words in removed if rule]
        return said + [(f.rule, f.message) for f in plan.findings if f.subject == variable]

    return judged


def by_check_ci(place: Place, variable: str, value: str) -> Said:
    asked = replace(place.asked(**{variable: value}), runner=ci_runners.RUNNERS[0])
    found = environment.check(asked, EVERY).findings
    return [(f.rule, f.message) for f in found if f.subject == variable]


def by_check_env(place: Place, variable: str, value: str) -> Said:
    found = environment.check(place.asked(**{variable: value}), EVERY).findings
    return [(f.rule, f.message) for f in found if f.subject == variable]


def by_env_file(place: Place, variable: str, value: str) -> Said:
    (place.project / "variables").write_text(f"{variable}='{value}'\n")
    found = environment.check_file(place.asked(), "variables", EVERY).findings
    return [(f.rule, f.message) for f in found if f.subject == variable]


def by_startup_file(place: Place, variable: str, value: str) -> Said:
    (place.home / ".bashrc").write_text(f"export {variable}='{value}'\n")
    found = environment.check(place.asked(), EVERY).findings
    return [(f.rule, f.message) for f in found if f.subject == variable]


def by_why(place: Place, variable: str, value: str) -> Said:
    environ = place.asked(**{variable: value}).environ
    (answer,) = explain(
        [variable], str(place.project), environ,
        system=str(place.root / "none.toml"), root=str(place.root), chain=[],
    )  # fmt: skip
    said = answer.launch.reason or answer.variable.note
    return [(answer.finding, f"{variable} {said}")] if answer.finding else []


SURFACES: dict[str, Callable[[Place, str, str], Said | None]] = {
    "launch": by_launch_of("opencode", "run", "hi"),
    "launch of Claude Code": by_launch_of("claude-code", "-p", "hi"),
    "check --env --ci": by_check_ci,
    "check --env": by_check_env,
    "check --env-file": by_env_file,
    "startup file": by_startup_file,
    "why": by_why,
    ".env": in_file(".env", "NAME='VALUE'\n"),
    ".env.local, exported": in_file(".env.local", "export NAME=VALUE\n"),
    "mise": in_file("mise.toml", '[env]\nNAME = "VALUE"\n'),
    "Dockerfile": in_file("Dockerfile", "FROM x\nENV NAME='VALUE'\n"),
    "Dockerfile, old form": in_file("Dockerfile", "FROM x\nENV NAME VALUE\n"),
    "compose": in_file("compose.yaml", "services:\n a:\n  environment:\n   NAME: 'VALUE'\n"),
    "compose, list": in_file("compose.yaml", "services:\n a:\n  environment: ['NAME=VALUE']\n"),
    "script": in_file("run.sh", "export NAME='VALUE'\n"),
    ".bashrc": in_file(".bashrc", "export NAME='VALUE'\n"),
    "workflow": in_file(".github/workflows/a.yml", "jobs:\n a:\n  env:\n   NAME: 'VALUE'\n"),
    "unit": in_file("a.service", "[Service]\nEnvironment='NAME=VALUE'\n"),
    "devcontainer": in_file("devcontainer.json", '{"containerEnv": {"NAME": "VALUE"}}'),
}

LAUNCHES = frozenset(("launch", "launch of Claude Code"))
PROCESS = LAUNCHES | {"check --env", "check --env --ci", "why"}
"""An environment that is there: what is set counts."""
STARTS = PROCESS | {"startup file"}
"""The same, and what a shell that starts will set."""
LIVE = STARTS | {"check --env-file"}
"""The same, and a file that is taken for an environment."""

ROWS = [
    ("OPENAI_API_KEY", KEY, "RG101"),
    ("OPENAI_API_KEY", "sk-q8Zr2Lm9Xw4TkP7vBd3N", "RG101"),
    ("OPENAI_API_KEY", "house-pass-7719", "RG101"),
    ("AWS_BEARER_TOKEN_BEDROCK", KEY, "RG101"),
    ("302AI_API_KEY", KEY, "RG101"),
    ("FROBNICATOR_API_KEY", KEY, "RG102"),
    ("STRIPE_API_KEY", KEY, ""),
    ("PORTKEY_API_KEY", "pk-abc", ""),
    ("CLAUDE_CODE_USE_BEDROCK", "1", "RG101"),
    ("CLAUDE_CODE_USE_BEDROCK", "true", "RG101"),
    ("CLAUDE_CODE_USE_BEDROCK", "0", ""),
    ("AZURE_RESOURCE_NAME", "house-models", "RG101"),
    ("OPENAI_BASE_URL", "https://api.portkey.ai/v1", ""),
    ("OPENAI_BASE_URL", "https://api.portkey.ai:443/v1", ""),
    ("OPENAI_BASE_URL", "http://api.portkey.ai/v1", "RG103"),
    ("OPENAI_BASE_URL", "https://aigw.portkey.ai/v1", "RG103"),
    ("OPENAI_BASE_URL", "https://me:pw@api.portkey.ai/v1", "RG103"),
    ("OPENAI_BASE_URL", "https://api.portkey.ai.evil.net/v1", "RG103"),
    ("OPENAI_BASE_URL", "https://llm.corp.net/v1", "RG103"),
    ("ANTHROPIC_BASE_URL", "http://127.1:4000", "RG103"),
    ("ANTHROPIC_BASE_URL", "http://127.evil.com/", "RG103"),
    ("OPENAI_BASE_URL", "http://ollama:11434/v1", "RG103"),
    ("OPENAI_BASE_URL", "http://x/v1", "RG103"),
    ("OLLAMA_HOST", "0.0.0.0", "RG103"),
    ("HTTPS_PROXY", "http://localhost6:8080", "RG104"),
    ("HTTPS_PROXY", "http://LOCALHOST.:8080", "RG104"),
    ("HTTPS_PROXY", "http://me:pw@[::ffff:127.0.0.1]:8080", "RG104"),
    ("http_proxy", "2130706433:8888", "RG104"),
    ("HTTPS_PROXY", "http://127.evil.com:8080", ""),
    ("HTTPS_PROXY", "http://proxy.corp.net:8080", ""),
    ("OPENCODE_CONFIG", "/x", "RG105"),
    ("OPENCODE_SOMETHING_NEW", "/x", "RG105"),
    ("OPENCODE_LOG_LEVEL", "DEBUG", ""),
    ("NODE_TLS_REJECT_UNAUTHORIZED", "0", "RG108"),
    ("NODE_TLS_REJECT_UNAUTHORIZED", "1", ""),
    ("EDITOR", "vi", ""),
]

DIFFERS = [
    # name, value, surfaces that differ, the rule there, the rule elsewhere, why
    ("OPENAI_API_KEY", "your-key-here", STARTS, "RG101", "",
     "in a file that is loaded or not it is there to be filled in; what is set counts"),
    ("OPENAI_API_KEY", "sk-1234567890", STARTS, "RG101", "", "the same"),
    ("ANTHROPIC_API_KEY", "sk-ant-api03-test", STARTS, "RG101", "", "the same"),
    ("OPENAI_BASE_URL", "https://llm.example.com/v1", LIVE, "RG103", "",
     "a sample's host goes nowhere; a launch takes every address but the gateway's away"),
    ("GITLAB_INSTANCE_URL", "https://gitlab.corp.net", LIVE, "RG103", "",
     "says nothing about models to other tools; a launch takes it away all the same"),
    ("HTTPS_PROXY", "http://host.docker.internal:3128", LIVE, "", "RG104",
     "only within a container is this the machine itself"),
    ("ALL_PROXY", "http://127.0.0.1:3128", LIVE, "", "RG104",
     "the agent ignores it; other programs that get the file's variables do not"),
    ("NODE_OPTIONS", "--require ./x.js", LIVE, "RG108", "",
     "a file's is for the program it starts; on a call of the agent it is a finding"),
    ("LD_PRELOAD", "./x.so", LIVE, "RG108", "", "the same"),
    ("NODE_EXTRA_CA_CERTS", "/etc/ca.pem", LIVE, "RG108", "", "the same"),
    ("GITHUB_TOKEN", KEY, LIVE - {"why", "startup file"}, "RG107", "",
     "a note about what a launch leaves; nothing to do in a file"),
    ("OPENCODE_PURE", "1", LAUNCHES, "RG105", "",
     "taken away with the rest of OPENCODE_*; not a finding where it is set"),
    ("NODE_ENV", "production", LAUNCHES, "RG108", "", "the same, with the rest of NODE_*"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.corp.net", LAUNCHES, "RG108", "", "the same"),
]  # fmt: skip


def words(variable: str, value: str, policy: CompiledPolicy) -> str:
    """What the one judge says of it."""
    gateway = {provider.key_env for provider in policy.providers}
    kind, owner = classify(variable, policy.variables, gateway)
    return judge(variable, kind, owner, value, policy, keeps=keeps(), text=True).words


def check(place: Place, surface: str, variable: str, value: str, rule: str) -> None:
    said = SURFACES[surface](place, variable, value)
    if said is None:
        return
    assert [found for found, _ in said] == [rule] * bool(rule), (variable, value, said)
    for _, message in said:
        if rule == "RG107" or (surface == "why" and "value of its own" in message):
            continue  # a note on what stays; what a launch sets anyway
        assert variable in message
        assert words(variable, value, place.policy) in message


@pytest.mark.parametrize("surface", SURFACES)
def test_the_same_everywhere(place: Place, surface: str) -> None:
    for variable, value, rule in ROWS:
        if not variable.isidentifier() and surface not in (*PROCESS, "compose"):
            continue  # no shell and no dotenv reader takes such a name
        # nothing says that it reaches a model, so a launch leaves it
        left = rule == "RG102" and surface in LAUNCHES
        check(place, surface, variable, value, "" if left else rule)


@pytest.mark.parametrize("surface", SURFACES)
def test_a_surface_that_differs_has_a_reason(place: Place, surface: str) -> None:
    for variable, value, surfaces, rule, elsewhere, why_ in DIFFERS:
        assert why_
        check(place, surface, variable, value, rule if surface in surfaces else elsewhere)


def test_on_a_call_of_the_agent_the_runtime_counts(place: Place) -> None:
    judged = in_file("run.sh", "NAME='VALUE' opencode run -m portkey/gpt-4o hi\n")
    for variable in ("NODE_OPTIONS", "LD_PRELOAD", "NODE_EXTRA_CA_CERTS"):
        ((rule, message),) = judged(place, variable, "./x.js")
        assert rule == "RG108"
        assert words(variable, "./x.js", place.policy) in message


@pytest.mark.parametrize("shell", SHELLS)
def test_the_prompt_knows_the_same_keys(place: Place, shell: str) -> None:
    text = render.render(shell, place.policy, python="/p", main_file="/m", shims="/s")
    listed = set(re.findall(r"\w+", text))
    if shell == "bash":  # holds the known keys without their ending
        listed |= {f"{word}_API_KEY" for word in listed}
    for variable, value, rule in ROWS:
        if rule != "RG101" or not words(variable, value, place.policy).startswith("reaches"):
            continue
        if variable.isidentifier() or shell == "fish":
            assert variable in listed
    assert "CLAUDE_CODE_USE_BEDROCK" not in listed  # a setting is no key, so it is left in place


def test_the_hot_rules_are_those_of_the_data(tmp_path: Path) -> None:
    policy = cache.load("/", {"HOME": str(tmp_path)}, system=str(tmp_path / "none"))
    names = dict(entries.variables())
    for prefix in ("OPENCODE_", "PORTKEY_", "BUN_", "NODE_", "LD_", "DYLD_", "OTEL_"):
        name = f"{prefix}SOMETHING_NEW"
        kind, owner = classify(name, {})
        names[name] = entries.describe(name, kind, owner)
    for name, variable in names.items():
        assert rule_of(name, variable.kind, policy) == variable.rule, name
