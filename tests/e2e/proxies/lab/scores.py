"""What was right and what was wrong, program by program, as a table for people and machines.

Every test of this directory writes one file into `.cache/local-proxies/`, before it judges.
`python tests/e2e/proxies/lab/scores.py` prints them as a table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[4] / ".cache" / "local-proxies"
COLUMNS = ("case", "program", "port", "is", "seen as", "how", "launch", "stop", "hold", "fence")
RUN = 1800
"""Seconds that a run takes at most: what is older was seen by another one."""


class Score:
    """What one test saw of one case: written on every `set`, so that a failure leaves it, too."""

    def __init__(self, case: str, part: str = "", **first: str) -> None:
        self._row = {"case": case, **first}
        self._file = FOLDER / f"{case}.{part or 'found'}.json".replace("/", "-")
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.set()

    def set(self, **more: str) -> None:
        """Add to the row."""
        self._row |= {name.replace("_", " "): value for name, value in more.items()}
        self._file.write_text(json.dumps(self._row, ensure_ascii=False) + "\n")


def rows() -> list[dict[str, str]]:
    """What the last run saw, a row for each case."""
    files = sorted(FOLDER.glob("*.json"))
    newest = max((path.stat().st_mtime for path in files), default=0.0)
    merged: dict[str, dict[str, str]] = {}
    for path in files:
        if path.stat().st_mtime > newest - RUN:
            row = json.loads(path.read_text())
            merged.setdefault(row["case"], {}).update(row)
    return list(merged.values())


def outcome(row: dict[str, str]) -> str:
    """TP, FP, TN or FN: whether it is a proxy, and whether a launch is refused because of it."""
    refused = row.get("launch") == "refused"
    if row.get("is", "") == "no proxy":
        return "FP" if refused else "TN"
    return "TP" if refused else "FN"


def main() -> None:
    """Print the table and the sums."""
    seen = rows()
    if not seen:
        sys.exit(f"nothing in {FOLDER}: run pytest tests/e2e/proxies first")
    print("|" + "|".join((*COLUMNS, "outcome")) + "|")
    print("|" + "---|" * (len(COLUMNS) + 1))
    for row in seen:
        print("|" + "|".join([*(row.get(name, "") for name in COLUMNS), outcome(row)]) + "|")
    sums = {kind: sum(outcome(row) == kind for row in seen) for kind in ("TP", "FN", "TN", "FP")}
    print(", ".join(f"{number} {kind}" for kind, number in sums.items()))


if __name__ == "__main__":
    main()
