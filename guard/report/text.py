"""Findings for people, on a terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from guard.errors import counted, printable
from guard.report.terminal import SEVERITIES, paint
from guard.rule_table import RULES

if TYPE_CHECKING:
    from guard.check.result import Result
    from guard.findings import Finding


def render(result: Result, root: str) -> str:
    """`result` as text: one block for each finding, then one line in sum.

    Paths are shown relative to `root`.
    """
    lines = []
    for finding in result.findings:
        severity = paint(finding.severity, SEVERITIES[finding.severity])
        shown = printable(place(finding, result.root, root))
        rule = f"{finding.rule} {RULES[finding.rule].name}"
        lines.append(f"{shown}: {severity} [{rule}] {printable(said(finding))}")
        for number, line in enumerate(finding.fix.splitlines()):
            lines.append(f"    {'fix: ' if number == 0 else '     '}{printable(line)}")
    lines += [f"note: {printable(remark)}" for remark in result.remarks]
    lines.append(in_sum(result))
    return "\n".join(lines)


def place(finding: Finding, base: str, root: str) -> str:
    """Where `finding` is, for a person: `path:line:column`, or what it says of itself.

    Its path is relative to `base` and is shown relative to `root`.
    """
    if not finding.path:
        return finding.where or finding.subject
    path = shown_path(finding, base, root)
    if not finding.line:
        return path
    return f"{path}:{finding.line}:{finding.column}" if finding.column else f"{path}:{finding.line}"


def shown_path(finding: Finding, base: str, root: str) -> str:
    """The path of `finding`, which is relative to `base`, as seen from `root`."""
    return os.path.relpath(os.path.join(base, finding.path), root)


def said(finding: Finding) -> str:
    """The message of `finding`, with its subject if that is not in it."""
    if finding.subject in finding.message or finding.subject == finding.path:
        return finding.message
    return f"{finding.subject}: {finding.message}"


def in_sum(result: Result) -> str:
    """One line: how much was found, checked and held back, and how long it took."""
    counts = [
        counted(number, severity)
        for severity in ("error", "warning", "note")
        if (number := result.count(severity))
    ]
    parts = [", ".join(counts) or "no findings"]
    if result.kind == "files":
        parts.append(f"{counted(result.files_checked, 'file')} checked")
        if result.files_skipped:
            parts.append(f"{result.files_skipped} not")
    for found, word in (
        (result.suppressed, "suppressed"),
        (result.baselined, "in the baseline"),
        (result.excepted, "excepted by the policy"),
    ):
        if found:
            parts.append(f"{len(found)} {word}")
    return f"{'; '.join(parts)} ({result.seconds:.1f} s)"
