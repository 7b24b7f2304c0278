"""The result of one check: a reporter gets nothing else."""

from __future__ import annotations

from typing import NamedTuple

from guard.findings import SEVERITIES, Finding
from guard.record import Record


class Stats(NamedTuple):
    """What a check of files read and what it passed over.

    `size` are the bytes of the files that were checked. `passed` has (why, how many) of what was
    not, the most first. `listing` and `checking` are seconds.
    """

    size: int = 0
    passed: tuple[tuple[str, int], ...] = ()
    listing: float = 0.0
    checking: float = 0.0


class Result(Record):
    """The outcome of one check.

    `findings` are sorted (path, line, column, rule) and are what is reported. `fingerprints` stand
    beside them, one for each: 16 hex digits that stay the same when lines move and hold nothing
    of a value. `suppressed` were silenced in the file by a comment with a reason, `baselined` by
    the baseline, `excepted` by an exception of the policy; `placeholders` were passed over, as
    their values only stand for a key.
    Where only new lines were asked for, `older` counts the findings on others.

    `files_checked` counts files that were read and judged, `files_skipped` those that could not
    be. `root` is the directory to which the findings' paths are relative (what lies outside has
    an absolute path); in an environment, where every path is absolute, the directory asked about.
    `seconds` is the wall time of the check. `kind` is "files" or "environment". `remarks` are
    lines about the check as a whole, for people; `stats` is kept where it was asked for.
    """

    findings: tuple[Finding, ...] = ()
    fingerprints: tuple[str, ...] = ()
    suppressed: tuple[Finding, ...] = ()
    baselined: tuple[Finding, ...] = ()
    excepted: tuple[Finding, ...] = ()
    placeholders: tuple[Finding, ...] = ()
    older: int = 0
    files_checked: int = 0
    files_skipped: int = 0
    root: str = ""
    kind: str = "files"
    seconds: float = 0.0
    remarks: tuple[str, ...] = ()
    stats: Stats | None = None

    def count(self, severity: str) -> int:
        """How many findings have exactly this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def placeholder_count(self) -> int:
        """How many values were passed over: two rules may be about the same one."""
        return len({(finding.path, finding.line) for finding in self.placeholders})

    def fails(self, threshold: str) -> bool:
        """Whether a finding is at least as serious as `threshold` ("note", "warning", "error")."""
        floor = SEVERITIES.index(threshold)
        return any(SEVERITIES.index(finding.severity) >= floor for finding in self.findings)


def unchecked(path: str, why: str, fix: str = "check it by hand", severity: str = "") -> Finding:
    """The finding that the file at `path` was not checked, a note unless it has a `severity`."""
    return Finding("RG903", path, f"not checked: {why}", path=path, fix=fix, severity=severity)


def order(finding: Finding) -> tuple[str, int, int, str, str, str]:
    """The sort key of findings: path, line, column, rule; then what makes the order total."""
    return (
        finding.path or finding.where,
        finding.line,
        finding.column,
        finding.rule,
        finding.subject,
        finding.message,
    )
