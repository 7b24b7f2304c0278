"""One line for each finding, as editors read them from compilers."""

from __future__ import annotations

import re

from guard.check.result import Result
from guard.report.concise import render

GCC = re.compile(r"(?P<path>.+?):(?P<line>\d+):(?P<column>\d+): (?P<level>\w+): (?P<message>.+)")


def test_one_line_each_and_nothing_else(result: Result) -> None:
    said = render(result, result.root).split("\n")
    assert len(said) == len(result.findings) + len(result.remarks)
    match = GCC.fullmatch(said[1])
    assert match is not None
    assert match.group("path", "line", "column", "level") == ("b.sh", "1", "1", "warning")
    assert match["message"].startswith("RG206 opencode run: names no model")
    assert said[2] == "environment: error: RG101 OPENAI_API_KEY reaches OpenAI"
    assert said[3] == "big.bin: note: RG903 not checked: too large"
    assert all(line.isprintable() for line in said)
    assert render(Result(), "/") == ""


def test_paths_are_seen_from_where_one_stands(result: Result) -> None:
    assert "\n../b.sh:1:1: " in render(result, "/work/tree/src")
