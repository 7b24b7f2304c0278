from pathlib import Path

import pytest

from guard.findings import SEVERITIES
from guard.rules import RULES

DOC = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_each_rule_stands_in_the_docs_as_declared(rule):
    assert f"| {rule.id} | {rule.name} | {rule.severity} | {rule.title} |" in DOC


def test_the_docs_name_no_rule_that_is_not_declared():
    named = {line.split("|")[1].strip() for line in DOC.splitlines() if line.startswith("| RG")}
    assert named == set(RULES)


def test_names_are_unique_and_severities_known():
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
    assert {rule.severity for rule in RULES.values()} <= set(SEVERITIES)
