"""Agents that cannot be guarded: which command lines start one, and what a launch becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.agents import others
from guard.agents.plan import Plan
from guard.agents.registry import names, wrapped
from guard.catalog import agents as known_agents
from guard.catalog.runners import names_package
from guard.policy.accepted import OTHERS
from guard.policy.compile import compile_files
from guard.policy.values import CompiledPolicy, PolicyException
from guard.rule_table import RULES

NOW = 1_800_000_000.0
KEY = "sk-canary9876543210fedcba"


def compiled(folder: Path, text: str = "", layer: str = "user") -> CompiledPolicy:
    path = folder / f"{layer}.toml"
    path.write_text(text)
    path.chmod(0o600)
    nothing = str(folder / "nothing.toml")
    places = {"system": nothing, "user": nothing, layer: str(path)}
    return compile_files(places["system"], places["user"], ())[0]


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> CompiledPolicy:
    """A policy that refuses every agent there is."""
    text = "".join(f'[agents.{name}]\nlaunch = "refuse"\n' for name in OTHERS)
    return compiled(tmp_path_factory.mktemp("policy"), text)


@pytest.fixture
def policy(tmp_path: Path) -> CompiledPolicy:
    """The policy of a machine with no file."""
    return compiled(tmp_path)


def who(line: str, policy: CompiledPolicy, program: str = "/opt/bin/x") -> str:
    found = others.typed(line.split(), program, policy)
    return found.agent if found else ""


def planned(policy: CompiledPolicy, *words: str, **environ: str) -> Plan:
    (agent,) = (one for one in policy.others if words[0] in one.names)
    return others.plan(agent, words, f"/opt/bin/{words[0]}", environ, policy, NOW)


def test_every_agent_can_be_named_by_a_policy_and_started_by_a_name(
    refusing: CompiledPolicy,
) -> None:
    assert [agent.agent for agent in refusing.others] == list(OTHERS)
    for agent in refusing.others:
        assert agent.names, f"{agent.agent}: nothing to wrap"
        assert all(name.isascii() and "." not in name and "/" not in name for name in agent.names)
        assert not set(agent.commands) or agent.paths, agent.agent
    every = [name for agent in refusing.others for name in agent.names]
    assert len(every) == len(set(every))
    assert not set(every) & set(names())


def test_by_default_the_hook_touches_one_of_them(policy: CompiledPolicy) -> None:
    assert wrapped(policy) == (*names(), "gemini")
    assert wrapped(None) == wrapped(policy), "where the policy cannot be read"
    assert [one.launch for one in policy.others] == ["refuse"]


@pytest.mark.parametrize(
    ("line", "agent"),
    [
        ("gemini", "gemini-cli"),
        ("/usr/local/bin/gemini -p hi", "gemini-cli"),
        ("npx @google/gemini-cli", "gemini-cli"),
        ("npx -y @google/gemini-cli@latest -p hi", "gemini-cli"),
        ("npx --package=@google/gemini-cli gemini", "gemini-cli"),
        ("npx -p @google/gemini-cli -c gemini", "gemini-cli"),
        ("npx gemini", "gemini-cli"),
        ("npx g@npm:@google/gemini-cli", "gemini-cli"),
        ("npx https://github.com/google-gemini/gemini-cli", "gemini-cli"),
        ("npx github:google-gemini/gemini-cli#main", "gemini-cli"),
        ("npx ./node_modules/@google/gemini-cli", "gemini-cli"),
        ("npm exec -- @google/gemini-cli", "gemini-cli"),
        ("bunx --bun @google/gemini-cli", "gemini-cli"),
        ("pnpm dlx @google/gemini-cli", "gemini-cli"),
        ("yarn dlx @google/gemini-cli", "gemini-cli"),
        ("uvx --from aider-chat aider", "aider"),
        ("uvx aider-chat[playwright]==0.86", "aider"),
        ("pipx run aider-chat", "aider"),
        ("npx @sourcegraph/amp", "amp"),
        ("goose", "goose"),
        ("goose --debug session", "goose"),
        ("goose run -i x", "goose"),
        ("copilot -p hi", "copilot"),
        ("copilot", "copilot"),
    ],
)
def test_what_starts_one(line: str, agent: str, refusing: CompiledPolicy) -> None:
    assert who(line, refusing) == agent


@pytest.mark.parametrize(
    "line",
    [
        "geminix", "echo gemini", "npx cowsay gemini", "npx @evil/gemini-cli", "npm test",
        "npm install -g @google/gemini-cli", "npx -c 'echo gemini'", "goose up",
        "goose -dir x status", "copilot svc deploy", "copilot init", "agent", "pi", "amp x.txt",
    ],
)  # fmt: skip
def test_what_is_another_program(line: str, refusing: CompiledPolicy) -> None:
    assert who(line, refusing) == ""


def test_a_name_that_others_have_counts_by_what_it_starts(
    tmp_path: Path, refusing: CompiledPolicy
) -> None:
    package = tmp_path / "lib/node_modules/@sourcegraph/amp/dist/main.js"
    cursor = tmp_path / "cursor-agent/versions/1/cursor-agent"
    for path in (package, cursor):
        path.parent.mkdir(parents=True)
        path.write_text("#!/usr/bin/env node\n")
    (tmp_path / "agent").symlink_to(cursor)
    (tmp_path / "amp").symlink_to(package)
    (tmp_path / "editor").write_bytes(b"\x7fELF")
    assert who("agent hi", refusing, str(tmp_path / "agent")) == "cursor-agent"
    assert who("amp", refusing, str(tmp_path / "amp")) == "amp"
    assert who("amp", refusing, str(tmp_path / "editor")) == ""
    assert who("agent hi", refusing, str(tmp_path / "editor")) == ""


@pytest.mark.parametrize("spec", ["@google/gemini-cli-core", "gemini-cli", "@x/y/gemini-cli", ""])
def test_packages_that_are_others(spec: str) -> None:
    assert not names_package(spec, ("@google/gemini-cli",))


def test_a_refusal_says_why_and_what_works(policy: CompiledPolicy) -> None:
    (found,) = planned(policy, "gemini", "-p", "hi").forbidden_by
    assert found.rule == "RG207"
    assert RULES["RG207"].severity == "error"
    assert "speaks only Google's own API format" in found.message
    assert found.where == "/opt/bin/gemini"
    assert "opencode --model portkey/@PROVIDER/MODEL" in found.fix
    assert "routeguard allow agent gemini-cli --for 2h" in found.fix
    assert '[agents.gemini-cli]\nlaunch = "clean"' in found.fix


def test_it_names_no_way_that_is_closed(tmp_path: Path) -> None:
    text = 'user_exceptions = "refuse"\n[agents]\nguard = ["codex"]\n'
    text += '[agents.gemini-cli]\nlaunch = "refuse"\n'
    system = compiled(tmp_path, text, "system")
    (found,) = planned(system, "gemini").forbidden_by
    assert "the system policy refuses it ([agents.gemini-cli] launch)" in found.message
    assert found.fix == "", "no exception counts, no policy of the user's, no guarded agent has it"
    user = compiled(tmp_path, '[agents.aider]\nlaunch = "refuse"\n')
    (found,) = planned(user, "aider").forbidden_by
    assert "your policy refuses it ([agents.aider] launch)" in found.message
    assert "opencode" not in found.fix, "nothing is known of its models"
    assert found.fix.startswith("start it without keys and unguarded")


def test_one_that_is_cleaned_gets_no_key_of_any_kind(tmp_path: Path) -> None:
    policy = compiled(tmp_path, '[agents.gemini-cli]\nlaunch = "clean"\n')
    environ = {
        "HOME": "/home/u", "PORTKEY_API_KEY": "pk-canary0123456789abcdef", "GEMINI_API_KEY": KEY,
        "OPENAI_API_KEY": KEY, "NOBODYS_API_KEY": KEY, "GITHUB_TOKEN": "t", "LD_PRELOAD": "x",
        "GOOGLE_GEMINI_BASE_URL": "https://evil.example", "NODE_OPTIONS": "--require x",
    }  # fmt: skip
    plan = planned(policy, "gemini", "-p", "hi", **environ)
    assert plan.forbidden_by == []
    assert plan.environ == {"HOME": "/home/u", "GITHUB_TOKEN": "t", **OTHERS["gemini-cli"].sets}
    assert (plan.argv, plan.guarded, plan.kind) == (["-p", "hi"], False, others.CLEANED)
    warning, kept = plan.findings
    assert (warning.rule, warning.severity) == ("RG207", "warning")
    assert "is not guarded: a stored Google login and its settings files decide" in warning.message
    assert (kept.subject, kept.severity) == ("GITHUB_TOKEN", "note")


def test_a_variable_that_the_policy_excepts_is_neither_removed_nor_blanked(
    tmp_path: Path,
) -> None:
    policy = compiled(tmp_path, '[agents.gemini-cli]\nlaunch = "clean"\n')
    policy.exceptions = (PolicyException(subject="env:GEMINI_API_KEY", until=NOW + 1),)
    assert planned(policy, "gemini", GEMINI_API_KEY=KEY).environ["GEMINI_API_KEY"] == KEY


def test_an_exception_has_it_start_without_keys_until_it_ends(policy: CompiledPolicy) -> None:
    policy.exceptions = (PolicyException(subject="agent:gemini-cli", until=NOW),)
    plan = planned(policy, "gemini", GEMINI_API_KEY=KEY)
    assert plan.forbidden_by == []
    assert plan.environ["GEMINI_API_KEY"] == ""
    policy.exceptions = (
        PolicyException(subject="agent:gemini-cli", until=NOW - 1),
        PolicyException(subject="agent:aider", until=NOW + 1),
    )
    assert planned(policy, "gemini").forbidden_by


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_what_only_tells_about_itself_starts(words: list[str], policy: CompiledPolicy) -> None:
    plan = planned(policy, "gemini", *words, GEMINI_API_KEY=KEY)
    assert (plan.findings, plan.environ["GEMINI_API_KEY"]) == ([], "")
    assert planned(policy, "gemini", *words, "-p", "hi").forbidden_by


def test_data_of_agents_that_are_guarded_says_nothing_about_launches() -> None:
    for agent in known_agents.agents():
        if agent.guarded:
            assert (agent.launch, agent.commands, agent.packages) == ("leave", set(), set())
