"""Findings as workflow commands, which GitHub Actions turns into annotations.

The form is `::error file=…,line=…,col=…,title=…::message`. The runner undoes `%25 %0D %0A` in a
message and also `%3A %2C` in a property (github.com/actions/runner, ActionCommand.cs). It shows at
most ten annotations of each level for a step, and in the log only the message of a command: the
places of all findings are listed there in a group of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.errors import printable
from guard.report import concise, text
from guard.rule_table import RULES

if TYPE_CHECKING:
    from guard.check.result import Result
    from guard.findings import Finding

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def render(result: Result, root: str) -> str:
    """`result` as workflow commands, then the places, then one line in sum.

    Paths are shown relative to `root`: the root of the repository, as GitHub expects.
    """
    lines = [_command(finding, result.root, root) for finding in result.findings]
    lines += [f"::notice title=routeguard::{_message(remark)}" for remark in result.remarks]
    if result.findings:
        # a line that begins with `::` or holds `##[` is a command (ActionCommand.cs)
        places = [f"- {line.replace('##[', '## [')}" for line in concise.lines(result, root)]
        lines += ["::group::routeguard: where", *places, "::endgroup::"]
    lines.append(f"routeguard: {text.in_sum(result)}")
    return "\n".join(lines)


def _command(finding: Finding, base: str, root: str) -> str:
    properties: dict[str, object] = {}
    if finding.path:
        properties["file"] = text.shown_path(finding, base, root)
    if finding.line:
        properties["line"] = finding.line
        properties["endLine"] = finding.end_line
        # the runner takes columns only where a finding begins and ends on one line
        if finding.end_line in (0, finding.line):
            properties["col"] = finding.column
            properties["endColumn"] = finding.end_column
    properties["title"] = f"{finding.rule} {RULES[finding.rule].name}"
    given = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items() if value)
    said = text.said(finding)
    if not finding.path and finding.where:
        said = f"{printable(finding.where)}: {said}"
    if finding.fix:
        said += f"\nfix: {finding.fix}"
    return f"::{_COMMANDS[finding.severity]} {given}::{_message(said)}"


def _message(said: str) -> str:
    shown = "\n".join(printable(line) for line in said.split("\n"))
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _message(printable(value)).replace(":", "%3A").replace(",", "%2C")
