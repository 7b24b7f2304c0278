"""`check --fix`: the few changes that are certainly safe, shown as a diff before any is written.

A key in a dotenv file is commented out; a call that names one of the policy's providers in a form
that the agent does not know gets the form it knows; a suppression that silences nothing and stands
alone on its line goes.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from guard.agents.registry import names
from guard.check import suppress
from guard.errors import ExitCode, GuardError, printable
from guard.files import write as files
from guard.findings import Finding
from guard.policy.values import CompiledPolicy
from guard.rules.files.file_names import is_dotenv
from guard.sources import reading
from guard.sources.file import SourceFile, wide_encoding


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace line `line` (from 1) by `after`, without its end; None takes the line away.

    The two may hold a secret: `shown` and `shown_after` are what a report may show of them.
    """

    line: int
    after: str | None
    shown: str
    shown_after: str = ""


@dataclass(frozen=True, slots=True)
class FileChange:
    """What becomes of one file: its content before and after, and the edits in between."""

    path: str
    absolute: str
    before: bytes
    after: bytes
    edits: tuple[Edit, ...]


_DOTENV = re.compile(
    r"(?P<lead>[ \t]*)(?P<rest>(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*="
    # a value that ends on its line
    r"[ \t]*(?:\"[^\"\\]*\"|'[^'\\]*'|[^\s\"'`\\]*)[ \t]*(?:#.*)?)\Z"
)
_PROVIDER = r"--provider(?:=|[ \t]+)(?P<provider>[a-z0-9][a-z0-9-]*)"
_MODEL = r"(?:--model|-m)(?:=|[ \t]+)(?P<model>[A-Za-z0-9@][A-Za-z0-9@._:/-]*)"
_CALLS = (
    re.compile(rf"(?<!\S){_PROVIDER}[ \t]+{_MODEL}(?![^\s;&|)])"),
    re.compile(rf"(?<!\S){_MODEL}[ \t]+{_PROVIDER}(?![^\s;&|)])"),
)
_CALL_RULES = ("RG201", "RG205", "RG206")

_HIDDEN = "(a line that is not shown)"


def plan(
    findings: Iterable[Finding], files: Iterable[reading.Entry], policy: CompiledPolicy
) -> list[FileChange]:
    """The changes that answer some of `findings`; nothing is written.

    A file that can no longer be read, or is written in UTF-16 or UTF-32, is left alone.
    """
    by_path: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.line:
            by_path.setdefault(finding.path, []).append(finding)
    changes = []
    for entry in files:
        if entry.path in by_path:
            file = reading.read(entry)
            if isinstance(file, SourceFile) and not wide_encoding(file.data):
                change = _change(file, by_path[entry.path], policy)
                if change is not None:
                    changes.append(change)
    return changes


def _change(
    file: SourceFile, findings: Sequence[Finding], policy: CompiledPolicy
) -> FileChange | None:
    edits: dict[int, Edit] = {}
    for finding in findings:
        # one edit a line: a second would not see what the first did to it
        edit = None if finding.line in edits else _edit(file, finding, policy)
        if edit is not None:
            edits[edit.line] = edit
    if not edits:
        return None
    after = []
    for number, (text, end) in enumerate(_lines(file.text), start=1):
        edit = edits.get(number)
        if edit is None:
            after.append(text + end)
        elif edit.after is not None:
            after.append(edit.after + end)
    mark = file.data[: len(file.data) - len(file.text.encode("utf-8", "surrogateescape"))]
    return FileChange(
        path=file.path,
        absolute=file.absolute,
        before=file.data,
        after=mark + "".join(after).encode("utf-8", "surrogateescape"),
        edits=tuple(edits[number] for number in sorted(edits)),
    )


def _edit(file: SourceFile, finding: Finding, policy: CompiledPolicy) -> Edit | None:
    line = file.line(finding.line)
    shown = finding.excerpt.text if finding.excerpt else _HIDDEN
    change: Callable[[str], str | None]
    if finding.rule == "RG101" and is_dotenv(file.name):
        change = partial(_commented_out, name=finding.subject)
    elif finding.rule in _CALL_RULES:
        change = partial(_with_known_form, policy=policy)
    elif finding.rule == "RG902":
        return Edit(finding.line, None, shown) if _is_only_that(file, finding) else None
    else:
        return None
    after = change(line)
    if after is None or after == line:
        return None
    return Edit(finding.line, after, shown, change(shown) or _HIDDEN)


def _commented_out(line: str, name: str) -> str | None:
    match = _DOTENV.match(line)
    if match is None or match["name"] != name:
        return None
    return f"{match['lead']}# {match['rest']}"


def _with_known_form(line: str, policy: CompiledPolicy) -> str | None:
    """`line` with `--provider P --model M` as `-m P/M`, as a guarded launch reads it."""
    if not any(name in line for name in names()):
        return None
    for call in _CALLS:
        found = list(call.finditer(line))
        if len(found) != 1:
            continue
        provider, model = found[0]["provider"], found[0]["model"]
        if policy.provider(provider) is None:
            continue
        route = model if model.startswith(f"{provider}/") else f"{provider}/{model}"
        return f"{line[: found[0].start()]}-m {route}{line[found[0].end() :]}"
    return None


def _is_only_that(file: SourceFile, finding: Finding) -> bool:
    """Whether the line holds a suppression of this one rule, which is unused, and nothing else: no
    end or beginning of a longer comment, and nothing that a backslash joins to it."""
    if file.line(finding.line - 1).endswith("\\") or file.line(finding.line).endswith("\\"):
        return False
    for suppression in suppress.suppressions(file):
        if suppression.line == finding.line and suppression.column == finding.column:
            return (
                suppression.alone
                and suppression.ids == (finding.subject,)
                and suppress.is_whole(file.line(finding.line))
            )
    return False


def _lines(text: str) -> list[tuple[str, str]]:
    """(line, its end) of each line of `text`; together they are `text`."""
    found = []
    for part in text.split("\n"):
        bare = part.removesuffix("\r")
        found.append((bare, part[len(bare) :] + "\n"))
    last, end = found.pop()
    return [*found, (last, end[:-1])]


def diff(changes: Iterable[FileChange]) -> str:
    """`changes` as a unified diff without context; values are masked, so it cannot be applied."""
    out = []
    for change in changes:
        name = printable(change.path)
        out += [f"--- {name}", f"+++ {name}"]
        gone = 0
        for edit in change.edits:
            if edit.after is None:
                out.append(f"@@ -{edit.line} +{edit.line - gone - 1},0 @@")
                gone += 1
            else:
                out.append(f"@@ -{edit.line} +{edit.line - gone} @@")
            out.append(f"-{edit.shown}")
            if edit.after is not None:
                out.append(f"+{edit.shown_after}")
    return "\n".join(out)


def apply(change: FileChange) -> None:
    """Write `change`, whole or not at all, with the file's mode kept.

    Raises GuardError (exit status 3) if the file is not what it was when the change was planned,
    is a link, or cannot be written.
    """
    try:
        found = os.lstat(change.absolute)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise _failed(change, "it is a link or has hard links")
        now = reading.read(reading.Entry(change.path, change.absolute))
        if not isinstance(now, SourceFile) or now.data != change.before:
            raise _failed(change, "it changed since it was checked")
        files.write(change.absolute, change.after, stat.S_IMODE(found.st_mode), sync=True)
        with contextlib.suppress(OSError):
            os.chown(change.absolute, found.st_uid, found.st_gid, follow_symlinks=False)
    except OSError as error:
        raise _failed(change, (error.strerror or str(error)).lower()) from None


def _failed(change: FileChange, why: str) -> GuardError:
    return GuardError(
        "a fix could not be written",
        where=change.path,
        why=why,
        fix="check again, or change it by hand",
        exit_code=ExitCode.CONFIG,
    )
