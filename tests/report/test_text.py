"""Findings for people."""

from __future__ import annotations

from guard.check.result import Result
from guard.report.terminal import plain
from guard.report.text import render


def test_one_block_for_each_finding(result: Result) -> None:
    text = plain(render(result, result.root))
    assert "b.sh:1:1: warning [RG206 unnamed-provider] opencode run: names no model" in text
    assert "    fix: name it:\n         -m portkey/gpt-4o\n" in text
    assert "environment: error [RG101 direct-provider-key] OPENAI_API_KEY reaches OpenAI" in text
    assert "big.bin: note [RG903 file-not-checked] not checked: too large" in text
    assert text.endswith("1 excepted by the policy (0.2 s)")


def test_only_colour_is_raw(result: Result) -> None:
    text = render(result, result.root)
    assert "\x1b" not in plain(text)
    assert text.count("\x1b[3") == len(result.findings)
    assert "\x1b]" not in text


def test_paths_are_seen_from_where_one_stands(result: Result) -> None:
    assert "\n../b.sh:1:1: " in render(result, "/work/tree/src")


def test_nothing_found_is_one_line() -> None:
    said = render(Result(files_checked=1), "/")
    assert said == "no findings; 1 file checked (0.0 s)"
    assert render(Result(kind="environment"), "/") == "no findings (0.0 s)"
