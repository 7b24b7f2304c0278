#!/usr/bin/env python3
"""Precision and recall of every rule on tests/corpus: `python tests/bench/corpus.py`.

A case is a file with its `<file>.expected` beside it: one `RULE line` for each finding, nothing
for a file that must be silent. Exit status 1 if anything was missed or found too much.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "corpus"
SUFFIX = ".expected"

sys.path.insert(0, str(ROOT.parents[1]))


@dataclass(frozen=True)
class Case:
    """One file of the corpus; `shown` is the path that the detectors see, as in a repository."""

    label: str
    shown: str
    path: Path
    wanted: Path


def cases() -> list[Case]:
    """Every case, sorted by its place."""
    found = []
    for wanted in sorted(ROOT.rglob("*" + SUFFIX)):
        path = wanted.with_name(wanted.name.removesuffix(SUFFIX))
        place = path.relative_to(ROOT)
        # corpus/<half>/<case>/<path in the repository>
        found.append(Case(str(place), Path(*place.parts[2:]).as_posix(), path, wanted))
    return found


def findings(case: Case) -> list:
    """The findings of every detector in the file of a case, as the engine hands it to them."""
    from guard.policy.values import CompiledPolicy
    from guard.rules.detectors import DETECTORS
    from guard.rules.needles import PlainSearch
    from guard.sources.file import SourceFile

    file = SourceFile(case.shown, case.path.read_bytes())
    policy = CompiledPolicy()
    search = PlainSearch(DETECTORS)
    result = []
    for number in search(file.data, lambda n: DETECTORS[n].wants(file.path, file.name)):
        found = DETECTORS[number].check(file, policy)
        result.extend(finding for finding in found if not finding.placeholder)
    return result


def found(case: Case) -> list[tuple[str, int]]:
    """(rule, line) of each finding, sorted."""
    return sorted((finding.rule, finding.line) for finding in findings(case))


def expected(case: Case) -> list[tuple[str, int]]:
    """(rule, line) of each finding that should be there, sorted."""
    lines = (line.split() for line in case.wanted.read_text("utf-8").splitlines())
    return sorted((line[0], int(line[1])) for line in lines if line and not line[0].startswith("#"))


def main() -> int:
    """Print the table; 0 if precision and recall are 1 throughout."""
    right: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    false: Counter[str] = Counter()
    every = cases()
    for case in every:
        have, want = Counter(found(case)), Counter(expected(case))
        for (rule, line), count in (want - have).items():
            missed[rule] += count
            print(f"missed  {case.label}:{line} {rule}")
        for (rule, line), count in (have - want).items():
            false[rule] += count
            print(f"false   {case.label}:{line} {rule}")
        for (rule, _), count in (want & have).items():
            right[rule] += count
    silent = sum(not expected(case) for case in every)
    print(f"{len(every)} files, {silent} of them must be silent\n")
    print(f"{'rule':8}{'right':>7}{'missed':>8}{'false':>7}{'precision':>11}{'recall':>8}")
    for rule in sorted({*right, *missed, *false}):
        r, m, f = right[rule], missed[rule], false[rule]
        precision = f"{r / (r + f):.3f}" if r + f else "-"
        recall = f"{r / (r + m):.3f}" if r + m else "-"
        print(f"{rule:8}{r:7}{m:8}{f:7}{precision:>11}{recall:>8}")
    return 1 if missed or false else 0


if __name__ == "__main__":
    raise SystemExit(main())
