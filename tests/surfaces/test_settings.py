"""The table of test_configs.py for the files of Claude Code and Codex.

What a launch refuses, `check` finds: by the same rule, in the same words. A row that differs says
why.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from config_texts import MALFORMED, QUICK, READABLE, Project, config, texts
from hypothesis import example, given
from hypothesis import strategies as st

from guard.agents.claude_code import planner as claude_code
from guard.agents.claude_code.adapter import AGENT as CLAUDE
from guard.agents.claude_code.settings import HELPERS
from guard.agents.codex import planner as codex
from guard.agents.codex import settings as pinned
from guard.agents.codex.adapter import AGENT as CODEX
from guard.catalog import entries
from guard.check import engine
from guard.files import toml
from guard.findings import READ_BY_AGENT
from guard.policy.values import AgentRoute, CompiledPolicy
from guard.sources import tree

Said = set[tuple[str, str, str]]
"""(rule, severity, message and fix) of each refusal."""

POLICY = CompiledPolicy(
    routes=(AgentRoute("claude-code", "anth"), AgentRoute("codex", "oai")),
    variables={name: (known.kind, known.owner) for name, known in entries.variables().items()},
)
REFUSALS = ("RG202", "RG301", "RG302", "RG303")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path.resolve())


def environ_of(project: Project) -> dict[str, str]:
    return {**project.environ, "PATH": "/usr/bin:/bin", "PORTKEY_API_KEY": "k"}


def by_check(project: Project, *rules: str) -> Said:
    found = tree.locate([str(project.root)], str(project.root)).collect()
    outcome = engine.check(found, engine.Settings(POLICY))
    return {
        (f.rule, f.severity, f"{f.message}\n{f.fix}") for f in outcome.findings if f.rule in rules
    }


def by_codex(project: Project) -> Said:
    """What a launch of Codex refuses whose CODEX_HOME, project and administrator are here."""
    environ = {**environ_of(project), "CODEX_HOME": str(project.root / ".codex")}
    here = str(project.root)
    facts = codex.survey(["exec", "hi"], environ, "/codex", here, write=False, root=here)
    plan = CODEX.plan(POLICY, facts, "/codex", time.time())
    return {
        (f.rule, f.severity, f"{f.message}\n{f.fix}".replace(f"{here}/", ""))
        for f in plan.findings
        if f.rule in REFUSALS
    }


def by_claude_code(project: Project, file: str) -> Said:
    """What a launch of Claude Code refuses that is given `file` as its settings."""
    typed = ["--settings", file, "-p", "hi"]
    here = str(project.root)
    facts = claude_code.survey(typed, environ_of(project), "/claude", here, root=f"{here}/none")
    plan = CLAUDE.plan(POLICY, facts, "/claude", time.time())
    found = [f for f in plan.findings if f.rule in ("RG302", "RG303")]
    return {(f.rule, f.severity, f"{f.message}\n{f.fix}") for f in found}


# Claude Code --------------------------------------------------------------------------------------

CLAUDE_CODE = (".claude/settings.json", ".claude/settings.local.json")
OWN = ("{env:", "a key is only known", "which this config", "larger than")
"""What only opencode makes of a text, and what takes long and is asked of it."""

TEXTS = [(text, why) for text, why in MALFORMED if not any(mark in why for mark in OWN)]
NOT_BLANK = [text for text in READABLE if text.strip(" \r\n\t\ufeff")]


def alike(project: Project, file: str) -> list[str]:
    """Why `file` cannot be read: the option is named by a launch, the file by `check`."""
    launch = [said.partition("\n")[0] for rule, _, said in by_claude_code(project, file)]
    check = [said.partition("\n")[0] for rule, _, said in by_check(project, "RG303")]
    whys = [said.removeprefix("--settings: ") for said in launch]
    assert [said.removeprefix(READ_BY_AGENT) for said in check] == whys
    return whys


@pytest.mark.parametrize(("text", "why"), TEXTS)
def test_settings_that_cannot_be_read(project: Project, text: str | bytes, why: str) -> None:
    for file in CLAUDE_CODE:
        project.put(config(text, file))
        (said,) = alike(project, file)
        assert why in said
        (project.root / file).unlink()


@pytest.mark.parametrize("text", NOT_BLANK)
def test_settings_that_can_be_read(project: Project, text: str) -> None:
    project.put(config(text, CLAUDE_CODE[0]))
    assert alike(project, CLAUDE_CODE[0]) == []


@given(text=texts())
@example(text='{"x":1,"x":2}')
@example(text="[]")
@QUICK
def test_no_settings_are_answered_in_two_ways(project: Project, text: str) -> None:
    project.put(config(text, CLAUDE_CODE[0]))
    if text.strip(" \r\n\t\ufeff"):
        alike(project, CLAUDE_CODE[0])


@pytest.mark.parametrize("helper", HELPERS)
def test_a_helper_is_left_out_and_found(project: Project, helper: str) -> None:
    project.put(config(f'{{"{helper}":"/bin/sh -c x"}}', CLAUDE_CODE[1]))
    ((rule, severity, said),) = by_claude_code(project, CLAUDE_CODE[1])
    ((check, found, words),) = by_check(project, "RG302", "RG303")
    assert (check, found) == (rule, severity) == ("RG302", "warning")
    # what the launch did with it is told by the launch alone
    assert said.partition(": ")[2] == words.partition(": ")[2]


# Codex --------------------------------------------------------------------------------------------

NOT_TOML = "is not valid TOML at line 1"
DEEP = "is nested too deeply"
TOML: list[tuple[str | bytes, str]] = [
    ("x", NOT_TOML),
    ("x =", NOT_TOML),
    ("x = 01", NOT_TOML),
    ("x = foo", NOT_TOML),
    ('x = "\\q"', NOT_TOML),
    ('x = "\t\0"', NOT_TOML),
    ("\0", NOT_TOML),
    ("x = 1\nx = 2", "is not valid TOML at line 2"),
    ("[a]\n[a]", "is not valid TOML at line 2"),
    ("x = 1\r\n\r\ny = ", "is not valid TOML at line 3"),
    ('x = """\n\n', "is not valid TOML at line 3"),
    ('{"x": 1}', NOT_TOML),
    ("\ufeff\ufeffx = 1", NOT_TOML),
    ('"\\ud800" = 1', NOT_TOML),
    (b'x = "\xff"', "is not UTF-8"),
    ("x = 1".encode("utf-16"), "is not UTF-8"),
    ("x = 1".encode("utf-16-le"), NOT_TOML),
    (".".join("a" * 60) + " = 1", DEEP),
    ("[" + ".".join("a" * 60) + "]", DEEP),
    (".".join(["'a'"] * 40_000) + " = 1", "is larger than 131072 bytes"),
    ("x = " + "[" * 60 + "]" * 60, DEEP),
    ("x = " + "[" * 5000 + "]" * 5000, DEEP),
    ("x = " + "{a=" * 60 + "1" + "}" * 60, DEEP),
    (b"x = 1\n" + b"#\n" * toml.MAX_BYTES, "is larger than 131072 bytes"),
]


@pytest.mark.parametrize(("text", "why"), TOML)
@pytest.mark.parametrize("file", [".codex/config.toml", "etc/codex/managed_config.toml"])
def test_toml_that_cannot_be_read(project: Project, text: str | bytes, why: str, file: str) -> None:
    project.put(config(text, file))
    launch, check = by_codex(project), by_check(project, *REFUSALS)
    assert launch == check == {("RG303", "error", f"{READ_BY_AGENT}{why}\nrepair it or remove it")}


@pytest.mark.parametrize(
    "text",
    ["", "\ufeffx = 1", "x = 1\r\ny = 2\r\n", ".".join("a" * 49) + " = 1", "#\n" * 60_000,
     "".join(f"a.b{at} = 1\n" for at in range(1_500))],
)  # fmt: skip
def test_toml_that_can_be_read(project: Project, text: str) -> None:
    project.put(config(text, ".codex/config.toml"))
    assert by_codex(project) == by_check(project, *REFUSALS) == set()


@given(raw=st.binary(max_size=30), name=st.sampled_from(["x = '{}'\n", "{}", "[t]\n{} = 1"]))
@example(raw=b"\xef\xbb\xbf", name="{}")
@QUICK
def test_no_toml_is_answered_in_two_ways(project: Project, raw: bytes, name: str) -> None:
    head, tail = name.encode().split(b"{}")
    project.put({".codex/config.toml": head + raw + tail})
    assert by_codex(project) == by_check(project, "RG303")


DOTENV = [
    # text, the names that are refused
    ("OPENAI_BASE_URL=https://x.example/v1", "OPENAI_BASE_URL"),
    ("export OPENAI_API_KEY='sk-x'\nA=1", "OPENAI_API_KEY"),
    ("PATH=/tmp/x", "PATH"),
    ("HOME=/x\nXDG_CONFIG_HOME=/y", "HOME, XDG_CONFIG_HOME"),
    ("NO_PROXY=*\nall_proxy=http://p.example", "NO_PROXY, all_proxy"),
    ("HTTPS_PROXY=http://proxy.example:3128", "HTTPS_PROXY"),
    ("CODEX_CA_CERTIFICATE=/x\nNODE_OPTIONS=--require=/x.js", "NODE_OPTIONS"),
    ("ROUTEGUARD_KEY_1=x", "ROUTEGUARD_KEY_1"),
    ("PORTKEY_API_KEY=x", "PORTKEY_API_KEY"),
    ("LD_PRELOAD: /x.so", "LD_PRELOAD"),
    ("SSLKEYLOGFILE=/tmp/x", "SSLKEYLOGFILE"),
    ("CODEX_HOME=/x\nFOO=1", ""),
]


@pytest.mark.parametrize(("text", "names"), DOTENV)
def test_a_dotenv_file_of_codex(project: Project, text: str, names: str) -> None:
    project.put(config(text, ".codex/.env"))
    # what a variable does by itself is in test_variables.py, under its own rule
    launch, check = by_codex(project), by_check(project, "RG302", "RG303")
    assert launch == check
    fix = f"take {names} out of .codex/.env"
    message = f".codex/.env sets {names}, over what a launch starts Codex with\n{fix}"
    assert launch == ({("RG302", "error", message)} if names else set())


def test_a_dotenv_file_that_is_too_large(project: Project) -> None:
    project.put({".codex/.env": (b"#" * 999 + b"\n") * 140})
    message = f"{READ_BY_AGENT}is larger than 131072 bytes\nrepair it or remove it"
    assert by_codex(project) == by_check(project, *REFUSALS) == {("RG303", "error", message)}


def test_other_machines(project: Project) -> None:
    project.put({".codex/environments.toml": b"\n[x]\n"})
    launch = by_codex(project)
    assert launch == by_check(project, *REFUSALS)
    assert [rule for rule, _, _ in launch] == ["RG202"]


MANAGED = [
    ('model_provider = "x"', ["model_provider"]),
    ("[features]\nplugins = true\nhooks = false", ["features.plugins"]),
    ('openai_base_url = "https://x.example"', ["openai_base_url"]),
    ('[otel]\nexporter = {otlp-http = {endpoint = "https://x.example"}}', ["otel"]),
    ("otel.log_user_prompt = true", ["otel"]),
    ('notify = ["sh", "-c", "x"]', ["notify"]),
    ("analytics = 1\nfeedback.enabled = true", ["analytics.enabled", "feedback.enabled"]),
    ('cli_auth_credentials_store = "file"', ["cli_auth_credentials_store"]),
    ('model = "x"\n[mcp_servers.a]\nurl = "https://x.example"\n[features]\napps = false', []),
]


REQUIRED = [
    ("[features]\nhooks = true\napps = false", ["features.hooks"]),
    ("[feature_requirements]\nplugins = true", ["features.plugins"]),
    ("allow_managed_hooks_only = true\n[features]\nhooks = true", []),
    ('[otel]\nexporter = {otlp-http = {endpoint = "https://x.example"}}', ["otel"]),
]


@pytest.mark.parametrize(
    ("name", "text", "keys"),
    [
        *(("managed_config.toml", *row) for row in MANAGED),
        *(("requirements.toml", *row) for row in REQUIRED),
    ],
)
def test_an_administrators_file_of_codex(
    project: Project, name: str, text: str, keys: list[str]
) -> None:
    file = f"etc/codex/{name}"
    project.put(config(text, file))
    wanted = {
        (
            "RG302",
            "error",
            f"{file} sets {key}, over what holds the route\n"
            f"an administrator can take {key} out of it",
        )
        for key in keys
    }
    launch = {said for said in by_codex(project) if said[1] == "error"}
    assert launch == wanted
    assert wanted <= by_check(project, "RG302")


def test_every_key_that_a_launch_pins_is_judged_of_an_administrators_file() -> None:
    assert {"model_provider", *pinned.PINNED} <= {key for text, keys in MANAGED for key in keys} | {
        "allow_login_shell",  # may be an administrator's choice: moves no route
        "chatgpt_base_url",
        "check_for_update_on_startup",
    }
