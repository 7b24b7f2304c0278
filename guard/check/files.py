"""One check of files, from request to result: which files, the baseline, fixes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from guard.check import baseline, engine
from guard.check.result import Result
from guard.errors import counted
from guard.findings import Finding
from guard.launch.process import own_environment
from guard.policy import cache
from guard.policy.values import CompiledPolicy
from guard.record import Record
from guard.sources import digest_key, tree

if TYPE_CHECKING:
    from guard.sources import added, index


class FileRequest(NamedTuple):
    """What to check and what to do with it.

    `baseline` None is the default one if it exists, "" is none. `staged` reads files from git's
    index; policy and baseline are those of the work tree. `strict` reports placeholders. With
    `since`, a revision, only findings on lines that were added since this branch left it count.
    `fix` plans fixes, `write` applies them. `stats` keeps what was read and passed over.
    """

    paths: Sequence[str]
    selected: frozenset[str]
    exclude: Sequence[str] = ()
    baseline: str | None = None
    write_baseline: bool = False
    fix: bool = False
    write: bool = False
    staged: bool = False
    strict: bool = False
    since: str = ""
    stats: bool = False


class Done(Record):
    """The result, the fixes as a diff, and what to tell about baseline and fixes.

    `nothing` says that a fix was asked for and none is possible: that is all there is to tell.
    """

    result: Result
    diff: str = ""
    nothing: bool = False
    said: list[str] = []  # noqa: RUF012


def check(
    asked: FileRequest,
    environ: Mapping[str, str],
    cwd: str,
    tell: Callable[[str], None] | None = None,
) -> Done:
    """Check the files that `asked` names; `tell` is called with the progress.

    Raises UsageError, PolicyError, GuardError.
    """
    own = own_environment(environ)
    # whatever can be refused is, before a tree is listed that may be large
    located: tree.Located | index.Located
    if asked.staged:
        from guard.sources import index

        located = index.locate(asked.paths, cwd)
    else:
        located = tree.locate(asked.paths, cwd)
    policy = cache.load(located.root, own, here=cwd)
    known_at = os.path.join(located.root, baseline.DEFAULT_NAME)
    if asked.baseline:
        known_at = os.path.join(cwd, asked.baseline)
    known, there = None, os.path.lexists(known_at)
    if (asked.baseline or (asked.baseline is None and there)) and (
        there or not asked.write_baseline
    ):
        known = baseline.read(known_at)
    if asked.write_baseline:
        baseline.refuse_place(known_at)
    base = None
    if asked.since:
        from guard.sources import added

        base = added.base(asked.since, located.root)
    began = time.monotonic()
    listed = located.collect()
    found = tree.without(listed, asked.exclude)
    left_out = [("excluded", len(listed.entries) - len(found.entries))]
    if asked.stats and not asked.staged:
        left_out.append(("ignored by git", tree.ignored(found.root)))
    listing = time.monotonic() - began
    # digests look like what a detector looks for, and hold nothing
    real = os.path.realpath(known_at)
    found = found._replace(entries=tuple(e for e in found.entries if e.absolute != real))
    settings = engine.Settings(
        policy=policy,
        selected=asked.selected,
        digest_key=digest_key.load(own),
        now=time.time(),
        index=found.root if asked.staged else "",
        strict=asked.strict,
    )

    def result() -> Result:
        started = time.monotonic()
        every = engine.check(found, settings, None if asked.write_baseline else known, tell)
        stats = every.stats if asked.stats else None
        if stats is not None:
            passed = (*stats.passed, *(pair for pair in left_out if pair[1]))
            took = time.monotonic() - started
            stats = stats._replace(passed=passed, listing=listing, checking=took)
        every = every.changed(stats=stats)
        return every if base is None else _only_new(every, found, base, settings)

    if asked.write_baseline:
        return _write_baseline(result(), found, settings, known, known_at)
    done = Done(result())
    if asked.fix and _fix(done, found, settings.policy, asked.write):
        done.result = result()
    return done


def _only_new(
    result: Result, found: tree.Tree, base: added.Base, settings: engine.Settings
) -> Result:
    """`result` without what `base` has already: findings on lines of before that were findings
    then. A line of before counts if something else made it one: what stands around it, the name
    of the file, a comment that is gone. What is about a file as a whole stays if that changed."""
    entries = {entry.path: entry for entry in found.entries}
    from guard.sources import added

    changes: dict[str, added.FileSinceCommit] = {}
    known: dict[str, set[tuple[str, str, str]]] = {}

    def is_new(finding: Finding) -> bool:
        path = finding.path
        if path not in entries:
            # a place that is no file, such as a link that leads out
            return path in base.touched or path not in base.blobs
        if path not in changes:
            changes[path] = added.change(base, entries[path], staged=bool(settings.index))
        change = changes[path]
        if change.same:
            return False
        last = max(finding.line, finding.end_line)
        if not finding.line or any(n in change.lines for n in range(finding.line, last + 1)):
            return True
        if change.old is None or change.new is None:
            return True
        if path not in known:
            known[path] = engine.places(change.old, settings)
        return (finding.rule, finding.severity, change.new.line(finding.line)) not in known[path]

    kept = [
        pair for pair in zip(result.findings, result.fingerprints, strict=True) if is_new(pair[0])
    ]
    return result.changed(
        findings=tuple(finding for finding, _ in kept),
        fingerprints=tuple(digest for _, digest in kept),
        older=len(result.findings) - len(kept),
    )


def _write_baseline(
    result: Result,
    found: tree.Tree,
    settings: engine.Settings,
    old: baseline.Baseline | None,
    path: str,
) -> Done:
    pairs = list(zip(result.findings, result.fingerprints, strict=True))
    new = baseline.of(pairs)
    if old is not None:
        checked = frozenset(entry.path for entry in found.entries)
        new = baseline.kept(old, new, None if found.whole else checked, settings.selected)
    baseline.write(new, path)
    left, waiting, _ = baseline.apply(new, pairs)
    return Done(
        result.changed(
            findings=tuple(finding for finding, _ in left),
            fingerprints=tuple(digest for _, digest in left),
            baselined=tuple(waiting),
        ),
        said=[f"baseline with {counted(sum(new.entries.values()), 'finding')}: {path}"],
    )


def _fix(done: Done, found: tree.Tree, policy: CompiledPolicy, write: bool) -> bool:
    """Plan what can be fixed, and write it if `write`; whether anything was written."""
    from guard.check import fix as fixing

    changes = fixing.plan(done.result.findings, found.entries, policy)
    if not changes:
        left = len(done.result.findings)
        counts = f"; {counted(left, 'finding')} left: routeguard check" if left else ""
        done.said.append(f"nothing here can be fixed safely{counts}")
        done.nothing = True
        return False
    done.diff = fixing.diff(changes)
    files = counted(len(changes), "file")
    if not write:
        done.said.append(f"{files} would change; --yes writes it")
        return False
    for change in changes:
        fixing.apply(change)
    done.said.append(f"{files} changed")
    return True
