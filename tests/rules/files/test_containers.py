"""Dockerfiles and devcontainers."""

from __future__ import annotations

import pytest

from guard.findings import Finding
from guard.policy.values import CompiledPolicy
from guard.rules.files import kinds
from guard.rules.files.containers import DETECTOR, instructions
from guard.sources.file import SourceFile


def check(text: str, name: str = "Dockerfile") -> list[Finding]:
    detector = DETECTOR if DETECTOR.wants(name, name) else kinds.DETECTOR
    assert detector.wants(name, name)
    found = detector.check(SourceFile(name, text.encode()), CompiledPolicy())
    return [finding for finding in found if not finding.placeholder]


def test_instructions() -> None:
    text = (
        "# syntax\nFROM a \\\n# comment\n\n  AS b\nRUN <<EOF\none\ntwo\nEOF\n"
        "RUN cat <<-X | sh\n\tthree\n\tX\nCMD d\n"
    )
    assert [(name, rest.value) for name, rest in instructions(text)] == [
        ("FROM", "a    AS b"),
        ("RUN", "one\ntwo"),
        ("RUN", "cat <<-X | sh\n\tthree\n\tX"),
        ("CMD", "d"),
    ]


def test_a_copy_without_a_place_hides_nothing_after_it() -> None:
    text = "FROM a\nCOPY <<EOF\n\ncat <<x\nEOF\nRUN opencode serve\n"
    assert [(f.rule, f.line) for f in check(text)] == [("RG203", 6)]


def test_places() -> None:
    text = 'FROM a\nRUN x && \\\n  opencode run\nCMD ["sh", "-c", "opencode serve"]\n'
    assert [(f.rule, f.line, f.column) for f in check(text)] == [
        ("RG203", 4, 19),
        ("RG206", 3, 3),
    ]


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("ENV OPENAI_API_KEY=$X", ["RG101"]),
        ("ENV A=1 'B'=2 OPENAI_API_KEY=\"$X\"", ["RG101"]),
        ("ENV OPENAI_API_KEY $X", ["RG101"]),
        ("ARG OPENAI_API_KEY=$X", ["RG101"]),
        ("ARG OPENAI_API_KEY", []),
        ("ENV OPENAI_API_KEY=", []),
        ("ENV OPENAI_API_KEY=changeme", []),
        ("ENV OPENAI_API_KEY=$PORTKEY_API_KEY", []),
        ("FROM --platform=linux/amd64 docker.io/ollama/ollama:0.5@sha256:00 AS x", ["RG401"]),
        ("FROM mycorp/ollama-docs", []),
        ("ONBUILD RUN opencode serve", ["RG203"]),
        ('CMD ["sh", "-c", "M=openai/gpt-4o; opencode run -m $M x"]', ["RG201"]),
        ("RUN --mount=type=cache,target=/x opencode serve", ["RG203"]),
        ('CMD ["opencode", "run", "-m", "portkey/x"]', []),
        ('CMD ["broken', []),
    ],
)
def test_lines(line: str, rules: list[str]) -> None:
    assert [f.rule for f in check(line + "\n")] == rules


def test_devcontainer() -> None:
    text = '{"image": "ollama/ollama", "runArgs": ["--env=GROQ_API_KEY=$X", "-e", "A=1"]}'
    assert [f.rule for f in check(text, "devcontainer.json")] == ["RG101", "RG401"]
    assert [f.rule for f in check("{", "devcontainer.json")] == ["RG903"]
