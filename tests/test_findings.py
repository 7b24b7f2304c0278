"""Findings and the masks in them."""

from __future__ import annotations

import shlex

import pytest

from guard.findings import SEVERITIES, Finding, digest, leave_out, mask
from guard.rule_table import RULES
from guard.sources.reading import Entry
from guard.sources.tree import Tree, without


def test_every_rule_has_a_severity_that_a_finding_takes() -> None:
    for rule in RULES:
        finding = Finding(rule, "subject", "message")
        assert finding.severity == RULES[rule].severity, rule
        assert finding.severity in SEVERITIES, rule
        assert finding.as_dict()["name"] == RULES[rule].name


def test_a_finding_may_be_milder() -> None:
    assert Finding("RG201", "s", "m", severity="note").severity == "note"


def test_a_rule_that_nobody_declared() -> None:
    with pytest.raises(KeyError):
        Finding("RG999", "s", "m")


def test_as_dict() -> None:
    assert Finding("RG201", "s", "m", where="w", fix="f").as_dict() == {
        "rule": "RG201",
        "name": "foreign-provider",
        "severity": "error",
        "subject": "s",
        "message": "m",
        "where": "w",
        "fix": "f",
    }
    assert repr(Finding("RG201", "s", "m")) == "Finding(RG201, 's', 'm')"


def test_rules_are_named_once() -> None:
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
    for key, rule in RULES.items():
        assert key == rule.id
        assert rule.severity in SEVERITIES
        assert rule.title
        assert not rule.title.endswith(".")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", "****"),
        ("x" * 15, "****"),
        ("abcdefghijklmnop", "ab****op"),
        ("é" * 16, "éé****éé"),
    ],
)
def test_mask(value: str, shown: str) -> None:
    assert mask(value) == shown


@pytest.mark.parametrize("path", ["*.sh", "[r]un.sh", "-r?n.sh", "app/[id]/it's [x]*.sh", "run.sh"])
def test_the_way_to_leave_a_file_out_leaves_out_that_file_alone(path: str) -> None:
    command = leave_out(path).split("\n")[1]
    pattern = shlex.split(command)[-1]
    names = dict.fromkeys(("run.sh", "r.sh", "an.sh", path))
    entries = tuple(Entry(name, f"/{name}") for name in names)
    left = without(Tree("/", entries), [pattern]).entries
    assert [entry.path for entry in left] == [e.path for e in entries if e.path != path]


def test_digest() -> None:
    key = b"per-user"
    assert digest("secret", key) == digest("secret", key)
    assert digest("secret", key) != digest("secret", b"other")
    assert digest("secret", key) != digest("secreu", key)
    assert len(digest("\udcff", key)) == 8
