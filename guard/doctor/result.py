"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guard.errors import GuardError
    from guard.findings import Finding

STATES = ("broken", "warning", "ok", "skipped")
"""What a result can be. `broken`: a launch is refused or not guarded. `warning`: it works, and one
should know. `skipped`: it was not looked at, and `what` says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that a check found: its state, what is so, and what to type. Holds no secret."""

    state: str
    what: str
    fix: str = ""
    rule: str = ""


def ok(what: str) -> Result:
    """Nothing to do."""
    return Result("ok", what)


def warning(what: str, fix: str = "", rule: str = "") -> Result:
    """It works, and one should know."""
    return Result("warning", what, fix, rule)


def broken(what: str, fix: str = "", rule: str = "") -> Result:
    """A launch is refused, or not guarded."""
    return Result("broken", what, fix, rule)


def skipped(what: str) -> Result:
    """Not looked at; `what` says why."""
    return Result("skipped", what)


def of_error(error: GuardError) -> Result:
    """The failure as a result."""
    what = f"{error.what} ({error.where})" if error.where else error.what
    return broken(f"{what}: {error.why}" if error.why else what, error.fix, error.rule)


def of_finding(finding: Finding) -> Result:
    """The finding as a result: an error is broken, everything else is a warning."""
    where = finding.where if finding.where not in ("", "environment", finding.subject) else ""
    what = f"{finding.message} ({where})" if where else finding.message
    return Result(
        "broken" if finding.severity == "error" else "warning", what, finding.fix, finding.rule
    )
