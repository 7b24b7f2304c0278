"""Suppressions in a file: `routeguard: ignore[RG201] reason` in a comment.

A suppression holds for its own line, or, if it stands alone on a line, for the next line that is
no such comment. It counts only with a reason: without one it silences nothing and is itself a
finding. One that silences nothing is a note. In files that cannot hold comments (JSON) the
baseline and the policy's exceptions do the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from guard.errors import printable
from guard.findings import Finding
from guard.late import late
from guard.record import Record
from guard.rule_table import RULES
from guard.sources.file import SourceFile

needles = (b"routeguard:",)
"""A file without these bytes (in UTF-8) holds no suppression."""

UNSUPPRESSIBLE = frozenset(("RG901", "RG902", "RG903"))
"""Rules about the check itself; a comment does not silence them."""

_MARK = late(r"routeguard:[ \t]*ignore(?:[ \t]*\[(?P<ids>[^\]\n]*)\])?(?P<rest>[^\n]*)")

# how comments begin and end in shell, Python, C, SQL, INI, Lisp, HTML, Haskell, ML, TeX, Vim,
# batch, m4, roff and the template languages; what is an operator or a quote elsewhere counts
# only at the beginning of a line
_OPENER = late(r"(?:(?:^|[\s;,)}\]>])(?:#|//|--|;|/\*|\{-|\(\*)|<!--|<%|\{#|\{\{-?!)")
_ONLY_OPENER = late(
    r"[ \t]*(?:#+!?|//+!?|--+|;+|/\*+!?|<!--+|\{-|\(\*|%+|\"|'|\*|REM|rem|dnl|\.\\\""
    r"|\{#-?|\{\{-?!(?:--)?|<%-?#?)[ \t]*\Z"
)
_CLOSER = late(r"\*+/|--+!?>|-\}|\*\)|-?#\}|--\}\}|\}\}|-?%>")
_BLOCK = late(r"[ \t]*(?:/\*|<!--|\{-|\(\*|\{#|\{\{-?!|<%)")
_WORD = late(r"\w")
_LONE_RETURN = late(r"\r(?!\n|\Z)")

_PROSE = (".md", ".mdx", ".markdown", ".rst", ".adoc", ".txt")
"""Where a suppression may be an example of one, so that nothing is said about it."""


class Suppression(Record):
    """One comment. `line`, `column` and `end_column` count from 1, the end is exclusive.

    `alone` says that nothing else stands on its line, `covers` are the lines it holds for, `used`
    the ids of `ids` that silenced something.
    """

    line: int
    column: int
    end_column: int
    ids: tuple[str, ...]
    reason: str
    alone: bool
    covers: frozenset[int]
    used: set[str] = set()  # noqa: RUF012

    @property
    def holds(self) -> bool:
        """Whether it silences anything at all: only with a reason, a word at least."""
        return _WORD.search(self.reason) is not None


_ID_OF_NAME = {rule.name: rule.id for rule in RULES.values()}


def _id(word: str) -> str:
    """The id that `word` means: an id in any case, or a rule's name, as --select takes them."""
    id_ = _ID_OF_NAME.get(word.lower(), word.upper())
    # another word stays as it was written
    return id_ if id_ in RULES else word


def suppressions(file: SourceFile) -> list[Suppression]:
    """Every suppression in `file`, in order."""
    text = file.text
    found: list[Suppression] = []
    for match in _MARK.finditer(text):
        line, column = file.position(match.start())
        before = text[match.start() - column + 1 : match.start()]
        if _LONE_RETURN.search(before + match["rest"]):
            # to what reads the file these are several lines: it would hold for all of them
            continue
        alone = _ONLY_OPENER.match(before) is not None
        if not alone and not _OPENER.search(before):
            continue
        reason, *after = _CLOSER.split(match["rest"], maxsplit=1)
        alone = alone and not "".join(after).strip()
        found.append(
            Suppression(
                line=line,
                column=column,
                end_column=column + len(match.group()) - len(match["rest"]) + len(reason.rstrip()),
                ids=tuple(map(_id, filter(None, map(str.strip, (match["ids"] or "").split(","))))),
                reason=reason.strip(" \t\r:-"),
                alone=alone,
                covers=frozenset((line,)),
            )
        )
    covered: dict[int, int] = {}
    for suppression in reversed(found):
        if suppression.alone:
            below = suppression.line + 1
            # below a row of them is what the last of the row holds for
            covered[suppression.line] = covered.get(below, below)
            suppression.covers = frozenset((suppression.line, covered[suppression.line]))
    return found


def is_whole(line: str) -> bool:
    """Whether a comment that is alone on `line` begins and ends there, or is one line of a longer
    one that does neither there."""
    opened = _BLOCK.match(line) is not None
    return len(_CLOSER.findall(line)) == opened


_MAX_JOINED = 200
"""Lines looked at on each side of a finding: longer calls are not written by hand."""


def apply(
    file: SourceFile, findings: Iterable[Finding], selected: Collection[str]
) -> tuple[list[Finding], list[Finding]]:
    """(what remains, what is silenced) of `findings`; what remains includes RG901 and RG902.

    `selected` are the ids of the rules that were looked for: a suppression of another rule is
    not called unused.
    """
    given = suppressions(file)
    remaining: list[Finding] = []
    silenced: list[Finding] = []
    by_line: dict[int, list[Suppression]] = {}
    for suppression in given:
        for line in suppression.covers:
            by_line.setdefault(line, []).append(suppression)
    for finding in findings:
        by = _silencer(file, finding, by_line)
        if by is None:
            remaining.append(finding)
        else:
            by.used.add(finding.rule)
            silenced.append(finding)
    if not file.name.lower().endswith(_PROSE):
        for suppression in given:
            remaining.extend(_about(file, suppression, selected))
    return remaining, silenced


def _silencer(
    file: SourceFile, finding: Finding, by_line: dict[int, list[Suppression]]
) -> Suppression | None:
    if finding.rule in UNSUPPRESSIBLE or not finding.line or not by_line:
        return None
    first, last = _joined(file, finding)
    near = [s for line in {first, finding.line} for s in by_line.get(line, ())]
    if last > first:
        # a comment behind the last line of a call that takes several is on the call's line, too
        near += [s for s in by_line.get(last, ()) if not s.alone]
    for suppression in near:
        if finding.rule in suppression.ids:
            if suppression.holds:
                return suppression
            # it would have silenced: what is said about it is the missing reason
            suppression.used.add(finding.rule)
    return None


def _joined(file: SourceFile, finding: Finding) -> tuple[int, int]:
    """The lines of `finding`, and those that backslashes join to them: one line to a shell."""
    first, last = finding.line, max(finding.line, finding.end_line)
    top, bottom = max(1, first - _MAX_JOINED), last + _MAX_JOINED
    while first > top and file.line(first - 1).endswith("\\"):
        first -= 1
    while last < bottom and file.line(last).endswith("\\"):
        last += 1
    return first, last


def _about(
    file: SourceFile, suppression: Suppression, selected: Collection[str]
) -> Iterator[Finding]:
    def finding(rule: str, subject: str, message: str, fix: str) -> Finding:
        return Finding(
            rule,
            subject,
            message,
            fix=fix,
            path=file.path,
            line=suppression.line,
            column=suppression.column,
            end_line=suppression.line,
            end_column=suppression.end_column,
        )

    if not suppression.ids:
        yield finding(
            "RG902",
            "ignore",
            "a suppression that names no rule silences nothing",
            "name the rules: routeguard: ignore[RG201] reason",
        )
        return
    ids = ", ".join(suppression.ids)
    if not suppression.holds:
        yield finding(
            "RG901",
            printable(ids),
            "a suppression without a reason silences nothing",
            f"add a reason after the bracket: routeguard: ignore[{printable(ids)}] reason",
        )
    for id_ in dict.fromkeys(suppression.ids):
        if id_ not in RULES:
            yield finding(
                "RG902",
                printable(id_),
                f"a suppression of {printable(id_)}, which is not a rule",
                "`routeguard rules` lists them",
            )
        elif id_ in UNSUPPRESSIBLE:
            yield finding(
                "RG902",
                id_,
                f"{id_} is about the check itself; a comment does not silence it",
                f"leave it out with --ignore {id_}",
            )
        elif id_ not in suppression.used and id_ in selected:
            yield finding(
                "RG902",
                id_,
                f"a suppression of {id_} that silences nothing here",
                "remove it (--fix does, where it stands alone)",
            )
