"""The words about the rules: complete, and their examples are what `check` says they are."""

from __future__ import annotations

import re
from itertools import cycle, islice
from pathlib import Path

import pytest

from guard.check.engine import Outcome, Settings, check_file
from guard.findings import Finding
from guard.policy.values import CompiledPolicy
from guard.report.terminal import fold
from guard.rule_table import RULES
from guard.rules.detectors import DETECTORS
from guard.rules.pages import document, markdown, pages, text
from guard.sources.file import SourceFile

DOCS = Path(__file__).parents[2] / "docs"
BODY = "Zq7Wm3Xk9Rt2Lp5Vn8Bc4Hd6Jf1Gs0Ya"
EXAMPLES = [id_ for id_, page in pages().items() if page.file]


def findings(name: str, content: str) -> list[Finding]:
    # the rest of an Anthropic key is 95 characters, the last two fixed
    key = "".join(islice(cycle(BODY), 93)) + "AA"
    file = SourceFile(name, content.replace("…", key).encode())
    outcome = Outcome()
    check_file(file, Settings(policy=CompiledPolicy()), DETECTORS, outcome)
    return [finding for finding, _ in outcome.found]


def test_every_rule_has_a_page_and_every_page_a_rule() -> None:
    assert list(pages()) == list(RULES)


def test_a_page_says_everything_in_sentences() -> None:
    for rule, page in pages().items():
        for words in (page.what, page.why, page.except_):
            assert re.search(r"[.:]\Z", words), words
            assert words.count("`") % 2 == 0, words
        assert page.before.strip(), rule
        assert page.after.strip(), rule
        assert page.before != page.after, rule


@pytest.mark.parametrize("rule", EXAMPLES)
def test_the_example_is_found_before_and_not_after(rule: str) -> None:
    page = pages()[rule]
    assert rule in {finding.rule for finding in findings(page.file, page.before)}
    assert [f for f in findings(page.file, page.after) if f.severity != "note"] == []


def test_rules_that_check_finds_in_a_file_show_one() -> None:
    assert len(EXAMPLES) >= 18


def test_text_is_for_a_terminal_and_markdown_for_a_page() -> None:
    for rule in RULES.values():
        shown = text(rule)
        assert shown.splitlines()[0] == f"{rule.id} {rule.name} ({rule.severity}): {rule.title}"
        assert all(len(line) <= 100 for line in fold(shown, 100).splitlines())
        assert markdown(rule).count("```") == 4, rule.id


def test_the_docs_are_what_is_declared() -> None:
    """Write them again with `python -m guard.rules.pages docs/rules.md`."""
    assert (DOCS / "rules.md").read_text(encoding="utf-8") == document()


def test_what_the_docs_link_to_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document()):
        assert (DOCS / target).is_file(), target
