"""docs/troubleshooting.md: a row for every rule, and messages that are in the program."""

from __future__ import annotations

import ast
import re

from shown import ROOT

from guard.rule_table import RULES

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
FIRST_CELLS = [line.split(" | ")[0] for line in PAGE.splitlines() if line.startswith("| `")]


def test_every_rule_has_a_row() -> None:
    shown = {found for cell in FIRST_CELLS for found in re.findall(r"\[(RG\d+)\]", cell)}
    assert shown == set(RULES)


def test_every_message_is_one_of_the_program() -> None:
    """What stands between two `…` is in one text of the source."""
    texts = [
        node.value
        for path in (ROOT / "guard").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    texts += [path.read_text() for path in (ROOT / "shell").iterdir()]
    texts.append("command not found")  # the shell's
    missing = [
        part
        for cell in FIRST_CELLS
        for message in re.findall(r"`([^`]+)`", cell)
        for part in re.sub(r" ?\[RG\d+\]", "", message).split("…")
        if not any(part.strip() in text for text in texts)
    ]
    assert missing == []
