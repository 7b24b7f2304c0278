"""SARIF as code scanning reads it, against the schema of SARIF 2.1.0 (README.md: whence)."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from jsonschema import Draft202012Validator

from guard.check.result import Result
from guard.report.sarif import FINGERPRINT, render
from guard.rule_table import RULES

VALIDATOR = Draft202012Validator(
    json.loads((Path(__file__).parent / "sarif-2.1.0.json").read_text(encoding="utf-8"))
)


def log(result: Result) -> dict:
    return json.loads(render(result, result.root))


def test_it_is_valid(result: Result) -> None:
    VALIDATOR.check_schema(VALIDATOR.schema)
    VALIDATOR.validate(log(result))
    VALIDATOR.validate(log(Result()))


def test_the_schema_would_say_so_if_it_were_not(result: Result) -> None:
    broken = log(result)
    broken["runs"][0]["results"][0]["level"] = "fatal"
    assert not VALIDATOR.is_valid(broken)
    broken = log(result)
    del broken["runs"][0]["tool"]["driver"]["name"]
    assert not VALIDATOR.is_valid(broken)


def test_every_rule_has_its_help(result: Result) -> None:
    rules = log(result)["runs"][0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    for rule in rules:
        assert rule["defaultConfiguration"]["level"] == RULES[rule["id"]].severity
        assert rule["shortDescription"]["text"] == RULES[rule["id"]].title
        assert "before" in rule["help"]["text"]
        assert "```" in rule["help"]["markdown"]


def test_results_point_at_their_rule_and_carry_their_fingerprint(result: Result) -> None:
    run = log(result)["runs"][0]
    assert len(run["results"]) == len(result.findings)
    for said, finding, fingerprint in zip(
        run["results"], result.findings, result.fingerprints, strict=True
    ):
        assert said["ruleId"] == finding.rule
        assert run["tool"]["driver"]["rules"][said["ruleIndex"]]["id"] == finding.rule
        assert said["level"] == finding.severity
        assert said["partialFingerprints"] == {FINGERPRINT: fingerprint}


def test_a_place_is_a_uri_and_a_region(result: Result) -> None:
    key, call, _, whole, outside = log(result)["runs"][0]["results"]
    physical = key["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uriBaseId"] == "%SRCROOT%"
    uri = physical["artifactLocation"]["uri"]
    assert unquote_to_bytes(uri) == b"a dir/50%,x:y\n\x1b]0;owned\x07\xff.py"
    region = {"startLine": 3, "startColumn": 5, "endLine": 3, "endColumn": 40}
    assert physical["region"] == {**region, "snippet": {"text": "sk****AA"}}
    assert physical["contextRegion"]["startLine"] == 3
    assert "sk****AA" in physical["contextRegion"]["snippet"]["text"]
    region = call["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 1, "startColumn": 1, "endLine": 2, "endColumn": 7}
    assert "region" not in whole["locations"][0]["physicalLocation"]
    absolute = outside["locations"][0]["physicalLocation"]["artifactLocation"]
    assert absolute == {"uri": "file:///etc/x%20y"}


def test_what_is_in_no_file_has_a_logical_place(result: Result) -> None:
    variable = log(result)["runs"][0]["results"][2]
    assert variable["locations"] == [
        {
            "logicalLocations": [
                {"name": "OPENAI_API_KEY", "fullyQualifiedName": "environment/OPENAI_API_KEY"}
            ]
        }
    ]


def test_what_lies_in_tests_says_so(result: Result) -> None:
    contexts = [said.get("properties") for said in log(result)["runs"][0]["results"]]
    assert contexts == [None, {"context": "tests/"}, None, None, None]


def test_what_is_held_back_is_not_uploaded_as_an_alert(result: Result) -> None:
    assert "RG203" not in {said["ruleId"] for said in log(result)["runs"][0]["results"]}


def test_a_finding_makes_no_link(result: Result) -> None:
    said = log(result)["runs"][0]["results"][1]["message"]["text"]
    assert "\\[here](https://evil.example)" in said


@pytest.mark.parametrize("raw", ["\x1b", "\x07", "\udcff"])
def test_nothing_in_it_reaches_a_terminal_raw(result: Result, raw: str) -> None:
    text = render(result, result.root)
    assert text.isascii()
    assert raw not in text
    assert raw not in json.dumps(log(result), ensure_ascii=False)
