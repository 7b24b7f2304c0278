"""Findings for people."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.check.result import Result, unchecked
from guard.findings import Excerpt, Finding
from guard.report.terminal import columns_of, plain
from guard.report.text import render


def calls(*lines: int, path: str = "a.sh", message: str = "no", **fields: str) -> list[Finding]:
    text = 'opencode run -m openai/gpt-5 "hi"'
    return [
        Finding("RG201", "m", f"m: {message}", path=path, line=n, column=14, end_line=n,
                end_column=29, excerpt=Excerpt(text, 13, 28), **fields)
        for n in lines
    ]  # fmt: skip


def said(*findings: Finding, width: int = 0, whole: bool = False) -> str:
    result = Result(findings=findings, fingerprints=("0" * 16,) * len(findings), root="/r")
    return plain(render(result, "/r", width=width, whole=whole))


def test_each_finding_with_its_place_and_fix(result: Result) -> None:
    text = plain(render(result, result.root, whole=True))
    assert "b.sh:1:1: warning [RG206 unnamed-provider] opencode run: names no model" in text
    assert "    fix: name it:\n         -m portkey/gpt-4o\n" in text
    assert "environment: error [RG101 direct-provider-key] OPENAI_API_KEY reaches OpenAI" in text
    assert "big.bin: note [RG903 file-not-checked] not checked: too large" in text
    assert "1 placeholder passed over (0.2 s)\nnext: `routeguard rules " in text


def test_the_line_with_its_place_marked(result: Result) -> None:
    lines = plain(render(result, result.root)).split("\n")
    assert lines[1] == '     3 |     key = "sk****AA"  # 模型'
    assert lines[2] == "       |            ^^^^^^^^"


def test_one_rule_in_one_file_stands_together() -> None:
    other = Finding("RG203", "serve", "a server", path="a.sh", line=2, column=1)
    first, second = calls(1, 3, fix="use portkey")
    text = said(first, other, second)
    assert text.count("RG201 foreign-provider") == 1
    assert text.count("fix: use portkey") == 1
    assert text.index("     3 | opencode") < text.index("RG203")
    # what differs is said at the line it is about
    (third,) = calls(5, message="other")
    assert "^^^^^^^^^^^^^^^ m: other\n" in said(first, third)


def test_a_fix_is_written_once() -> None:
    text = said(*calls(1, fix="use portkey"), *calls(1, path="b.sh", fix="use portkey"))
    assert text.count("fix: use portkey") == 1
    assert text.count("RG201 foreign-provider]") == 2
    many = [finding for n in range(40) for finding in calls(n + 1, fix=f"use portkey/{n}")]
    assert said(*many).count("fix: ") == 3
    assert "and 37 more like these" in said(*many)


def test_what_has_no_line_keeps_its_fix_beside_it() -> None:
    names = ("A_KEY", "B_KEY")
    text = said(
        *(Finding("RG101", n, f"{n} leaves", where="environment", fix=f"unset {n}") for n in names)
    )
    lines = [line.strip() for line in text.split("\n")[:4]]
    assert [line.split(" ")[0] for line in lines] == ["environment:", "fix:"] * 2
    assert [line.split(" ")[-1] for line in lines] == ["leaves", "A_KEY", "leaves", "B_KEY"]


def test_many_end_with_a_table_and_what_helps() -> None:
    few, many = said(*calls(1, 2)), said(*calls(1, 2, 3, 4), *calls(1, path="b.sh"))
    assert "IN FILES" not in few
    assert few.endswith("next: `routeguard rules RG201` explains it")
    assert "RG201  foreign-provider  error      5         2" in many
    for word in ("--write-baseline", "--exclude GLOB", "--format concise", "rules RG201"):
        assert word in many.split("\n")[-1]


def test_what_no_baseline_holds_is_not_said_to_wait() -> None:
    unread = [unchecked(f"{n}.sh", "larger than 8 MiB", severity="error") for n in range(5)]
    last = said(*unread).split("\n")[-1]
    assert "--exclude GLOB" in last
    assert "--write-baseline" not in last


def test_what_lies_in_tests_is_one_line_a_folder() -> None:
    product = calls(1)
    tests = calls(1, 2, path="tests/a.sh", context="tests/", severity="warning")
    web = calls(9, path="web/examples/x", context="web/examples/", severity="note")
    key = calls(7, path="tests/k.py", context="tests/")
    text = said(*product, *tests, *web, *key)
    assert "2 in tests/: `--all` shows them\n1 in web/examples/: `--all` shows them\n" in text
    assert "tests/a.sh" not in text
    # an error is shown wherever it lies, and everything counts
    assert "tests/k.py:7:14: error" in text
    assert "2 errors, 2 warnings, 1 note" in text
    everything = said(*product, *tests, *web, *key, whole=True)
    assert "tests/a.sh:1:14: warning" in everything
    assert "`--all`" not in everything


@pytest.mark.parametrize("width", [20, 60, 80, 200])
@given(
    st.text(st.sampled_from("ab 模\u0301\"='"), max_size=900),
    st.integers(0, 899),
    st.integers(0, 300),
)
@example("\u0301", 0, 1)
def test_a_line_fits_and_its_mark_is_in_it(width: int, line: str, start: int, size: int) -> None:
    start = min(start, len(line))
    end = min(start + size, len(line))
    finding = Finding(
        "RG111", "k", "k", path="a", line=1, column=1, excerpt=Excerpt(line, start, end)
    )
    lines = said(finding, width=width).split("\n")
    source = [shown for shown in lines if shown.startswith(("     1 | ", "       | "))]
    assert len(source) == (2 if line.strip() else 0)
    assert all(columns_of(shown) <= max(width, 29) + 1 for shown in source)
    if source and line[start:end].strip():
        text, mark = source[0][9:], source[1][9:]
        at = len(mark) - len(mark.lstrip(" "))
        # an accent alone takes no column
        assert at < max(columns_of(text), 1)


def test_what_was_read_and_passed_over(result: Result) -> None:
    said = plain(render(result, result.root)).split("\n\n")[-2].split("\n")
    assert said[0] == "READ         3 files, 5 MiB"
    assert said[1] == "PASSED OVER  3 binary"
    assert said[2].endswith("1 odd\\x1b]0;owned\\x07")
    assert said[-1] == "TIME         0.12 s to list, 0.50 s to read and judge"


def test_only_colour_is_raw(result: Result) -> None:
    text = render(result, result.root, whole=True)
    assert "\x1b" not in plain(text)
    assert "\x1b]" not in text


def test_paths_are_seen_from_where_one_stands(result: Result) -> None:
    assert "\n../b.sh:1:1: " in plain(render(result, "/work/tree/src", whole=True))


def test_nothing_found_is_one_line() -> None:
    text = render(Result(files_checked=1), "/")
    assert text == "no findings; 1 file checked (0.0 s)"
    assert render(Result(kind="environment"), "/") == "no findings (0.0 s)"
