"""Which CI runner a job is on, and what a GITHUB_ENV file hands on."""

from __future__ import annotations

import pytest

from guard.check.ci_runners import OTHER, RUNNERS, handed_on, runner


@pytest.mark.parametrize("known", RUNNERS, ids=lambda known: known.name)
def test_each_runner_is_known_by_its_sign(known: object) -> None:
    assert runner({known.sign: "true", "CI": "true"}) == known  # type: ignore[attr-defined]


def test_ci_alone_is_some_runner_and_nothing_is_none() -> None:
    assert runner({"CI": "1"}) == OTHER
    assert runner({}) is None
    assert runner({"CI": "false"}) is None
    assert runner({"CI": ""}) is None


def test_a_file_of_assignments() -> None:
    text = "A=1\r\nB<<EOF\nx=y\nz\nEOF\n\nnonsense\nC==\nD<<END\nunfinished"
    assert list(handed_on(text)) == [
        ("A", "1", 1),
        ("B", "x=y\nz", 2),
        ("C", "=", 8),
        ("D", "unfinished", 9),
    ]
