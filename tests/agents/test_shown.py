"""What shows that each hostile set-up of Claude Code and Codex is held is still there.

Each row of a `shown.toml` names tests, or a sentence of the list of what stays open in the docs.
"""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
PAGES = {
    "claude_code": TESTS.parent / "docs" / "claude-code.md",
    "codex": TESTS.parent / "docs" / "codex.md",
}


@cache
def names_in(file: str) -> set[str]:
    """The names of the tests that `file`, below `tests`, has at its top and that can run."""
    tree = ast.parse((TESTS / file).read_text())
    found = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return {node.name for node in found if not any(map(_skips, node.decorator_list))}


def _skips(decorator: ast.expr) -> bool:
    return any(word in ast.unparse(decorator) for word in ("skip", "xfail"))


def rows(agent: str) -> list[dict[str, Any]]:
    """The rows of `agent`."""
    text = (Path(__file__).parent / agent / "shown.toml").read_text()
    return list(tomllib.loads(text)["row"])


def open_in(page: Path) -> str:
    """The list of what stays open, on one line."""
    _, _, rest = page.read_text().partition("\n## What stays open\n")
    assert rest, page
    return " ".join(rest.partition("\n## ")[0].split())


def missing(row: dict[str, Any], stays_open: str) -> list[str]:
    """What `row` names and is not there."""
    named = [name for name in row.get("tests", ()) if not _is_test(name)]
    sentence = row.get("open", "")
    return named + [sentence] * (sentence not in stays_open)


def _is_test(name: str) -> bool:
    file, _, test = name.partition("::")
    return (TESTS / file).is_file() and test in names_in(file)


@pytest.mark.parametrize("agent", sorted(PAGES))
def test_each_row_is_shown_or_said_to_be_open(agent: str) -> None:
    stays_open = open_in(PAGES[agent])
    found = rows(agent)
    assert len(found) > 25
    for row in found:
        assert bool(row.get("tests")) is not bool(row.get("open")), row["what"]
        assert row.keys() <= {"what", "tests", "open"}, row["what"]
        assert missing(row, stays_open) == [], row["what"]


def test_a_proof_that_is_gone_is_noticed() -> None:
    file = "e2e/codex/test_route.py"
    there, gone = f"{file}::test_everything_at_once", f"{file}::test_that_was_removed"
    assert missing({"tests": [there, gone, "no/file.py::test"]}, "") == [gone, "no/file.py::test"]
    assert missing({"open": "A word."}, "Another.") == ["A word."]
