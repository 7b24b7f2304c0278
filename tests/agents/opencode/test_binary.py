"""Whether the route of an installed opencode can be held."""

from __future__ import annotations

import pytest

from guard.agents.binary import parse_version
from guard.agents.opencode.adapter import AGENT


@pytest.mark.parametrize(
    ("found", "severity"),
    [
        (parse_version(AGENT.tested), None),
        (parse_version(AGENT.oldest), None),
        ((1, 18, 99), None),
        ((1, 19, 0), None),
        ((1, 17, 99), "error"),
        ((0, 3, 1), "error"),
        ((0, 0, 0), "error"),
    ],
)
def test_judge(found: tuple[int, int, int], severity: str | None) -> None:
    findings = AGENT.judge_version(found, "/bin/opencode")
    assert [(f.rule, f.severity) for f in findings] == ([("RG204", severity)] if severity else [])
    assert all(f.fix and f.where == "/bin/opencode" for f in findings)
