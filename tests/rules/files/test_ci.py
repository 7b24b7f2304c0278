"""CI pipelines: keys handed to steps, calls in steps, images of services."""

from __future__ import annotations

import pytest

from guard.findings import Finding
from guard.policy.values import CompiledPolicy, PolicyException
from guard.rules.files.ci import DETECTOR
from guard.sources.file import SourceFile

WORKFLOW = ".github/workflows/a.yml"


def check(text: str, path: str = WORKFLOW, policy: CompiledPolicy | None = None) -> list[Finding]:
    return list(DETECTOR.check(SourceFile(path, text.encode()), policy or CompiledPolicy()))


@pytest.mark.parametrize(
    "path",
    [
        WORKFLOW,
        "sub/.github/workflows/x.yaml",
        "action.yml",
        ".gitlab-ci.yml",
        ".gitlab/ci/build.yml",
        ".circleci/config.yml",
        "azure-pipelines.yml",
        "azure-pipelines-nightly.yml",
        "bitbucket-pipelines.yml",
        ".buildkite/pipeline.yml",
    ],
)
def test_which_files(path: str) -> None:
    assert DETECTOR.wants(path, path.rpartition("/")[2])


@pytest.mark.parametrize(
    "path", [".github/dependabot.yml", "docs/ci.yml", ".github/workflows/a.md"]
)
def test_which_files_are_none(path: str) -> None:
    assert not DETECTOR.wants(path, path.rpartition("/")[2])


def test_places_in_a_block() -> None:
    text = "jobs:\n  a:\n    steps:\n      - run: |\n          cd é\n          opencode run hi\n"
    (finding,) = check(text)
    assert (finding.rule, finding.line, finding.column) == ("RG206", 6, 11)
    folded = (
        "jobs:\n  a:\n    steps:\n      - run: >-\n          cd é &&\n          opencode serve\n"
    )
    (finding,) = check(folded)
    assert (finding.rule, finding.line, finding.column) == ("RG203", 6, 11)


@pytest.mark.parametrize("level", ["", "    ", "        "])
def test_a_key_at_each_level(level: str) -> None:
    text = f"{level}env:\n{level}  OPENAI_API_KEY: ${{{{ secrets.KEY }}}}\n"
    (finding,) = check(text)
    assert (finding.rule, finding.subject, finding.line) == ("RG112", "OPENAI_API_KEY", 2)


def test_one_finding_for_one_hand_over() -> None:
    text = "jobs:\n  a:\n    steps:\n      - run: x ${{ secrets.OPENAI_API_KEY }}\n"
    assert [(f.rule, f.line, f.column) for f in check(text)] == [("RG112", 4, 20)]
    text = "      - run: OPENAI_API_KEY=${{ secrets.OPENAI_API_KEY }} x\n"
    assert [f.rule for f in check(text)] == ["RG112"]


def test_a_literal_is_a_key_in_a_file() -> None:
    (finding,) = check("env:\n  GROQ_API_KEY: gsk_9f8a7s6d5f4a3s2d1f9a8s7d\n")
    assert finding.rule == "RG101"


def test_the_policy_decides() -> None:
    allowed = PolicyException(subject="env:OPENAI_API_KEY", reason="x", until=4e9)
    text = "env:\n  OPENAI_API_KEY: ${{ secrets.OPENAI_API_KEY }}\n"
    assert check(text, policy=CompiledPolicy(exceptions=(allowed,))) == []


@pytest.mark.parametrize("text", ["env: [\n", "a: b: c\n", "[" * 5000, "\0: x", "%"])
def test_yaml_that_is_none_is_a_note(text: str) -> None:
    assert {f.rule for f in check(text)} <= {"RG903"}


def test_a_bomb_of_anchors_stays_small() -> None:
    lines = ["a0: &a0 {run: opencode run}"]
    lines += [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    assert [f.rule for f in check("\n".join(lines))] == ["RG206"]


@pytest.mark.parametrize(
    ("uses", "secrets", "severities"),
    [
        ("acme/flows/.github/workflows/a.yml@main", "inherit", ["warning"]),
        ("./.github/workflows/a.yml", "inherit", ["note"]),
        ("./.github/workflows/a.yml", '"inherit"', ["note"]),
        ("./.github/workflows/a.yml", "{A: '${{ secrets.PORTKEY_API_KEY }}'}", []),
        ("./.github/workflows/a.yml", "{A: '${{ secrets.OPENAI_API_KEY }}'}", ["error"]),
    ],
)
def test_secrets_that_a_called_workflow_inherits(
    uses: str, secrets: str, severities: list[str]
) -> None:
    text = f"jobs:\n  a:\n    uses: {uses}\n    secrets: {secrets}\n"
    assert [(f.rule, f.severity, f.line) for f in check(text)] == [
        ("RG112", severity, 4) for severity in severities
    ]
