"""Runs the detectors on files and gathers what they find.

Nothing a file holds may end a check: where a detector fails, the others still see the file. But
what a detector did not see to its end could be what moves the route, and whoever writes a file can
make one fail or take too long; so it is an error, not a note.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from guard.check import baseline, excerpt, share, suppress
from guard.check.result import Result, Stats, order, unchecked
from guard.findings import Finding, leave_out, lower
from guard.record import Record
from guard.rule_table import RULES
from guard.rules import needles
from guard.rules.files.file_names import context
from guard.rules.files.scope import Scope
from guard.sources import packed, reading, tree
from guard.sources.file import SourceFile, wide_encoding
from guard.sources.records import Skipped

if TYPE_CHECKING:
    from types import FrameType

    from guard.policy.values import CompiledPolicy
    from guard.rules.detectors import Detector

SECONDS = 10.0
"""How long the detectors may compute on one file, all together: an ordinary large one takes less
than one. Not the time that passes, which grows with what else the machine does."""

_TOLD_EVERY = 100
"""After how many files the progress is reported."""

_VARIABLE_RULES = frozenset(("RG101", "RG102", "RG103", "RG105", "RG106", "RG108", "RG112"))


class Settings(Record):
    """What holds for every file of one check. `now` is in Unix seconds.

    `index` is the top of the work tree whose index the files are read from, "" for the files
    themselves. Where `strict`, values that only stand for a key are findings too.
    """

    policy: CompiledPolicy
    selected: frozenset[str] = frozenset(RULES)
    digest_key: bytes = b""
    now: float = 0.0
    index: str = ""
    strict: bool = False


class Outcome(Record):
    """The outcome of checking some files. `found` are findings with their fingerprints.

    `size` are the bytes of the `checked` files, `passed` counts the others by why.
    """

    found: list[tuple[Finding, str]] = []  # noqa: RUF012
    suppressed: list[Finding] = []  # noqa: RUF012
    excepted: list[Finding] = []  # noqa: RUF012
    placeholders: list[Finding] = []  # noqa: RUF012
    checked: int = 0
    skipped: int = 0
    size: int = 0
    passed: dict[str, int] = {}  # noqa: RUF012

    def pass_over(self, why: str, number: int = 1) -> None:
        """So many more are not checked."""
        self.passed[why] = self.passed.get(why, 0) + number

    def passed_over(self) -> tuple[tuple[str, int], ...]:
        """(why, how many) of what is not checked, the most first."""
        return tuple(sorted(self.passed.items(), key=lambda item: (-item[1], item[0])))

    def add(self, other: Outcome) -> None:
        """What became of other files, too."""
        self.found += other.found
        self.suppressed += other.suppressed
        self.excepted += other.excepted
        self.placeholders += other.placeholders
        self.checked += other.checked
        self.skipped += other.skipped
        self.size += other.size
        for why, number in other.passed.items():
            self.pass_over(why, number)


def check(
    found: tree.Tree,
    settings: Settings,
    known: baseline.Baseline | None = None,
    tell: Callable[[str], None] | None = None,
) -> Result:
    """Check every file of `found`; findings that `known` has are set apart.

    `tell` is called now and then with what is being done.
    """
    outcome = check_entries(found.entries, settings, tell)
    for skipped in found.skipped:
        _note(outcome, settings, skipped)
    ordered = sorted(outcome.found, key=lambda item: order(item[0]))
    remarks = []
    waiting: list[Finding] = []
    if known is not None:
        # what is not looked for is not gone
        asked = {key: n for key, n in known.entries.items() if key[0] in settings.selected}
        ordered, waiting, stale = baseline.apply(baseline.Baseline(asked), ordered)
        if stale and found.whole:
            matches = "entry matches" if stale == 1 else "entries match"
            remarks.append(
                f"{stale} baseline {matches} nothing any more; --write-baseline drops what is gone"
            )
    remarks += [f"{path}: another repository, not entered" for path in found.nested]
    return Result(
        findings=tuple(finding for finding, _ in ordered),
        fingerprints=tuple(print_ for _, print_ in ordered),
        suppressed=tuple(sorted(outcome.suppressed, key=order)),
        baselined=tuple(waiting),
        excepted=tuple(sorted(outcome.excepted, key=order)),
        placeholders=tuple(sorted(outcome.placeholders, key=order)),
        files_checked=outcome.checked,
        files_skipped=outcome.skipped,
        root=found.root,
        remarks=tuple(remarks),
        stats=Stats(
            outcome.size,
            outcome.passed_over(),
        ),
    )


def check_entries(
    entries: Sequence[reading.Entry],
    settings: Settings,
    tell: Callable[[str], None] | None = None,
) -> Outcome:
    """Read and check files: no more than one is held at a time, by each process that does it."""
    from guard.rules.detectors import DETECTORS
    from guard.rules.files import secrets

    size = sum(entry.size for entry in entries)
    keys = DETECTORS[0] is secrets.DETECTOR
    search = _search(DETECTORS, size)
    parts = share.count(size)

    def work(part: int, tell: Callable[[str], None] | None) -> Outcome:
        outcome = Outcome()
        for number, file in enumerate(_read(entries[part::parts], settings)):
            if tell is not None and number % _TOLD_EVERY == 0:
                tell(f"checking: {number * parts:,} of {len(entries):,} files")
            if isinstance(file, Skipped):
                _note(outcome, settings, file)
            elif file is None or isinstance(file, reading.Opaque):
                outcome.pass_over("binary")
                if file is not None and keys:
                    _check_opaque(file, settings, outcome, search)
            else:
                outcome.size += len(file.data)
                check_file(file, settings, DETECTORS, outcome, search)
        return outcome

    others = [share.Share(partial(work, part, share.leave_if_alone)) for part in range(1, parts)]
    try:
        outcome = work(0, tell)
        if keys:
            _check_names(entries, settings, outcome, search)
        for other in others:
            outcome.add(other.outcome())
    finally:
        for other in others:
            other.end()
    return outcome


def _search(detectors: Sequence[Detector], size: int) -> needles.NeedleSearch:
    """The search for the detectors' needles, by their numbers, then for suppressions, and for what
    coded keys hold."""
    from guard.rules.files import coded

    return needles.search([*detectors, suppress, coded.GROUP], size)


def _read(
    entries: Sequence[reading.Entry], settings: Settings
) -> Iterator[SourceFile | reading.Opaque | Skipped | None]:
    from guard.rules.detectors import is_in_force

    key = settings.digest_key
    if settings.index:
        from guard.sources import index

        yield from index.read(entries, settings.index, digest_key=key, is_text=is_in_force)
        return
    for entry in entries:
        yield reading.read(entry, digest_key=key, is_text=is_in_force)


def check_file(
    file: SourceFile,
    settings: Settings,
    detectors: Sequence[Detector],
    outcome: Outcome,
    search: needles.NeedleSearch | None = None,
) -> None:
    """Run `detectors` on `file` and add what comes out to `outcome`.

    `search` is that of several files, without one is made.
    """
    outcome.checked += 1
    suppression = len(detectors)
    coding = suppression + 1

    def wanted(number: int) -> bool:
        return number >= suppression or _wanted(detectors[number], file)

    here = (search or _search(detectors, 0))(_searched(file), wanted)
    suppressing = suppression in here
    file.plain = coding not in here
    chosen = [detectors[number] for number in here if number < suppression]
    findings = _run(chosen, file, settings.policy) if chosen else []
    if not findings and not suppressing:
        return
    findings = [finding for finding in _once(findings) if finding.rule in settings.selected]
    if findings and settings.policy.exceptions:
        findings = _without_excepted(findings, file, settings, outcome)
    if suppressing:
        findings, silenced = suppress.apply(file, findings, settings.selected)
        outcome.suppressed += silenced
    excerpt.add(file, findings)
    for finding in findings:
        finding.context = finding.context or context(file.path)
        if finding.placeholder and not settings.strict:
            outcome.placeholders.append(finding)
        elif finding.rule in settings.selected:
            outcome.found.append((finding, baseline.fingerprint(finding, _lines(file, finding))))


def _check_opaque(
    file: reading.Opaque, settings: Settings, outcome: Outcome, search: needles.NeedleSearch
) -> None:
    """Add the keys in a file that is no text, or compressed, to `outcome`, each at the file."""
    from guard.rules.files import secrets

    for what in ("compressed", "binary"):
        data = file.data if what == "binary" else packed.unpacked(file.data)
        if not data or not search(data, _is_first):
            continue
        inner = SourceFile(file.path, data, digest_key=settings.digest_key)
        found = list(secrets.in_opaque(Scope(inner, settings.policy), what))
        if found and "RG111" in settings.selected:
            outcome.found += [(finding, baseline.fingerprint(finding, "")) for finding in found]
            return


def _check_names(
    entries: Sequence[reading.Entry],
    settings: Settings,
    outcome: Outcome,
    search: needles.NeedleSearch,
) -> None:
    """Add the keys after which files and folders are named, each at the first such file."""
    from guard.rules.files import secrets

    # a line for each, so no name may hold the end of one
    lines = (entry.path.replace("\n", " ") for entry in entries)
    names = SourceFile("", "\n".join(lines).encode(errors="replace"))
    if "RG111" not in settings.selected or not search(names.data, _is_first):
        return
    for line, finding in secrets.in_names(Scope(names, settings.policy)):
        finding.path = finding.where = entries[line - 1].path
        outcome.found.append((finding, baseline.fingerprint(finding, "")))


def _is_first(number: int) -> bool:
    return number == 0


def places(file: SourceFile, settings: Settings) -> set[tuple[str, str, str]]:
    """(rule, severity, text of the line) of each finding in `file`."""
    from guard.rules.detectors import DETECTORS

    outcome = Outcome()
    check_file(file, settings, DETECTORS, outcome)
    return {(f.rule, f.severity, file.line(f.line)) for f, _ in outcome.found}


def _wanted(detector: Detector, file: SourceFile) -> bool:
    """Whether `detector` reads a file of this name; of one that was read under another name as
    well, only what this name alone means."""
    if not detector.wants(file.path, file.name):
        return False
    return (
        not file.other
        or detector.needles == (b"",)
        or not detector.wants(file.other, os.path.basename(file.other))
    )


def _searched(file: SourceFile) -> bytes:
    """The bytes in which needles are looked for: UTF-8, whatever the file is written in."""
    if wide_encoding(file.data):
        return file.text.encode("utf-8", "surrogatepass")
    return file.data


def _lines(file: SourceFile, finding: Finding) -> str:
    if not finding.line:
        return ""
    last = min(max(finding.end_line, finding.line), finding.line + 8)
    return "\n".join(file.line(number) for number in range(finding.line, last + 1))


def _once(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Each finding once: two detectors may read the same place of the same file."""
    seen = set()
    for finding in findings:
        key = (finding.rule, finding.path, finding.line, finding.column, finding.subject)
        if not finding.line or finding.subject == finding.path:
            # about the file as a whole there may be several, told apart by their words
            key = (*key[:-1], finding.message)
        if key not in seen:
            seen.add(key)
            yield finding


def _run(detectors: Iterable[Detector], file: SourceFile, policy: CompiledPolicy) -> list[Finding]:
    findings: list[Finding] = []
    try:
        with _time_limit(SECONDS):
            for detector in detectors:
                try:
                    # one at a time: what was found before a failure counts
                    for finding in detector.check(file, policy):
                        findings.append(finding)
                except Exception as error:
                    # of an error only its type: its text may hold what the file holds
                    why = f"{detector.name} failed: {type(error).__name__}"
                    findings.append(_unchecked(file.path, why, "error"))
    except _TooLongError:
        why = f"it took more than {SECONDS:g} seconds of processor time"
        findings.append(_unchecked(file.path, why, "error"))
    return findings


class _TooLongError(BaseException):
    """The time for one file is over. No Exception: a detector must not be able to catch it."""


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise _TooLongError inside after `seconds` of processor time, in the main thread: no signal
    reaches another one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_: int, __: FrameType | None) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGPROF, end)
    # again and again: what is raised in a finalizer is lost
    signal.setitimer(signal.ITIMER_PROF, seconds, min(seconds, 1.0))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _unchecked(path: str, why: str, severity: str = "") -> Finding:
    if severity and context(path):
        severity = lower(severity)
    return unchecked(path, why, leave_out(path), severity)


def _note(outcome: Outcome, settings: Settings, skipped: Skipped) -> None:
    from guard.rules.agents.files import unread

    outcome.skipped += 1
    outcome.pass_over(skipped.reason)
    from guard.rules.detectors import is_in_force

    severity = "error" if skipped.has_content and is_in_force(skipped.path, skipped.head) else ""
    finding = unread(skipped.path, skipped.reason, skipped.absolute) or _unchecked(
        skipped.path, skipped.reason, severity
    )
    finding.context = context(skipped.path)
    if finding.rule in settings.selected:
        outcome.found.append((finding, baseline.fingerprint(finding, "")))


def _without_excepted(
    findings: list[Finding], file: SourceFile, settings: Settings, outcome: Outcome
) -> list[Finding]:
    """What no exception of the policy covers: one for the variable, or one for the file with
    exactly the content it has. Of code (RG301) the detector judges: it needs more than its file."""
    policy, now = settings.policy, settings.now
    allowance = policy.excepted(f"file:{file.absolute}", now)
    pinned = allowance.sha256.lower() if allowance is not None else ""
    import hashlib  # here: few policies have an exception for a file

    if pinned and hashlib.sha256(file.data).hexdigest() == pinned:
        outcome.excepted += [finding for finding in findings if finding.rule != "RG301"]
        return [finding for finding in findings if finding.rule == "RG301"]
    left = []
    for finding in findings:
        by_name = finding.rule in _VARIABLE_RULES and finding.subject.isidentifier()
        if by_name and policy.excepted(f"env:{finding.subject}", now) is not None:
            outcome.excepted.append(finding)
        else:
            left.append(finding)
    return left
