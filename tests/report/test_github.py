"""Workflow commands, read back the way the runner reads them."""

from __future__ import annotations

import re

from guard.check.result import Result
from guard.findings import Finding
from guard.report.github import render

COMMAND = re.compile(r"::(?P<command>\w+) (?P<properties>[^:]*)::(?P<message>.*)\Z")


def parsed(line: str) -> tuple[str, dict[str, str], str]:
    """What actions/runner makes of a line (ActionCommand.TryParseV2)."""
    match = COMMAND.match(line)
    assert match is not None, line
    properties = {}
    for pair in match["properties"].split(","):
        key, _, value = pair.partition("=")
        for code, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ",")):
            value = value.replace(code, char)
        properties[key] = value.replace("%25", "%")
    message = match["message"].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    return match["command"], properties, message


def lines(result: Result) -> list[str]:
    return render(result, result.root).split("\n")


def test_one_line_for_each_finding_one_for_each_remark_one_in_sum(result: Result) -> None:
    said = lines(result)
    commands = [line for line in said if COMMAND.match(line)]
    assert len(commands) == len(result.findings) + len(result.remarks)
    assert said[-1] == (
        "routeguard: 3 errors, 1 warning, 1 note; 3 files checked; 1 not; "
        "1 suppressed; 1 in the baseline; 1 excepted by the policy; "
        "1 placeholder passed over (0.2 s)"
    )


def test_a_hostile_path_stays_one_property(result: Result) -> None:
    command, properties, message = parsed(lines(result)[0])
    assert command == "error"
    assert properties == {
        "file": "a dir/50%,x:y\\n\\x1b]0;owned\\x07\\xff.py",
        "line": "3",
        "endLine": "3",
        "col": "5",
        "endColumn": "40",
        "title": "RG111 literal-provider-key",
    }
    # GitHub shows the annotation at its place
    assert message == "a key of Anthropic\nfix: revoke it"


def test_a_call_over_two_lines_has_no_columns(result: Result) -> None:
    command, properties, message = parsed(lines(result)[1])
    assert command == "warning"
    assert properties["line"] == "1"
    assert properties["endLine"] == "2"
    assert "col" not in properties
    assert message.endswith("and 100%\nfix: name it:\n-m portkey/gpt-4o")


def test_a_note_is_a_notice_and_a_variable_has_no_file(result: Result) -> None:
    command, properties, message = parsed(lines(result)[2])
    assert (command, "file" in properties) == ("error", False)
    assert message == "environment: OPENAI_API_KEY reaches OpenAI"
    command, properties, message = parsed(lines(result)[3])
    assert command == "notice"
    assert properties == {"file": "big.bin", "title": "RG903 file-not-checked"}


def test_the_log_lists_the_places_and_runs_nothing_from_them(result: Result) -> None:
    bad = Finding("RG201", "x", "##[error]hi", path="::error::x.sh", line=1, column=1)
    said = lines(result.changed(findings=(*result.findings, bad), fingerprints=("0" * 16,) * 6))
    places = said[said.index("::group::routeguard: where") + 1 : said.index("::endgroup::")]
    assert len(places) == 6 + len(result.remarks)
    assert "- b.sh:1:1: warning: RG206 opencode run: names no model" in "\n".join(places)
    assert places[5] == "- ::error::x.sh:1:1: error: RG201 x: ## [error]hi"
    assert all(line.startswith("- ") for line in places)
    assert "::group::" not in render(Result(), "/")


def test_no_finding_and_no_remark_writes_a_command_of_its_own(result: Result) -> None:
    text = render(result, result.root)
    assert "\x1b" not in text
    assert "\r" not in text
    assert [line for line in text.split("\n") if line.startswith("::error::")] == []


def test_paths_are_seen_from_the_root_that_is_asked_for(result: Result) -> None:
    said = render(result, "/work").split("\n")[1]
    assert parsed(said)[1]["file"] == "tree/b.sh"
