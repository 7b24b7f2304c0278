"""What git's index holds: the content that the next commit will have, not that of the work tree.

git is asked where it stands (git(1), "GIT_INDEX_FILE"): `git commit -a` and `git commit FILE` give
their hooks another index than `.git/index`.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from guard.errors import GuardError, UsageError, printable
from guard.sources import git, reading, tree
from guard.sources.file import SourceFile
from guard.sources.git import GitError
from guard.sources.records import Skipped

_LINK, _REPOSITORY = "120000", "160000"
_MOST_LINKS = 20
_LONGEST_PATH = 4096
_BATCH = 32 * 1024 * 1024
"""Bytes of content that are asked for at once."""
_LARGE_FILE = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-\d-[\w-]+ sha256:[0-9a-f]+\n)*"
    rb"oid sha256:[0-9a-f]+\nsize \d+\n?"
)
"""A whole pointer (git-lfs, docs/spec.md). What only begins like one is a file."""

_MOST_OF_ONE = 64 * 1024 * 1024
"""Bytes of a file that is too large to be checked, up to which git is asked how it begins."""


class _Staged(NamedTuple):
    mode: str
    blob: str
    status: str


class Located(NamedTuple):
    """What of an index is to be looked at, before anything is listed.

    `root` is the top of the work tree, `places` are the variables of git that name its repository;
    `targets` are files and directories, relative to `cwd`.
    """

    root: str
    places: dict[str, str]
    targets: Sequence[str]
    cwd: str

    def collect(self) -> tree.Tree:
        """The files of the index that a check looks at, with the content they have there.

        Without targets: those that the next commit adds or changes. With: the named files, and
        those below the named directories, changed or not. What was only announced (`git add -N`)
        is not in the index. Raises UsageError for an index that git cannot read and for a target
        that is not in it.
        """
        top = self.root
        try:
            given = self.places | _index_file(self.cwd, top)
            named = [_within(target, self.cwd, top) for target in self.targets]
            everything = _changes(top, given, _empty_tree(top, given))
            changed = everything
            if not named:
                base = _head(top, given)
                changed = _changes(top, given, base) if base else everything
            links = _Links(everything, top, given)
        except GitError as error:
            raise _cannot(error) from None
        chosen = {
            path: entry
            for path, entry in changed.items()
            if not named or any(_is_below(path, one) for one, _ in named)
        }
        for one, target in named:
            if not any(_is_below(path, one) for path in chosen):
                raise UsageError(
                    f"cannot check {printable(target)}: it is not in the index",
                    fix="git add it; without --staged the work tree is checked",
                )
        entries: list[reading.Entry] = []
        skipped: list[Skipped] = []
        nested: list[str] = []
        for path, staged in sorted(chosen.items()):
            if staged.mode == _REPOSITORY:
                nested.append(path)
            elif staged.status == "U":
                skipped.append(Skipped(path, "in conflict: the merge is unfinished"))
            elif (end := links.end(path)) is not None and end.mode != _REPOSITORY:
                # a link to a file is a file under another name, and the name may say what it is for
                entries.append(reading.Entry(path, os.path.join(top, path), blob=end.blob))
            elif not links.leads_to_a_directory(path):
                skipped.append(Skipped(path, "a link out of the index"))
        return tree.Tree(
            root=top, entries=tuple(entries), skipped=tuple(skipped), nested=tuple(nested)
        )


def locate(targets: Sequence[str], cwd: str) -> Located:
    """Where the index of `cwd` is. Raises UsageError outside of a work tree."""
    try:
        top, given = repository(cwd)
    except GitError as error:
        raise _cannot(error) from None
    return Located(top, given, targets, cwd)


def _cannot(error: GitError) -> UsageError:
    return UsageError("cannot check the index", why=str(error))


def read(
    entries: Iterable[reading.Entry],
    root: str,
    *,
    digest_key: bytes = b"",
    is_text: reading.IsText = reading.never,
) -> Iterator[SourceFile | reading.Opaque | Skipped | None]:
    """What `reading.read` gives for each of `entries`, which are blobs of the repository `root`.

    Raises GuardError if git does not give their content.
    """
    try:
        given = places(os.getcwd())
        sizes = _sizes([entry.blob for entry in entries], root, given)
        batch: list[reading.Entry] = []
        total = 0
        for entry in entries:
            size = sizes[entry.blob]
            if total + size > _BATCH and batch:
                yield from _contents(batch, root, given, digest_key, is_text)
                batch, total = [], 0
            if size > reading.LIMIT:
                yield from _contents(batch, root, given, digest_key, is_text)
                batch, total = [], 0
                if size > _MOST_OF_ONE:
                    yield Skipped(entry.path, reading.TOO_LARGE, has_content=True)
                else:
                    yield from _contents([entry], root, given, digest_key, is_text)
                continue
            batch.append(entry)
            total += size
        yield from _contents(batch, root, given, digest_key, is_text)
    except GitError as error:
        raise GuardError("the index cannot be read", where=root, why=str(error)) from None


def _contents(
    batch: Sequence[reading.Entry],
    root: str,
    places: dict[str, str],
    digest_key: bytes,
    is_text: reading.IsText,
) -> Iterator[SourceFile | reading.Opaque | Skipped | None]:
    if not batch:
        return
    asked = "".join(f"{entry.blob}\n" for entry in batch).encode()
    answer = git.ask(["cat-file", "--batch"], root, places=places, given=asked)
    at = 0
    for entry in batch:
        head, _, _ = answer[at : at + 200].partition(b"\n")
        name, kind, size = _header(head)
        if name != entry.blob or kind != "blob":
            raise GitError(f"it has no content for {printable(entry.path)}")
        at += len(head) + 1
        data = answer[at : at + size]
        at += size + 1
        if _LARGE_FILE.fullmatch(data):
            why = "a Git LFS pointer: its content is not in the index"
            yield Skipped(entry.path, why, has_content=True)
        else:
            yield reading.source(entry, data, digest_key, is_text)


def _sizes(blobs: Sequence[str], root: str, places: dict[str, str]) -> dict[str, int]:
    asked = "".join(f"{blob}\n" for blob in dict.fromkeys(blobs)).encode()
    answer = git.ask(["cat-file", "--batch-check"], root, places=places, given=asked)
    found = {}
    for line in answer.splitlines():
        name, kind, size = _header(line)
        if kind != "blob":
            raise GitError(f"an object is missing: {name}")
        found[name] = size
    return found


def _header(line: bytes) -> tuple[str, str, int]:
    """(object, type, size) of a line of `git cat-file --batch`; the type is "" if it is missing."""
    words = line.decode("ascii", "replace").split(" ")
    if len(words) != 3 or not words[2].isdigit():
        return words[0], "", 0
    return words[0], words[1], int(words[2])


def repository(cwd: str, at: str = "") -> tuple[str, dict[str, str]]:
    """The top of the work tree of `at` (`cwd`), and the variables of git that name its repository.

    Raises GitError outside of one.
    """
    given = places(cwd)
    root = os.fsdecode(git.ask(["rev-parse", "--show-toplevel"], at or cwd, places=given))
    return os.path.realpath(root.removesuffix("\n")), given


def places(cwd: str) -> dict[str, str]:
    """The variables by which git told a hook that works in `cwd` where the repository is."""
    found = {
        name: os.path.join(cwd, os.environ[name]) for name in git.PLACES if os.environ.get(name)
    }
    several = os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES", "")
    if several:
        # a list, which git writes with absolute paths
        found["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = several
    return found


def _index_file(cwd: str, root: str) -> dict[str, str]:
    """The variable that names another index than the repository's own, if one does.

    git runs its hooks at the top; a hook that went elsewhere still means the same file. Raises
    GitError if there is none: git would take it for an empty index, in which nothing is wrong.
    """
    named = os.environ.get("GIT_INDEX_FILE", "")
    if not named:
        return {}
    for at in (cwd, root):
        path = os.path.join(at, named)
        if os.path.exists(path):
            return {"GIT_INDEX_FILE": path}
    raise GitError("GIT_INDEX_FILE names a file that does not exist")


def _within(target: str, cwd: str, root: str) -> tuple[str, str]:
    """(path of `target` as the index has it, `target`). The last part may be a link itself."""
    path = os.path.normpath(os.path.join(os.path.realpath(cwd), target))
    if path != root:
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    shown = os.path.relpath(path, root)
    if shown == ".." or shown.startswith("../") or "\0" in target:
        raise UsageError(f"cannot check {printable(target)}: it is outside of the repository")
    return "" if shown == "." else shown, target


def _is_below(path: str, directory: str) -> bool:
    return not directory or path == directory or path.startswith(directory + "/")


def _head(root: str, places: dict[str, str]) -> str:
    """The commit that the next one follows, "" for the first one."""
    try:
        said = git.ask(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], root, places=places)
    except GitError:
        return ""
    return said.decode().strip()


def _empty_tree(root: str, places: dict[str, str]) -> str:
    return git.ask(["hash-object", "-t", "tree", "--stdin"], root, places=places).decode().strip()


def _changes(root: str, places: dict[str, str], base: str) -> dict[str, _Staged]:
    """By path, what the index changes or adds to the tree of `base`; deleted files are left out."""
    words = [
        "diff-index",
        "--cached",
        "--raw",
        "-z",
        "--no-renames",
        "--no-ext-diff",
        "--no-abbrev",
    ]
    words += ["--ita-invisible-in-index", "--ignore-submodules=none", base, "--"]
    fields = git.ask(words, root, places=places).split(b"\0")
    found: dict[str, _Staged] = {}
    for head, path in zip(fields[::2], fields[1::2], strict=False):
        _, mode, _, blob, status = head.decode().split(" ")
        name = os.fsdecode(path)
        # an entry in conflict is listed once as such and once as changed
        if status != "D" and found.get(name, _Staged("", "", "")).status != "U":
            found[name] = _Staged(mode, blob, status)
    return found


class _Links:
    """Where the links of an index lead, as a checkout of it would have them."""

    def __init__(self, index: dict[str, _Staged], root: str, places: dict[str, str]) -> None:
        self._index = index
        links = [(path, entry.blob) for path, entry in index.items() if entry.mode == _LINK]
        self._targets: dict[str, str] = {}
        if links:
            sizes = _sizes([blob for _, blob in links], root, places)
            short = [(path, blob) for path, blob in links if sizes[blob] < _LONGEST_PATH]
            asked = "".join(f"{blob}\n" for _, blob in short).encode()
            answer = git.ask(["cat-file", "--batch"], root, places=places, given=asked)
            for path, blob in short:
                start = answer.index(b"\n") + 1
                self._targets[path] = os.fsdecode(answer[start : start + sizes[blob]])
                answer = answer[start + sizes[blob] + 1 :]

    def end(self, path: str) -> _Staged | None:
        """What is at `path` in the end; None for nothing that git has, or for a directory."""
        left = path.split("/")
        at = ""
        followed = 0
        while left:
            part = left.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                if not at:
                    return None
                at = posixpath.dirname(at)
                continue
            at = f"{at}/{part}" if at else part
            entry = self._index.get(at)
            if entry is not None and entry.mode == _LINK:
                target = self._targets.get(at, "/")
                followed += 1
                if target.startswith("/") or followed > _MOST_LINKS:
                    return None
                left[:0] = target.split("/")
                at = posixpath.dirname(at)
        return self._index.get(at)

    def leads_to_a_directory(self, path: str) -> bool:
        """Whether the link `path` names a directory that git has, whose files it lists itself."""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), self._targets[path]))
        return any(name.startswith(target + "/") for name in self._index)
