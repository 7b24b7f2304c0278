"""This repository passes its own check."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

EXAMPLES = (
    "tests/corpus",
    "tests/rules",
    "tests/check",
    "tests/surfaces",
    "guard/rules/text.toml",
)
"""What is wrong on purpose from one end to the other: what the rules are tried on, and the
examples of their pages. Elsewhere a comment says why a line is."""


def test_nothing_leaves_the_gateway(environ: dict[str, str], run: Callable, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = [f"--exclude={path}" for path in EXAMPLES]
    done = run(
        sys.executable, "-m", "guard", "check", "--fail-on=note", "--format=json",
        f"--output={report}", *words,
        cwd=ROOT, env=environ, status=None,
    )  # fmt: skip
    said = json.loads(report.read_text())
    # what another program writes into the tree meanwhile may vanish before it is read
    found = [f"{f['where']} {f['message']}" for f in said["findings"] if f["rule"] != "RG903"]
    assert found == []
    assert done.returncode == (1 if said["findings"] else 0)
    assert said["summary"]["files_checked"] > 150


def test_what_is_left_out_is_there() -> None:
    for path in EXAMPLES:
        assert (ROOT / path).exists(), path
