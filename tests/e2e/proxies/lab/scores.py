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


class Score:
    """One row: written on every `set`, so that a test that fails leaves what it saw."""

    def __init__(self, case: str, **first: str) -> None:
        self._row = {"case": case, **first}
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.set()

    def set(self, **more: str) -> None:
        """Add to the row."""
        self._row |= {name.replace("_", " "): value for name, value in more.items()}
        text = json.dumps(self._row, ensure_ascii=False)
        (FOLDER / f"{self._row['case'].replace('/', '-')}.json").write_text(text + "\n")


def outcome(row: dict[str, str]) -> str:
    """TP, FP, TN or FN: whether it is a proxy, and whether a launch is refused because of it."""
    refused = row.get("launch") == "refused"
    if row.get("is", "") == "no proxy":
        return "FP" if refused else "TN"
    return "TP" if refused else "FN"


def main() -> None:
    """Print the table and the sums."""
    rows = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    if not rows:
        sys.exit(f"nothing in {FOLDER}: run pytest tests/e2e/proxies first")
    print("|" + "|".join((*COLUMNS, "outcome")) + "|")
    print("|" + "---|" * (len(COLUMNS) + 1))
    for row in rows:
        print("|" + "|".join([*(row.get(name, "") for name in COLUMNS), outcome(row)]) + "|")
    sums = {kind: sum(outcome(row) == kind for row in rows) for kind in ("TP", "FN", "TN", "FP")}
    print(", ".join(f"{number} {kind}" for kind, number in sums.items()))


if __name__ == "__main__":
    main()
