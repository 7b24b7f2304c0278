"""The numbers of the README are those that the benchmarks measured."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_made_of_what_was_measured() -> None:
    script = runpy.run_path(str(ROOT / "tests/bench/readme.py"))
    figures = json.loads((ROOT / "tests/bench/measured.json").read_text())
    readme = (ROOT / "README.md").read_text()
    made = script["with_table"](readme, figures)
    assert made == readme, "run tests/bench/readme.py"
    table = readme.partition(script["BEGIN"])[2].partition(script["END"])[0]
    rows = [line.count("|") for line in table.splitlines() if line.startswith("|")]
    assert len(rows) > 10
    assert len(set(rows)) == 1


def test_another_number_gives_another_table() -> None:
    script = runpy.run_path(str(ROOT / "tests/bench/readme.py"))
    figures = json.loads((ROOT / "tests/bench/measured.json").read_text())
    before = script["table"](figures)
    figures["start"]["added_cpu_ms"]["bash routeguard"] += 1
    assert script["table"](figures) != before
