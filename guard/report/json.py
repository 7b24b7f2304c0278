"""Findings for programs: one JSON document, described by docs/check-report.schema.json."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from guard import __version__
from guard.errors import printable
from guard.report.document import document

if TYPE_CHECKING:
    from guard.check.result import Result, Stats
    from guard.findings import Finding


def render(result: Result, root: str) -> str:
    """`result` as JSON. `root` changes nothing: paths are as seen from the result's own.

    ASCII only, so that a terminal that shows it obeys nothing in it. Bytes of a path that are no
    UTF-8 are shown as `\\xNN`.
    """
    content = {
        "tool": {"name": "routeguard", "version": __version__},
        "kind": result.kind,
        "root": _path(result.root),
        "seconds": round(result.seconds, 3),
        "summary": {
            "errors": result.count("error"),
            "warnings": result.count("warning"),
            "notes": result.count("note"),
            "suppressed": len(result.suppressed),
            "baselined": len(result.baselined),
            "excepted": len(result.excepted),
            "placeholders": result.placeholder_count(),
            "older": result.older,
            "files_checked": result.files_checked,
            "files_skipped": result.files_skipped,
        },
        "stats": _stats(result.stats),
        "findings": [
            {**_finding(finding), "fingerprint": fingerprint}
            for finding, fingerprint in zip(result.findings, result.fingerprints, strict=True)
        ],
        "suppressed": _findings(result.suppressed),
        "baselined": _findings(result.baselined),
        "excepted": _findings(result.excepted),
        "remarks": [printable(remark) for remark in result.remarks],
    }
    return document(content)


def _stats(stats: Stats | None) -> dict[str, object] | None:
    if stats is None:
        return None
    return {
        "bytes": stats.size,
        "passed_over": [{"why": printable(why), "count": number} for why, number in stats.passed],
        "listing_seconds": round(stats.listing, 3),
        "checking_seconds": round(stats.checking, 3),
    }


def _findings(findings: Iterable[Finding]) -> list[dict[str, object]]:
    return [_finding(finding) for finding in findings]


def _finding(finding: Finding) -> dict[str, object]:
    said = finding.as_dict()
    return {
        **{key: printable(text) for key, text in said.items() if key != "fix"},
        "fix": "\n".join(printable(line) for line in finding.fix.splitlines()),
        "location": _location(finding),
        "digest": finding.digest or None,
        "context": printable(finding.context) or None,
        "excerpt": _excerpt(finding),
    }


def _location(finding: Finding) -> dict[str, object] | None:
    if not finding.path:
        return None
    return {
        "path": _path(finding.path),
        "line": finding.line or None,
        "column": finding.column or None,
        "end_line": finding.end_line or None,
        "end_column": finding.end_column or None,
    }


def _excerpt(finding: Finding) -> dict[str, object] | None:
    excerpt = finding.excerpt
    if excerpt is None:
        return None
    return {"text": excerpt.text, "start": excerpt.start, "end": excerpt.end}


def _path(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
