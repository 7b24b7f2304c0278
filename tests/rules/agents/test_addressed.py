"""Calls of agents that are routed by an address, in files: the launch's words, and the gateway."""

from __future__ import annotations

import pytest

from guard.agents.claude_code.adapter import AGENT as CLAUDE
from guard.agents.codex.adapter import AGENT as CODEX
from guard.findings import Finding
from guard.policy.values import CompiledPolicy
from guard.rules.detectors import DETECTORS
from guard.sources.file import SourceFile


def check(path: str, text: str, policy: CompiledPolicy | None = None) -> list[Finding]:
    file = SourceFile(path, text.encode())
    return [
        finding
        for detector in DETECTORS
        if detector.wants(file.path, file.name)
        for finding in detector.check(file, policy or CompiledPolicy())
    ]


def found(path: str, text: str) -> list[str]:
    return [f"{f.rule} {f.severity} {f.line}:{f.column}" for f in check(path, text)]


CALLS = [
    "claude -p hi",
    "claude",
    "exec claude --model opus 'fix it'",
    "npx -y @anthropic-ai/claude-code -p hi",
    "timeout 60 /usr/local/bin/claude --print hi",
    "AGENT=claude; $AGENT -p hi",
    "bash -c 'claude -p hi'",
]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_where_no_gateway_is_named_is_left_to_chance(call: str) -> None:
    (finding,) = check("a.sh", call + "\n")
    assert (finding.rule, finding.severity, finding.subject) == ("RG206", "warning", "claude")
    assert "api.anthropic.com" in finding.message
    assert "ANTHROPIC_BASE_URL=https://api.portkey.ai " in finding.fix
    assert check("a.sh", f"# set ANTHROPIC_BASE_URL\n{call}\n") != []


@pytest.mark.parametrize(
    ("path", "text", "lines"),
    [
        (
            ".github/workflows/a.yml",
            "jobs:\n  a:\n    env:\n      ANTHROPIC_BASE_URL: https://api.portkey.ai\n    steps:\n"
            "    - run: claude -p hi\n  b:\n    steps:\n    - run: claude -p hi\n",
            ["9:12"],
        ),
        (
            "Dockerfile",
            "FROM x AS a\nENV ANTHROPIC_BASE_URL=https://api.portkey.ai\nRUN claude -p hi\n"
            "FROM a\nRUN claude -p hi\nFROM x\nRUN claude -p hi\n",
            ["7:5"],
        ),
    ],
)
def test_an_address_of_another_job_or_stage_does_not_count(
    path: str, text: str, lines: list[str]
) -> None:
    assert found(path, text) == [f"RG206 warning {place}" for place in lines]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "gateway",
    ["export ANTHROPIC_BASE_URL=https://api.portkey.ai\n", "BASE=https://api.portkey.ai/v1\n"],
)
def test_a_call_beside_the_gateway_is_none(call: str, gateway: str) -> None:
    assert check("a.sh", gateway + call + "\n") == []


@pytest.mark.parametrize(
    "call",
    [
        "claude --version",
        "claude mcp list",
        "claude doctor",
        'claude "$@"',
        "npm install -g @anthropic-ai/claude-code",
        "echo claude -p hi",
        "which claude",
        "docker run claude",
    ],
)
def test_what_asks_no_model_is_none(call: str) -> None:
    assert check("a.sh", call + "\n") == []


@pytest.mark.parametrize(
    "words",
    [
        ["--bg", "-p", "hi"],
        ["--cloud"],
        ["--plugin-dir=x", "-p", "hi"],
        ["--managed-settings", "{}"],
        ["remote-control"],
        ["auth", "login"],
        ["--mcp-config", "x.json", "-p", "hi"],
        ["--no-such-option"],
    ],
)
def test_what_a_launch_refuses_is_said_in_its_words(words: list[str]) -> None:
    refused = CLAUDE.judge_arguments(CLAUDE.read(words), CompiledPolicy(), 0)
    assert refused != []
    text = "export ANTHROPIC_BASE_URL=https://api.portkey.ai\nclaude " + " ".join(words) + "\n"
    said = [(f.rule, f.subject, f.message, f.fix, f.severity) for f in check("a.sh", text)]
    assert said == [(f.rule, f.subject, f.message, f.fix, f.severity) for f in refused]


def test_settings_in_a_word_are_read_as_their_file() -> None:
    url = '{"env": {"ANTHROPIC_BASE_URL": "https://llm.acme.example"}}'
    for call in (f"claude --settings '{url}' -p hi", f"claude --settings='{url}' -p hi"):
        assert [f.rule for f in check("a.sh", call + "\n")] == ["RG103"]


def test_steps_of_a_workflow() -> None:
    text = (
        "jobs:\n  a:\n    steps:\n    - run: claude -p hi\n"
        "    - uses: anthropics/claude-code-action@v1\n"
    )
    assert sorted(found(".github/workflows/a.yml", text)) == [
        "RG206 warning 4:12",
        "RG206 warning 5:13",
    ]
    gateway = "env:\n  ANTHROPIC_BASE_URL: https://api.portkey.ai\n"
    assert check(".github/workflows/a.yml", gateway + text) == []


def test_an_agent_that_the_policy_leaves_alone() -> None:
    policy = CompiledPolicy(unguarded=("claude-code", "opencode"))
    text = "claude --bg\nopencode run -m openai/x\n"
    assert check("a.sh", text, policy) == []
    assert len(check("a.sh", text)) == 2


@pytest.mark.parametrize(
    ("call", "rules"),
    [
        ("codex exec hi", ["RG206"]),
        ("npx @openai/codex exec --json hi", ["RG206"]),
        ("codex e -m @slug/gpt hi", ["RG206"]),
        ("codex exec --oss hi", ["RG201"]),
        ("codex --remote ws://a hi", ["RG202"]),
        ("codex app-server", ["RG203"]),
        ("codex login", ["RG202"]),
        ("codex mcp list", []),
        ("codex --version", []),
        ('codex exec "$@"', []),
        (
            "codex exec -c 'model_provider=\"x\"' "
            '-c \'model_providers.x={name="P", base_url="https://api.portkey.ai/v1"}\' hi',
            [],
        ),
        (
            "codex exec -c 'model_provider=\"x\"' "
            '-c \'model_providers.x={name="P", base_url="https://llm.acme.example/v1"}\' hi',
            ["RG302"],
        ),
    ],
)
def test_codex(call: str, rules: list[str]) -> None:
    assert [f.rule for f in check("a.sh", call + "\n")] == rules


def test_what_a_launch_of_codex_refuses_is_said_in_its_words() -> None:
    for words in (["exec", "--oss", "hi"], ["app-server"], ["login"], ["--remote", "ws://a", "x"]):
        refused = CODEX.judge_arguments(CODEX.read(words), CompiledPolicy(), 0)
        text = "export X=https://api.portkey.ai/v1\ncodex " + " ".join(words) + "\n"
        said = [(f.rule, f.subject, f.message, f.fix) for f in check("a.sh", text)]
        assert said == [(f.rule, f.subject, f.message, f.fix) for f in refused] != []


def test_the_action_of_codex() -> None:
    text = "jobs:\n  a:\n    steps:\n    - uses: openai/codex-action@v1\n"
    assert found(".github/workflows/a.yml", text) == ["RG206 warning 4:13"]
