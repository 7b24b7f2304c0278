"""Every detector on every file of the corpus: the findings expected beside it, and no other."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[3]
_spec = importlib.util.spec_from_file_location(
    "bench_corpus", _ROOT / "tests" / "bench" / "corpus.py"
)
assert _spec is not None
assert _spec.loader is not None
corpus = importlib.util.module_from_spec(_spec)
sys.modules["bench_corpus"] = corpus
_spec.loader.exec_module(corpus)

CASES = corpus.cases()


@pytest.mark.parametrize("case", CASES, ids=[case.label for case in CASES])
def test_the_corpus_has_exactly_the_findings_beside_it(case: object) -> None:
    assert corpus.found(case) == corpus.expected(case)


def test_half_of_the_corpus_must_be_silent() -> None:
    silent = sum(not corpus.expected(case) for case in CASES)
    assert len(CASES) >= 80
    assert silent * 5 >= len(CASES) * 2


def test_no_finding_of_the_corpus_shows_a_value() -> None:
    for case in CASES:
        lines = case.path.read_bytes().decode("utf-8", "replace").splitlines()
        for finding in corpus.findings(case):
            if finding.rule != "RG111":
                continue
            value = lines[finding.line - 1].removeprefix("\ufeff")
            if finding.line == finding.end_line:
                value = value[finding.column - 1 : finding.end_column - 1]
            assert len(value) >= 20
            shown = f"{finding.subject} {finding.message} {finding.fix} {finding.where}"
            assert value not in shown
            assert value[4:14] not in shown
