"""The agents' own configuration."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from guard.findings import Finding
from guard.policy.values import CompiledPolicy, GatewayProvider, PolicyException
from guard.rules.agents import others
from guard.rules.agents.opencode import files
from guard.sources.file import SourceFile


def check(path: str, text: str, policy: CompiledPolicy | None = None) -> list[Finding]:
    (detector,) = (
        each.DETECTOR
        for each in (files, others)
        if each.DETECTOR.wants(path, path.rpartition("/")[2])
    )
    return list(detector.check(SourceFile(path, text.encode()), policy or CompiledPolicy()))


def test_places() -> None:
    text = '{\n  "model": "openai/gpt-4o",\n  "plugin": ["x"]\n}\n'
    assert [(f.rule, f.line, f.column, f.end_column) for f in check("opencode.json", text)] == [
        ("RG301", 3, 3, 18),
        ("RG201", 2, 13, 26),
    ]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '"x"', '{"a": 1, "a": 2}', '{"x{env:A}": 1}', "[" * 10_000, '{"a":' * 10_000],
)
def test_what_cannot_be_read_is_an_error(text: str) -> None:
    assert "RG303" in {f.rule for f in check("opencode.json", text)}


def test_the_gateway_of_the_policy_counts() -> None:
    text = '{"provider": {"gw": {"options": {"baseURL": "https://ai.corp.example/v1"}}}}'
    assert [f.rule for f in check("opencode.json", text)] == ["RG302"]
    policy = CompiledPolicy(
        base_url="https://ai.corp.example/v1",
        providers=(GatewayProvider(name="gw"),),
        default_model="gw/x",
    )
    assert check("opencode.json", text, policy) == []


def test_code_that_was_read_can_be_excepted_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, text = ".opencode/plugins/a.ts", "export const A = 1\n"
    Path(path).parent.mkdir(parents=True)
    Path(path).write_text(text)
    absolute = SourceFile(path, b"").absolute
    right = hashlib.sha256(text.encode()).hexdigest()
    for digest, findings in ((right, []), ("0" * 64, ["RG301"]), ("", ["RG301"])):
        allowed = PolicyException(subject=f"file:{absolute}", reason="x", until=4e9, sha256=digest)
        policy = CompiledPolicy(exceptions=(allowed,))
        assert [f.rule for f in check(path, text, policy)] == findings
        # staged, and not what lies on the disk
        assert [f.rule for f in check(path, text + "x", policy)] == ["RG301"]


def test_front_matter_places() -> None:
    text = "---\r\ndescription: é\r\nmodel: openai/gpt-4o\r\n---\r\n"
    (finding,) = check(".opencode/agents/a.md", text)
    assert (finding.rule, finding.line, finding.column) == ("RG201", 3, 8)


def test_codex_profiles() -> None:
    text = '[profiles.x]\nmodel_provider = "ollama"\n'
    assert [(f.rule, f.line) for f in check(".codex/config.toml", text)] == [("RG302", 2)]


@pytest.mark.parametrize(
    "path", ["src/.opencode/notes.txt", "docs/opencode.md", "settings.json", "config.toml"]
)
def test_which_files_are_none(path: str) -> None:
    for each in (files, others):
        assert not each.DETECTOR.wants(path, path.rpartition("/")[2])


@pytest.mark.parametrize(
    ("spec", "rules"),
    [
        ("gitlab-ai-provider", []),
        ("github:someone/provider", ["RG301"]),
        ("git+ssh://host/provider", ["RG301"]),
        ("aisdk:./provider.js", ["RG301"]),
    ],
)
def test_a_provider_package_is_code_unless_it_is_a_published_one(
    spec: str, rules: list[str]
) -> None:
    text = f'{{"provider": {{"portkey": {{"npm": "{spec}"}}}}}}'
    assert [f.rule for f in check("opencode.json", text)] == rules
