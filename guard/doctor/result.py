"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guard.errors import GuardError
    from guard.findings import Finding
    from guard.report.terminal import Meaning

STATES = ("broken", "warning", "ok", "skipped")
"""What a result can be. `broken`: a launch is refused or not guarded. `warning`: it works, and one
should know. `skipped`: it was not looked at, and `what` says why."""

MEANINGS: dict[str, Meaning] = {
    "broken": "bad",
    "warning": "warning",
    "ok": "good",
    "skipped": "faint",
}
"""How each is painted."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that a check found: its state, what is so, and what to type. Holds no secret."""

    state: str
    what: str
    fix: str = ""
    rule: str = ""


def ok(what: str) -> Diagnosis:
    """Nothing to do."""
    return Diagnosis("ok", what)


def warning(what: str, fix: str = "", rule: str = "") -> Diagnosis:
    """It works, and one should know."""
    return Diagnosis("warning", what, fix, rule)


def broken(what: str, fix: str = "", rule: str = "") -> Diagnosis:
    """A launch is refused, or not guarded."""
    return Diagnosis("broken", what, fix, rule)


def skipped(what: str) -> Diagnosis:
    """Not looked at; `what` says why."""
    return Diagnosis("skipped", what)


def of_error(error: GuardError) -> Diagnosis:
    """The failure as a result."""
    what = f"{error.what} ({error.where})" if error.where else error.what
    return broken(f"{what}: {error.why}" if error.why else what, error.fix, error.rule)


def of_finding(finding: Finding) -> Diagnosis:
    """The finding as a result: an error is broken, everything else is a warning."""
    where = finding.where if finding.where not in ("", "environment", finding.subject) else ""
    what = f"{finding.message} ({where})" if where else finding.message
    return Diagnosis(
        "broken" if finding.severity == "error" else "warning", what, finding.fix, finding.rule
    )
