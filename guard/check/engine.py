"""Runs the detectors on files and gathers what they find.

Nothing a file holds may end a check: a detector that fails or does not come to an end on one file
costs a note about that file, and the other detectors still see it.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from guard.check import baseline, excerpt, suppress
from guard.check.result import Result, Stats, order, unchecked
from guard.errors import ExitCode, GuardError
from guard.findings import Finding
from guard.rule_table import RULES
from guard.rules.files.file_names import context
from guard.sources import index, tree
from guard.sources.file import SourceFile, wide_encoding
from guard.sources.records import Skipped

if TYPE_CHECKING:
    from types import FrameType

    from guard.policy.values import CompiledPolicy
    from guard.rules.detectors import Detector

SECONDS = 10.0
"""How long the detectors may take on one file, all together."""

PARALLEL_FROM = 2000
"""Number of files from which more than one process works: starting them takes longer than
checking fewer."""

_PROCESSES = 4
_CHUNK = 128

_VARIABLE_RULES = frozenset(("RG101", "RG102", "RG103", "RG105", "RG106", "RG108", "RG112"))


@dataclass(frozen=True, slots=True)
class Settings:
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


@dataclass(slots=True)
class Outcome:
    """What became of some files. `found` are findings with their fingerprints.

    `size` are the bytes of the `checked` files, `passed` counts the others by why.
    """

    found: list[tuple[Finding, str]] = field(default_factory=list)
    suppressed: list[Finding] = field(default_factory=list)
    excepted: list[Finding] = field(default_factory=list)
    placeholders: list[Finding] = field(default_factory=list)
    checked: int = 0
    skipped: int = 0
    size: int = 0
    passed: Counter[str] = field(default_factory=Counter)

    def add(self, other: Outcome) -> None:
        self.found += other.found
        self.suppressed += other.suppressed
        self.excepted += other.excepted
        self.placeholders += other.placeholders
        self.checked += other.checked
        self.skipped += other.skipped
        self.size += other.size
        self.passed += other.passed


def check(
    found: tree.Tree,
    settings: Settings,
    known: baseline.Baseline | None = None,
    *,
    parallel_from: int = PARALLEL_FROM,
) -> Result:
    """Check every file of `found`; findings that `known` has are set apart.

    The result does not depend on how many processes worked.
    """
    outcome = Outcome()
    for skipped in found.skipped:
        _note(outcome, settings, skipped)
    if len(found.entries) >= parallel_from and (processes := _processes()) > 1:
        for part in _in_parallel(found.entries, settings, processes):
            outcome.add(part)
    else:
        outcome.add(check_entries(found.entries, settings))
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
        stats=Stats(outcome.size, tuple(outcome.passed.most_common())),
    )


def check_entries(entries: Sequence[tree.Entry], settings: Settings) -> Outcome:
    """Read and check files one after another."""
    from guard.rules.detectors import DETECTORS

    outcome = Outcome()
    for file in _read(entries, settings):
        if isinstance(file, Skipped):
            _note(outcome, settings, file)
        elif file is None:
            outcome.passed["binary"] += 1
        else:
            outcome.size += len(file.data)
            check_file(file, settings, DETECTORS, outcome)
    return outcome


def _read(
    entries: Sequence[tree.Entry], settings: Settings
) -> Iterator[SourceFile | Skipped | None]:
    key = settings.digest_key
    if settings.index:
        yield from index.read(entries, settings.index, digest_key=key)
        return
    for entry in entries:
        yield tree.read(entry, digest_key=key)


def check_file(
    file: SourceFile, settings: Settings, detectors: Sequence[Detector], outcome: Outcome
) -> None:
    """Run `detectors` on `file` and add what comes out to `outcome`."""
    outcome.checked += 1
    wanted = [detector for detector in detectors if detector.wants(file.path, file.name)]
    if file.other:
        # for what only this name means; the rest was found under the other
        name = os.path.basename(file.other)
        wanted = [d for d in wanted if d.needles == (b"",) or not d.wants(file.other, name)]
    raw = _prefilter_bytes(file)
    findings: list[Finding] = []
    if wanted:
        present: dict[bytes, bool] = {b"": True}
        lowered = raw.lower()
        chosen = []
        for detector in wanted:
            for needle in detector.needles:
                here = present.get(needle)
                if here is None:
                    here = present[needle] = needle in lowered
                if here:
                    chosen.append(detector)
                    break
        if chosen:
            findings = _run(chosen, file, settings.policy)
    if not findings and suppress.NEEDLE not in raw:
        return
    findings = [finding for finding in _once(findings) if finding.rule in settings.selected]
    if findings and settings.policy.exceptions:
        findings = _without_excepted(findings, file, settings, outcome)
    if suppress.NEEDLE in raw:
        findings, silenced = suppress.apply(file, findings, settings.selected)
        outcome.suppressed += silenced
    excerpt.add(file, findings)
    for finding in findings:
        finding.context = finding.context or context(file.path)
        if finding.placeholder and not settings.strict:
            outcome.placeholders.append(finding)
        elif finding.rule in settings.selected:
            outcome.found.append((finding, baseline.fingerprint(finding, _lines(file, finding))))


def places(file: SourceFile, settings: Settings) -> set[tuple[str, str, str]]:
    """(rule, severity, text of the line) of each finding in `file`."""
    from guard.rules.detectors import DETECTORS

    outcome = Outcome()
    check_file(file, settings, DETECTORS, outcome)
    return {(f.rule, f.severity, file.line(f.line)) for f, _ in outcome.found}


def _prefilter_bytes(file: SourceFile) -> bytes:
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
        if not finding.line:
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
                    findings.append(
                        _unchecked(file.path, f"{detector.name} failed: {type(error).__name__}")
                    )
    except _TooLongError:
        findings.append(_unchecked(file.path, f"checking it took longer than {SECONDS:g} seconds"))
    return findings


class _TooLongError(BaseException):
    """The time for one file is over. No Exception: a detector must not be able to catch it."""


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise _TooLongError inside after `seconds`, where the platform can (the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_: int, __: FrameType | None) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _unchecked(path: str, why: str) -> Finding:
    ignore = "check it by hand, or let git ignore it: ignored files are not checked"
    return unchecked(path, why, ignore)


def _note(outcome: Outcome, settings: Settings, skipped: Skipped) -> None:
    from guard.rules.agents.files import unread

    outcome.skipped += 1
    outcome.passed[skipped.reason] += 1
    finding = unread(skipped.path, skipped.reason) or _unchecked(skipped.path, skipped.reason)
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


# More than one process ---------------------------------------------------------------------------

_settings: Settings | None = None


def _processes() -> int:
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    return min(cores, _PROCESSES)


def _begin(settings: Settings) -> None:
    """What a worker does first."""
    global _settings
    _settings = settings
    # Ctrl-C goes to every process of the terminal; the parent is the one that answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(entries: Sequence[tree.Entry]) -> Outcome:
    if _settings is None:
        raise RuntimeError("a worker without settings")
    return check_entries(entries, _settings)


def _in_parallel(
    entries: Sequence[tree.Entry], settings: Settings, processes: int
) -> Iterator[Outcome]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # imported before the processes part, so that each does not do it again
    import guard.rules.detectors  # noqa: F401

    # a fork is at hand at once; elsewhere than on Linux system libraries do not survive one
    method = "fork" if sys.platform == "linux" else "spawn"
    pool = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context(method),
        initializer=_begin,
        initargs=(settings,),
    )
    chunks = [entries[at : at + _CHUNK] for at in range(0, len(entries), _CHUNK)]
    try:
        yield from pool.map(_work, chunks)
    except BrokenProcessPool:
        raise GuardError(
            "a process that checked files was ended from outside or ran out of memory",
            fix="check parts of the tree: routeguard check DIRECTORY",
            exit_code=ExitCode.INTERNAL,
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
