"""Which lines a branch adds: those that are not in the commit at which it left another branch.

git is asked for that commit, its tree and what was renamed since, all of which lie in its store.
The files of the work tree it is not shown: to compare them it would run the filters that a
repository configures (gitattributes(5)).
"""

from __future__ import annotations

import difflib
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from guard.errors import UsageError, printable
from guard.sources import git, index, reading
from guard.sources.file import SourceFile
from guard.sources.git import GitError

_DEEPEST = 60
"""How often a part without a common line is divided again."""

_COMPARED = 40_000
"""Pairs of lines that are compared one by one where none of them is the only one of its kind."""


@dataclass(frozen=True, slots=True)
class Base:
    """The commit at which a branch left another one.

    `blobs` has what it holds by path, `before` the former path of what was renamed since, and
    `touched` every path that the index has otherwise than the commit.
    """

    root: str
    blobs: dict[str, str]
    before: dict[str, str]
    touched: frozenset[str]


def base(revision: str, root: str) -> Base:
    """Where HEAD and `revision` part, in the repository whose work tree is `root`.

    Before the first commit HEAD is one with nothing in it. Raises UsageError if `revision` names
    no commit, if the two have none in common, as in a shallow clone, and outside of a work tree.
    """
    try:
        top, places = index.repository(os.getcwd(), root)
    except GitError as error:
        raise _cannot(revision, str(error)) from None
    if top != os.path.realpath(root):
        raise _cannot(revision, "the files that were named are not in one repository")

    def ask(*words: str) -> str:
        return os.fsdecode(git.ask(words, root, places=places))

    def commit(name: str) -> str:
        if not name or name.startswith("-") or "\0" in name:
            raise GitError("no revision")
        return ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()

    shallow = False
    try:
        shallow = ask("rev-parse", "--is-shallow-repository").strip() == "true"
        theirs = commit(revision)
    except GitError:
        if revision == "HEAD":
            return Base(root, {}, {}, frozenset())
        fix = "name a commit or a branch that `git log` knows"
        if revision.startswith("origin/"):
            fix = f"git fetch origin {printable(revision.removeprefix('origin/'))}"
        raise _cannot(revision, "this clone has no such commit", _deeper(fix)) from None
    try:
        ours = commit("HEAD")
    except GitError:
        raise _cannot(revision, "this branch has no commit yet") from None
    try:
        parted = ask("merge-base", theirs, ours).split("\n")[0]
    except GitError:
        why = "it and HEAD have no commit in common"
        if shallow:
            raise _cannot(
                revision, f"{why} in this shallow clone", _deeper("git fetch --unshallow")
            ) from None
        raise _cannot(revision, why) from None
    try:
        blobs = dict(_tree(git.ask(["ls-tree", "-r", "-z", parted], root, places=places)))
        before, touched = _changes(
            git.ask(
                ["diff-index", "--cached", "--raw", "-z", "-M", "--no-ext-diff", "--no-textconv",
                 "--no-abbrev", "--ignore-submodules=all", parted, "--"],
                root, places=places,
            )
        )  # fmt: skip
    except GitError as error:
        raise _cannot(revision, str(error)) from None
    return Base(root, blobs, before, touched)


def _deeper(fix: str) -> str:
    return f"{fix}\nin CI fetch the whole history (GitHub: fetch-depth: 0, GitLab: GIT_DEPTH: 0)"


def _cannot(revision: str, why: str, fix: str = "") -> UsageError:
    return UsageError(f"cannot tell what is new since {printable(revision)}", why=why, fix=fix)


def _tree(listed: bytes) -> Iterator[tuple[str, str]]:
    """(path, object) of each file of `git ls-tree -r -z`."""
    for line in listed.split(b"\0"):
        head, _, path = line.partition(b"\t")
        if path:
            yield os.fsdecode(path), head.decode("ascii").split(" ")[2]


def _changes(listed: bytes) -> tuple[dict[str, str], frozenset[str]]:
    """(former path by path, every path that changed) of `git diff-index --raw -z -M`."""
    before: dict[str, str] = {}
    touched = set()
    fields = iter(listed.split(b"\0"))
    for head in fields:
        if not head:
            continue
        path = os.fsdecode(next(fields, b""))
        if head.rsplit(b" ", 1)[-1][:1] in (b"R", b"C"):
            path, former = os.fsdecode(next(fields, b"")), path
            before[path] = former
        touched.add(path)
    return before, frozenset(touched)


@dataclass(frozen=True, slots=True)
class FileSinceCommit:
    """What became of a file since the commit.

    `lines` are the numbers of those that the commit does not have. `old` and `new` are what there
    was and what there is, None where that cannot be compared, `same` that nothing changed, the
    path included.
    """

    lines: Collection[int]
    old: SourceFile | None = None
    new: SourceFile | None = None
    same: bool = False


_EVERY = FileSinceCommit(range(1, 1 << 62))
_SAME = FileSinceCommit(frozenset(), same=True)


def change(found: Base, entry: reading.Entry, *, staged: bool = False) -> FileSinceCommit:
    """What became of `entry` since the commit `found`.

    What cannot be compared counts as new if git says that it changed. Raises GuardError if git
    does not give the content of the commit.
    """
    # of a link that is not new itself what counts is the file
    real = os.path.relpath(entry.absolute, found.root)
    former = found.before.get(entry.path, entry.path)
    blob = found.blobs.get(found.before.get(real, real))
    if former not in found.blobs or blob is None:
        return _EVERY
    moved = former != entry.path
    if entry.blob == blob and not moved:
        return _SAME
    before = reading.Entry(former, os.path.join(found.root, former), blob=blob)
    (old,) = index.read([before], found.root)
    (new,) = index.read([entry], found.root) if staged else (reading.read(entry),)
    if not isinstance(old, SourceFile) or not isinstance(new, SourceFile):
        touched = entry.path in found.touched or real in found.touched
        return _EVERY if touched or isinstance(old, SourceFile) else _SAME
    if old.data == new.data and not moved:
        return _SAME
    return FileSinceCommit(frozenset(added(_lines(old.text), _lines(new.text))), old, new)


def _lines(text: str) -> list[str]:
    # git may have changed the ends of lines on the way (core.autocrlf)
    return [line.removesuffix("\r") for line in text.split("\n")]


def added(old: Sequence[str], new: Sequence[str]) -> Iterator[int]:
    """The numbers, from 1, of the lines of `new` that a diff from `old` would add.

    Patience diff: lines that are the only ones of their kind on both sides hold the rest in place.
    It takes time in proportion to the text; a part in which it finds no hold counts as new.
    """
    pending = [(0, len(old), 0, len(new), 0)]
    while pending:
        a, a_end, b, b_end, depth = pending.pop()
        while a < a_end and b < b_end and old[a] == new[b]:
            a, b = a + 1, b + 1
        while a < a_end and b < b_end and old[a_end - 1] == new[b_end - 1]:
            a_end, b_end = a_end - 1, b_end - 1
        if a == a_end or b == b_end:
            yield from range(b + 1, b_end + 1)
            continue
        holds = _holds(old, a, a_end, new, b, b_end) if depth < _DEEPEST else []
        if holds:
            at_a, at_b = a, b
            for hold_a, hold_b in [*holds, (a_end, b_end)]:
                pending.append((at_a, hold_a, at_b, hold_b, depth + 1))
                at_a, at_b = hold_a + 1, hold_b + 1
        elif (a_end - a) * (b_end - b) <= _COMPARED:
            match = difflib.SequenceMatcher(None, old[a:a_end], new[b:b_end], autojunk=False)
            for kind, _, _, first, last in match.get_opcodes():
                if kind in ("insert", "replace"):
                    yield from range(b + first + 1, b + last + 1)
        else:
            yield from range(b + 1, b_end + 1)


def _holds(
    old: Sequence[str], a: int, a_end: int, new: Sequence[str], b: int, b_end: int
) -> list[tuple[int, int]]:
    """The places of common lines that occur once on each side, as many as are in one order."""
    counts_a, counts_b = Counter(old[a:a_end]), Counter(new[b:b_end])
    at = {old[n]: n for n in range(a, a_end) if counts_a[old[n]] == 1}
    pairs = [(at[new[n]], n) for n in range(b, b_end) if counts_b[new[n]] == 1 and new[n] in at]
    # the longest row of them that rises on both sides
    ends: list[int] = []
    row: list[int] = []
    previous: list[int] = []
    for number, (place, _) in enumerate(pairs):
        slot = bisect_left(ends, place)
        previous.append(row[slot - 1] if slot else -1)
        ends[slot : slot + 1] = [place]
        row[slot : slot + 1] = [number]
    longest: list[tuple[int, int]] = []
    number = row[-1] if row else -1
    while number >= 0:
        longest.append(pairs[number])
        number = previous[number]
    return longest[::-1]
