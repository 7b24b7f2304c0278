"""Findings for people, on a terminal.

What one rule finds in one file stands together: its place and words once, then each line with the
place marked. A fix is written where it is first needed. The end is for whoever sees only that: a
table of the rules, one line in sum, and what to type next.
"""

from __future__ import annotations

import os
from itertools import groupby
from typing import TYPE_CHECKING

from guard.check.baseline import NEVER
from guard.errors import counted, printable
from guard.findings import SEVERITIES as ORDER
from guard.report import table
from guard.report.table import Column
from guard.report.terminal import SEVERITIES, columns_of, cut, paint, wrapped
from guard.rule_table import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.check.result import Result, Stats
    from guard.findings import Excerpt, Finding

WIDTH = 160
"""Columns at which a source line is cut where there is no terminal."""

_FEW = 3
"""Findings up to which the report fits on a screen and needs no table; and fixes of one group that
are written out."""

_GUTTER = 6
"""Columns for the number of a line."""


def render(result: Result, root: str, *, width: int = 0, whole: bool = False) -> str:
    """`result` as text: its findings, a table of the rules, one line in sum and what helps next.

    Paths are shown relative to `root`. `width` is that of the terminal, 0 for none. Findings of
    tests, examples and the like are one line a folder, unless they are errors or `whole` is set.
    """
    shown, folded = (list(result.findings), []) if whole else _split(result.findings)
    blocks = list(_groups(result, shown, root, width or WIDTH))
    if folded:
        blocks.append("\n".join(_folders(folded)))
    if result.remarks:
        blocks.append("\n".join(f"note: {printable(remark)}" for remark in result.remarks))
    if len(result.findings) > _FEW:
        blocks.append(_rules(result, width))
    if result.stats is not None:
        blocks.append(read_and_passed_over(result, result.stats))
    ending = [in_sum(result), *_next(result)]
    return "\n\n".join([*blocks, "\n".join(ending)])


# One finding, and those that stand with it --------------------------------------------------------


def _groups(result: Result, findings: Sequence[Finding], root: str, width: int) -> Iterator[str]:
    """One block for what one rule finds in one file."""
    told: set[tuple[str, str]] = set()
    for group in _together(findings):
        lines: list[str] = []
        fixes: list[str] = []
        before = ""
        for finding in group:
            words = printable(said(finding))
            if not lines or not _has_line(finding):
                lines.append(_headline(finding, result.root, root, words))
                before = words
            if _has_line(finding) and finding.excerpt is not None:
                lines += _source(finding, finding.excerpt, "" if words == before else words, width)
            if finding.fix and (finding.rule, finding.fix) not in told:
                told.add((finding.rule, finding.fix))
                # below the lines of the group; what has no line keeps its fix beside it
                if _has_line(finding):
                    fixes.append(finding.fix)
                else:
                    lines += _fix(finding.fix)
        lines += [line for fix in fixes[:_FEW] for line in _fix(fix)]
        if len(fixes) > _FEW:
            lines.append(f"         and {len(fixes) - _FEW} more like these")
        yield "\n".join(lines)


def _fix(fix: str) -> list[str]:
    first, *rest = fix.splitlines()
    shown = [f"    {paint('fix:', 'good')} {printable(first)}"]
    return shown + [f"         {printable(line)}" for line in rest]


def _together(findings: Sequence[Finding]) -> list[list[Finding]]:
    """`findings` by file, rule and severity, in the order in which the first of each comes."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        key = (finding.path or finding.where, finding.rule, finding.severity)
        groups.setdefault(key, []).append(finding)
    return list(groups.values())


def _has_line(finding: Finding) -> bool:
    return finding.excerpt is not None and finding.excerpt.text.strip() != ""


def _headline(finding: Finding, base: str, root: str, words: str) -> str:
    path, line = printable(place(finding, base, root)), ""
    if finding.path:
        path = printable(shown_path(finding, base, root))
        line = printable(place(finding, base, root))[len(path) :]
    severity = paint(finding.severity, SEVERITIES[finding.severity])
    rule = paint(f"[{finding.rule} {RULES[finding.rule].name}]", "note")
    return f"{paint(path, 'strong')}{line}: {severity} {rule} {words}"


def _source(finding: Finding, excerpt: Excerpt, words: str, width: int) -> list[str]:
    """The line of `finding` with its place marked, and `words` behind the mark."""
    bar = paint("|", "faint")
    room = max(width - _GUTTER - 3, 20)
    text, blank, marked = _cut(excerpt, room)
    mark = paint("^" * max(marked, 1), SEVERITIES[finding.severity])
    number = paint(f"{finding.line:>{_GUTTER}}", "faint")
    lines = [f"{number} {bar} {text}", f"{'':{_GUTTER}} {bar} {'':{blank}}{mark}"]
    if not words:
        return lines
    if blank + max(marked, 1) + 1 + columns_of(words) <= room:
        lines[-1] += f" {words}"
    else:
        lines += [f"{'':{_GUTTER}} {bar} {part}" for part in wrapped(words, room)]
    return lines


def _cut(excerpt: Excerpt, room: int) -> tuple[str, int, int]:
    """The part of the line that fits into `room` columns, the columns before the place in it, and
    those of the place."""
    text, start, end = excerpt.text, excerpt.start, excerpt.end
    text = text.rstrip()
    if columns_of(text) > room:
        lead = len(text) - len(text.lstrip())
        if lead and lead <= start:
            text, start, end = text[lead:], start - lead, end - lead
    if columns_of(text) > room and columns_of(text[:end]) > room:
        # so much of what stands before it that half of the room is left for the place
        keep = max(room // 2, room - columns_of(text[start:end]) - 4)
        first = start
        while first > 0 and columns_of(text[first - 1 : start]) < keep - 1:
            first -= 1
        if first:
            text, start, end = f"…{text[first:]}", start - first + 1, end - first + 1
    if columns_of(text) > room:
        text = cut(text, room - 1) + "…"
    return text, columns_of(text[:start]), columns_of(text[start : min(end, len(text))])


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


# Tests, examples and the like ---------------------------------------------------------------------


def _split(findings: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """(what is shown, what is only counted) of `findings`. An error is shown wherever it lies."""
    folded = [f for f in findings if f.context and f.severity != "error"]
    return [f for f in findings if not f.context or f.severity == "error"], folded


def _folders(folded: Sequence[Finding]) -> Iterator[str]:
    by_folder: dict[str, int] = {}
    for finding in folded:
        by_folder[finding.context] = by_folder.get(finding.context, 0) + 1
    for folder, number in sorted(by_folder.items()):
        yield f"{number} in {paint(printable(folder), 'strong')}: `--all` shows them"


# The end ------------------------------------------------------------------------------------------


def _rules(result: Result, width: int) -> str:
    """How much each rule found, the most serious first."""
    rows = []
    by_rule = sorted(result.findings, key=lambda finding: finding.rule)
    for rule, found in groupby(by_rule, key=lambda finding: finding.rule):
        findings = list(found)
        worst = max((f.severity for f in findings), key=ORDER.index)
        files = len({f.path or f.where for f in findings})
        row = (rule, RULES[rule].name, paint(worst, SEVERITIES[worst]), str(len(findings)))
        rows.append((-ORDER.index(worst), -len(findings), (*row, str(files))))
    columns = (
        Column("RULE"),
        Column("NAME", least=12),
        Column("LEVEL"),
        Column("FOUND", right=True),
        Column("IN FILES" if result.kind == "files" else "PLACES", right=True),
    )
    return table.table(columns, [row for _, _, row in sorted(rows)], width)


def read_and_passed_over(result: Result, stats: Stats) -> str:
    """What `--stats` tells, as lines with a label."""
    kib = stats.size / 1024
    size = f"{kib:.0f} KiB" if kib < 1024 else f"{kib / 1024:.0f} MiB"
    passed = [f"{number} {why}" for why, number in stats.passed]
    if placeholders := result.placeholder_count():
        passed.append(f"{counted(placeholders, 'placeholder')} for keys")
    rows = (
        ("READ", f"{counted(result.files_checked, 'file')}, {size}"),
        ("PASSED OVER", "\n".join(passed) or "nothing"),
        ("TIME", f"{stats.listing:.2f} s to list, {stats.checking:.2f} s to read and judge"),
    )
    return table.fields(rows)


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
    for number, word in (
        (result.older, "on older lines"),
        (len(result.suppressed), "suppressed"),
        (len(result.baselined), "in the baseline"),
        (len(result.excepted), "excepted by the policy"),
    ):
        if number:
            parts.append(f"{number} {word}")
    if passed := result.placeholder_count():
        parts.append(f"{counted(passed, 'placeholder')} passed over")
    return f"{'; '.join(parts)} ({result.seconds:.1f} s)"


def _next(result: Result) -> list[str]:
    """What helps next: one line, "" where nothing was found."""
    if not result.findings:
        return []
    worst = max(result.findings, key=lambda f: (ORDER.index(f.severity), _like(f, result)))
    helps = [f"`routeguard rules {worst.rule}` explains it"]
    if result.kind == "files" and len(result.findings) > _FEW:
        if any(finding.rule not in NEVER for finding in result.findings):
            helps.append("`--write-baseline` lets these wait")
        helps += [
            "`--exclude GLOB` leaves out paths",
            "`--format concise` writes one line each",
        ]
    return [f"next: {'; '.join(helps)}"]


def _like(finding: Finding, result: Result) -> int:
    return sum(f.rule == finding.rule for f in result.findings)
