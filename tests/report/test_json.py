"""The JSON document and its schema: the contract with programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from guard.check.result import Result
from guard.report.json import render

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "check-report.schema.json").read_text(encoding="utf-8")
)


def document(result: Result) -> dict:
    return json.loads(render(result, result.root))


def test_the_document_is_what_the_schema_says(result: Result) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(document(result))
    Draft202012Validator(SCHEMA).validate(document(Result(root="/x", kind="environment")))


def test_the_schema_refuses_what_is_not_the_document(result: Result) -> None:
    for key in document(result):
        broken = document(result)
        del broken[key]
        with pytest.raises(ValidationError):
            Draft202012Validator(SCHEMA).validate(broken)
    broken = document(result)
    broken["findings"][0]["severity"] = "fatal"
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMA).validate(broken)


def test_every_key_is_in_the_schema(result: Result) -> None:
    said = document(result)
    assert set(said) == set(SCHEMA["properties"])
    assert set(said["summary"]) == set(SCHEMA["properties"]["summary"]["properties"])
    assert set(said["suppressed"][0]) == set(SCHEMA["$defs"]["finding"]["properties"])
    assert set(said["findings"][0]) - set(said["suppressed"][0]) == {"fingerprint"}


def test_version_1_has_these_keys(result: Result) -> None:
    """Pinned: a key that goes, or changes its meaning, is another schema_version."""
    said = document(result)
    assert said["schema_version"] == 1
    assert said["summary"] == {
        "errors": 3,
        "warnings": 1,
        "notes": 1,
        "suppressed": 1,
        "baselined": 1,
        "excepted": 1,
        "placeholders": 1,
        "older": 0,
        "files_checked": 3,
        "files_skipped": 1,
    }
    assert said["stats"] == {
        "bytes": 5_000_000,
        "passed_over": [{"why": "binary", "count": 3},
                        {"why": "odd\\x1b]0;owned\\x07", "count": 1}],
        "listing_seconds": 0.125,
        "checking_seconds": 0.5,
    }  # fmt: skip
    call = said["findings"][1]
    assert call == {
        "rule": "RG206",
        "name": "unnamed-provider",
        "severity": "warning",
        "subject": "opencode run",
        "message": "names no model; see [here](https://evil.example) and 100%",
        "where": "b.sh:1:1",
        "fix": "name it:\n-m portkey/gpt-4o",
        "location": {"path": "b.sh", "line": 1, "column": 1, "end_line": 2, "end_column": 7},
        "digest": None,
        "context": "tests/",
        "excerpt": None,
        "fingerprint": "0000000000000001",
    }
    key = said["findings"][0]
    assert (key["digest"], key["context"]) == ("0123abcd", None)
    text, start, end = key["excerpt"].values()
    assert text[start:end] == "sk****AA"
    assert said["findings"][2]["location"] is None
    assert said["findings"][3]["location"]["line"] is None


def test_nothing_in_it_reaches_a_terminal_raw(result: Result) -> None:
    text = render(result, result.root)
    assert text.isascii()
    assert "\x1b" not in text
    assert "\\udcff" not in text
    assert document(result)["findings"][0]["location"]["path"].endswith("\\xff.py")


def test_an_empty_result_is_a_document_too() -> None:
    said = document(Result(root="/x"))
    assert said["findings"] == []
    assert said["summary"]["errors"] == 0
