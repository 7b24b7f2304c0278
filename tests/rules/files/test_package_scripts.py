"""The scripts of package manifests."""

from __future__ import annotations

import pytest

from guard.findings import Finding
from guard.policy.values import CompiledPolicy
from guard.rules.files.kinds import DETECTOR
from guard.sources.file import SourceFile


def check(text: str, name: str = "package.json") -> list[Finding]:
    return list(DETECTOR.check(SourceFile(name, text.encode()), CompiledPolicy()))


def test_places_go_through_json_escapes() -> None:
    text = '{"scripts": {"a": "echo \\"x\\" && opencode run -m \\"openai/gpt-4o\\""}}'
    (finding,) = check(text)
    assert (finding.rule, finding.line) == ("RG201", 1)
    assert text[finding.column - 1 :].startswith('-m \\"openai')


def test_other_manifests() -> None:
    assert [f.rule for f in check('{"scripts": {"a": ["opencode serve"]}}', "composer.json")] == [
        "RG203"
    ]
    assert [
        f.rule for f in check('{"tasks": {"a": {"command": "opencode run"}}}', "deno.json")
    ] == ["RG206"]


def test_not_those_of_installed_packages() -> None:
    assert DETECTOR.wants("app/package.json", "package.json")
    assert not DETECTOR.wants("node_modules/x/package.json", "package.json")


def test_a_manifest_that_is_none_is_a_note() -> None:
    assert [f.rule for f in check('{"scripts": ')] == ["RG903"]


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ('{"scripts": {"ai": "ollama launch opencode"}}', ["RG401"]),
        ('{"husky": {"hooks": {"pre-push": "opencode serve"}}}', ["RG203"]),
        ('{"lint-staged": {"*.ts": ["eslint", "opencode run -m openai/x"]}}', ["RG201"]),
        ('{"simple-git-hooks": {"pre-commit": "ollama serve"}}', ["RG401"]),
        ('{"lint-staged": {"*.ts": "prettier"}, "husky": {}}', []),
    ],
)
def test_hooks_in_a_manifest(text: str, rules: list[str]) -> None:
    assert [f.rule for f in check(text)] == rules
