"""`routeguard rules`: the list, one page, and what is said of a rule that does not exist."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from guard.cli import group
from guard.errors import UsageError
from guard.rule_table import RULES
from guard.rules.pages import pages


def said(*words: str) -> str:
    done = CliRunner().invoke(group, ["rules", *words], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    assert done.return_value == 0
    return done.output


def test_every_rule_has_one_line() -> None:
    lines = said().splitlines()
    assert lines[0].split() == ["RULE", "LEVEL", "NAME", "TITLE"]
    for line, rule in zip(lines[1:], RULES.values(), strict=True):
        assert line.split(None, 3) == [rule.id, rule.severity, rule.name, rule.title]


@pytest.mark.parametrize("word", ["RG201", "rg201", "foreign-provider", "Foreign-Provider"])
def test_one_rule_is_explained(word: str) -> None:
    text = said(word)
    assert text.startswith("RG201 foreign-provider (error): a model provider other than")
    assert "before, in review.sh:\n\n    opencode" not in text
    assert "before, in review.sh:\n    opencode run -m anthropic/" in text
    assert "after:\n    opencode run -m portkey/gpt-4o" in text
    assert "to let it pass: " in text


def test_each_rule_can_be_explained() -> None:
    for rule in RULES:
        assert said(rule).startswith(rule)


def test_json_of_all_and_of_one() -> None:
    everything = json.loads(said("--json"))
    assert everything["schema_version"] == 1
    assert [rule["id"] for rule in everything["rules"]] == list(RULES)
    assert set(everything["rules"][0]) == {"id", "name", "severity", "title"}
    (one,) = json.loads(said("RG201", "--json"))["rules"]
    assert one["what"] == pages()["RG201"].what
    assert one["except"]
    assert one["file"] == "review.sh"
    (one,) = json.loads(said("RG502", "--json"))["rules"]
    assert one["file"] is None


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("RG2O1", "RG201"),
        ("foreign-providers", "foreign-provider"),
        ("nonsense", ""),
        ("", ""),
        ("RG101,", ""),
    ],
)
def test_an_unknown_rule_is_a_usage_error_with_a_near_one(word: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        said(word)
    assert "routeguard rules" in caught.value.fix
    assert ("did you mean" in caught.value.fix) == bool(near)
    assert not near or caught.value.fix.startswith(f"did you mean:\nrouteguard rules {near}\n")
    assert caught.value.exit_code == 2
