"""Findings as SARIF 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0), for code scanning.

What a comment, the baseline or the policy holds back is left out: GitHub shows a result with
`suppressions` as an open alert (github.com/github/codeql-action/issues/1230). JSON has it.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from guard import __version__
from guard.errors import printable
from guard.report.text import said
from guard.rule_table import RULES
from guard.rules import pages

if TYPE_CHECKING:
    from guard.check.result import Result
    from guard.findings import Finding
    from guard.rule_table import Rule

FINGERPRINT = "routeguardPlace/v1"
"""The name of the fingerprint: the same while the words of the line are, wherever it moves."""

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(result: Result, root: str) -> str:
    """`result` as SARIF. `root` changes nothing: paths are as seen from the result's own,
    which is `%SRCROOT%`; a path outside of it is a `file:` URI. ASCII only."""
    index = {id_: number for number, id_ in enumerate(RULES)}
    run = {
        "tool": {
            "driver": {
                "name": "routeguard",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(rule) for rule in RULES.values()],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {"level": "note", "message": _message(remark)} for remark in result.remarks
                ],
            }
        ],
        "results": [
            {
                "ruleId": f.rule,
                "ruleIndex": index[f.rule],
                "level": f.severity,
                "message": _message(_with_fix(f)),
                "locations": [_location(f)],
                "partialFingerprints": {FINGERPRINT: fingerprint},
                **({"properties": {"context": printable(f.context)}} if f.context else {}),
            }
            for f, fingerprint in zip(result.findings, result.fingerprints, strict=True)
        ],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _rule(rule: Rule) -> dict[str, object]:
    page = pages.pages()[rule.id]
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": page.what},
        "help": {"text": pages.text(rule), "markdown": pages.markdown(rule)},
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"tags": ["security", "ai-gateway"]},
    }


def _with_fix(finding: Finding) -> str:
    return f"{said(finding)}\nfix: {finding.fix}" if finding.fix else said(finding)


def _message(text: str) -> dict[str, str]:
    shown = "\n".join(printable(line) for line in text.split("\n"))
    # what would be a link, [words](target) (3.11.6), is taken literally; names in findings come
    # from untrusted places
    return {"text": re.sub(r"\[(?=[^\[\]]*\]\()", r"\\[", shown)}


def _location(finding: Finding) -> dict[str, object]:
    if not finding.path:
        name = printable(finding.subject)
        return {"logicalLocations": [{"name": name, "fullyQualifiedName": _place(finding, name)}]}
    physical: dict[str, object] = {"artifactLocation": _artifact(finding.path)}
    if finding.line:
        region = {
            "startLine": finding.line,
            "startColumn": finding.column,
            "endLine": finding.end_line,
            "endColumn": finding.end_column,
        }
        known: dict[str, object] = {key: number for key, number in region.items() if number}
        physical["region"] = known
        excerpt = finding.excerpt
        if excerpt is not None and finding.end_line in (0, finding.line):
            # masked, so it is what the file has there but for its secrets
            known["snippet"] = {"text": excerpt.text[excerpt.start : excerpt.end]}
            physical["contextRegion"] = {
                "startLine": finding.line,
                "snippet": {"text": excerpt.text},
            }
    return {"physicalLocation": physical}


def _place(finding: Finding, name: str) -> str:
    return f"{printable(finding.where)}/{name}" if finding.where else name


def _artifact(path: str) -> dict[str, str]:
    uri = quote(os.fsencode(path))
    if os.path.isabs(path):
        return {"uri": f"file://{uri}"}
    return {"uri": uri, "uriBaseId": "%SRCROOT%"}
