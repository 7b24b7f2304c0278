"""docs/troubleshooting.md: a row for every rule, and messages that are in the program."""

from __future__ import annotations

import re

import shown

from guard.rule_table import RULES

PAGE = (shown.ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
FIRST_CELLS = [line.split(" | ")[0] for line in PAGE.splitlines() if line.startswith("| `")]


def test_every_rule_has_a_row() -> None:
    shown = {found for cell in FIRST_CELLS for found in re.findall(r"\[(RG\d+)\]", cell)}
    assert shown == set(RULES)


def test_every_message_is_one_of_the_program() -> None:
    """What stands between two `…` is in one text of the source."""
    missing = [
        part
        for cell in FIRST_CELLS
        for message in re.findall(r"`([^`]+)`", cell)
        for part in re.sub(r" ?\[RG\d+\]", "", message).split("…")
        if part.strip() not in shown.source_texts() and part != "command not found"  # the shell's
    ]
    assert missing == []
