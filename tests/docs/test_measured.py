"""The numbers of the README are those that the benchmarks measured."""

from __future__ import annotations

import json
import re
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


def test_what_was_measured_has_its_row() -> None:
    script = runpy.run_path(str(ROOT / "tests/bench/readme.py"))
    figures = json.loads((ROOT / "tests/bench/measured.json").read_text())
    start = figures["start"]
    start["added_cpu_ms"].update({"zsh from-a-file": 7.25, "zsh mise": 8.75, "fish starship": 9.5})
    start["added_cpu_ms"]["fish block"] = 6.25
    start["command_cpu_ms"]["doctor --short"] = 345.0
    start["yardsticks"]["doctor --short"] = "python -c pass"
    table = script["table"](figures)
    assert re.search(r"\| the same, the hook's text sourced from a file \|.*\| \+7\.2 ms \|", table)
    assert re.search(r"\| the same, with the block .* \|.*\| \+6\.2 ms \|", table)
    assert "| direnv | zoxide | mise | starship |" in table
    assert "+8.8 ms | - |" in table
    assert "- | +9.5 ms |" in table
    assert "| `routeguard doctor --short` |" in table
    assert "| 345 ms |" in table


def test_another_number_gives_another_table() -> None:
    script = runpy.run_path(str(ROOT / "tests/bench/readme.py"))
    figures = json.loads((ROOT / "tests/bench/measured.json").read_text())
    before = script["table"](figures)
    figures["start"]["added_cpu_ms"]["bash routeguard"] += 1
    assert script["table"](figures) != before
