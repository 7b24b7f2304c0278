import re

from guard.findings import SEVERITIES
from guard.rule_table import RULES


def test_names_are_unique_and_severities_known():
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
    assert {rule.severity for rule in RULES.values()} <= set(SEVERITIES)


def test_ids_and_names_have_the_form_that_schemas_and_comments_expect():
    for id_, rule in RULES.items():
        assert id_ == rule.id
        assert re.fullmatch(r"RG\d{3}", rule.id)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.name)
