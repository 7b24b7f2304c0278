"""Shell text: the launch's words at the right place, and what a policy changes."""

from __future__ import annotations

import pytest

from guard.findings import Finding
from guard.policy.values import CompiledPolicy, GatewayProvider, PolicyException
from guard.rules.files.shell import DETECTOR, shebang
from guard.sources.file import SourceFile

FOREVER = 4e9


def check(text: str, name: str = "a.sh", policy: CompiledPolicy | None = None) -> list[Finding]:
    file = SourceFile(name, text.encode("utf-8", "surrogateescape"))
    return list(DETECTOR.check(file, policy or CompiledPolicy()))


def places(findings: list[Finding]) -> list[tuple[str, int, int, int]]:
    return [(f.rule, f.line, f.column, f.end_column) for f in findings]


def test_a_finding_is_at_the_word_it_is_about() -> None:
    assert places(check("é=1\n  opencode run -m anthropic/claude hi\n")) == [("RG201", 2, 16, 35)]
    assert places(check("opencode  serve --port 1\n")) == [("RG203", 1, 1, 16)]
    assert places(check("bash -c 'opencode run'\n")) == [("RG206", 1, 10, 18)]
    assert places(check("opencode run --provider openai --model gpt-4o\n")) == [
        ("RG201", 1, 14, 46)
    ]
    assert places(check("x; export OPENAI_API_KEY=$(cat k)\n")) == [("RG101", 1, 11, 34)]


@pytest.mark.parametrize("name", ["a.sh", "a.zsh", "a.bat", "a.ps1"])
def test_set_without_a_word_hides_nothing(name: str) -> None:
    assert [f.rule for f in check("opencode serve\nset\nopencode serve\n", name)] == ["RG203"] * 2


def test_the_words_are_those_of_a_launch() -> None:
    (finding,) = check("opencode run -m anthropic/claude hi\n")
    assert finding.subject == "anthropic"
    assert finding.message == "anthropic would be reached directly, not through the gateway"
    assert finding.fix.endswith("opencode run --model=portkey/claude hi")
    assert finding.severity == "error"
    (finding,) = check("opencode run hi\n")
    assert (finding.rule, finding.severity) == ("RG206", "warning")
    assert finding.fix == "write -m portkey/gpt-4o"


def test_the_policy_decides() -> None:
    policy = CompiledPolicy(
        providers=(GatewayProvider(name="gw"),),
        default_model="gw/gpt-5",
        servers="allow",
        foreign_provider="reroute",
        reroute={"anthropic": "ant"},
        base_url="http://127.0.0.1:8787/v1",
        exceptions=(
            PolicyException(subject="env:OPENAI_API_KEY", reason="x", until=FOREVER),
            PolicyException(subject="server:http://a:1", reason="x", until=FOREVER),
            PolicyException(subject="port:11434", reason="x", until=FOREVER),
        ),
    )
    silent = (
        "opencode run -m gw/gpt-5 x\nopencode serve\nopencode attach http://a:1/\n"
        "export OPENAI_API_KEY=$(x)\nollama serve\nnpx @portkey-ai/gateway\n"
    )
    assert check(silent, policy=policy) == []
    assert {f.rule for f in check(silent)} == {"RG206", "RG203", "RG202", "RG101", "RG401"}
    (near,) = check("opencode run -m portkey/gpt-5 x\n", policy=policy)
    assert near.rule == "RG201"
    (rerouted,) = check("opencode run -m anthropic/claude x\n", policy=policy)
    assert rerouted.rule == "RG206"


def test_no_value_is_shown() -> None:
    value = "sk-ant-api03-4f6s8d7f6s87df6s8d7f6"
    for finding in check(f"export ANTHROPIC_API_KEY={value}\nOPENAI_API_KEY={value} x\n"):
        assert value not in f"{finding.subject}{finding.message}{finding.fix}{finding.where}"


@pytest.mark.parametrize(
    ("line", "shell"),
    [
        ("#!/bin/sh", "sh"),
        ("#! /usr/bin/env bash", "bash"),
        ("#!/usr/bin/env -S A=1 zsh -f", "zsh"),
        ("#!/opt/bin/fish", "fish"),
        ("#!/usr/bin/env python3", ""),
        ("#!", ""),
        ("echo", ""),
    ],
)
def test_shebangs(line: str, shell: str) -> None:
    assert shebang(line + "\nopencode run\n") == shell


@pytest.mark.parametrize(
    "name", ["a.sh", "b.bash", ".zshrc", "Makefile", "GNUmakefile", "x.mk", "justfile", "run"]
)
def test_which_files(name: str) -> None:
    assert DETECTOR.wants(f"x/{name}", name)
    assert not DETECTOR.wants(f"x/{name}.md", f"{name}.md")


def test_make_gives_its_own_references_to_no_shell() -> None:
    text = "M=$(shell date)\nrun:\n\t@opencode run -m $(M)/x && echo $$(opencode serve)\n"
    assert places(check(text, "Makefile")) == [("RG203", 3, 37, 51)]
    assert places(check("a: b ; opencode run\n", "Makefile")) == [("RG206", 1, 8, 16)]


def test_fish_sets_and_base_urls() -> None:
    text = "set -gx OPENAI_BASE_URL http://localhost:4000/v1\nset -e GROQ_API_KEY\n"
    assert [(f.rule, f.line) for f in check(text, "config.fish")] == [("RG103", 1)]


@pytest.mark.parametrize(
    "piece", ["a=(", "<<E\n", "$(", "f() ", "\0", "\udcff", "if ", "{{", "\t\\\n"]
)
@pytest.mark.parametrize("name", ["a.sh", "Makefile", "justfile", "config.fish"])
def test_any_text_gives_findings_or_a_note(name: str, piece: str) -> None:
    for finding in check(piece * 3_000 + "opencode", name):
        assert finding.line >= 1


def test_a_text_too_long_is_an_error() -> None:
    for name in ("a.sh", "config.fish"):
        # what is padded could hide what moves the route
        (error,) = check("opencode run\n" * 60_000, name)
        assert (error.rule, error.severity) == ("RG903", "error")
        assert error.fix.endswith(f"\nrouteguard check --exclude {error.path}")


@pytest.mark.parametrize("name", ["a.sh", "config.fish"])
def test_commands_beyond_those_that_are_looked_at_are_an_error(name: str) -> None:
    route = "opencode run -m anthropic/claude hi\n"
    found = check(route + ":\n" * 20_000 + route, name)
    assert [(f.rule, f.severity, f.line) for f in found] == [
        ("RG903", "error", 20_001),
        ("RG201", "error", 1),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "eval " * 12 + "opencode serve",
        "sudo " * 40 + "opencode serve",
        "".join("\\" * (2**depth - 1) + "`echo " for depth in range(10)) + "opencode serve",
    ],
)
def test_what_is_started_by_too_many_others_is_an_error(text: str) -> None:
    (error,) = check(text)
    assert (error.rule, error.severity) == ("RG903", "error")
    assert "nested too deeply" in error.message
