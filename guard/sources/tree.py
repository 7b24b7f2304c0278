"""Which files a check looks at.

In a repository git is asked (gitignore(5) is git's to interpret); elsewhere the tree is walked.
A repository is not trusted: names, links and file types in it are whatever somebody put there.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from guard.errors import UsageError, printable
from guard.files.around import worktree
from guard.paths import is_within
from guard.sources import git
from guard.sources.reading import Entry, kind, reason
from guard.sources.records import Skipped

SKIPPED_DIRECTORIES = frozenset(
    (
        ".cache",
        ".direnv",
        ".eggs",
        ".git",
        ".hg",
        ".jj",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".svn",
        ".terraform",
        ".tox",
        ".venv",
        "__pycache__",
        "node_modules",
        "venv",
    )
)
"""Directories that are not entered where git cannot be asked what is ignored."""

_MAX_ALIASES = 20_000
_GONE = (errno.ENOENT, errno.ENOTDIR)


class Tree(NamedTuple):
    """What a check looks at.

    `root` is the directory to which the entries' paths are relative; what lies outside it has an
    absolute path. `skipped` are places that were found and cannot be read, with paths like those
    of the entries; `nested` other repositories that were not entered. `whole` says that nothing
    below the root was left out by the arguments.
    """

    root: str
    entries: tuple[Entry, ...]
    skipped: tuple[Skipped, ...] = ()
    nested: tuple[str, ...] = ()
    whole: bool = False


class Located(NamedTuple):
    """What is to be looked at, before anything is listed.

    `root` is that of the tree; `named` has (path, whether it is a directory) of each target.
    """

    root: str
    named: tuple[tuple[str, bool], ...]

    def collect(self) -> Tree:
        """The files to look at.

        Without targets: the whole repository, from its root, or else the tree below the working
        directory. A named file is taken even if git ignores it; of a named directory, what git
        does not ignore, or everything if git ignores the directory itself.
        """
        found = _Collector(self.root)
        for path, is_directory in self.named or [(self.root, True)]:
            if is_directory:
                found.directory(path)
            else:
                found.file(path, named=True)
        return Tree(
            root=self.root,
            entries=tuple(sorted(found.entries.values(), key=lambda entry: entry.path)),
            skipped=tuple(dict.fromkeys(found.skipped)),
            nested=tuple(sorted(found.nested)),
            whole=not self.named or (self.root, True) in self.named,
        )


def locate(targets: Sequence[str], cwd: str) -> Located:
    """Where `targets` (files and directories, relative to `cwd`) lie; without, where `cwd` does.

    Raises UsageError for a target that does not exist.
    """
    named = tuple(_locate(target, cwd) for target in targets)
    return Located(_root(named, cwd), named)


def without(found: Tree, patterns: Sequence[str]) -> Tree:
    """`found` without the paths that one of `patterns` matches.

    A pattern is a path, which stands for everything below it, or has `*`, `?` and `[…]` as in a
    shell, except that they match `/` too.
    """
    patterns = [pattern.removeprefix("./").rstrip("/") for pattern in patterns]

    def kept(path: str) -> bool:
        return not any(
            is_within(path, pattern) or fnmatch.fnmatchcase(path, pattern) for pattern in patterns
        )

    return Tree(
        root=found.root,
        entries=tuple(entry for entry in found.entries if kept(entry.path)),
        skipped=tuple(skipped for skipped in found.skipped if kept(skipped.path)),
        nested=tuple(path for path in found.nested if kept(path)),
        whole=found.whole,
    )


def _locate(target: str, cwd: str) -> tuple[str, bool]:
    """Where `target` lies and whether it is a directory. The last part of a file stays as named:
    whether it is a link matters."""
    path = os.path.join(cwd, target)
    try:
        mode = os.lstat(path).st_mode
        is_directory = stat.S_ISDIR(mode) or (stat.S_ISLNK(mode) and os.path.isdir(path))
        if is_directory:
            return os.path.realpath(path), True
        path = os.path.normpath(path) if ".." not in path else path
        return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)), False
    except (OSError, ValueError) as error:
        why = error.strerror or "" if isinstance(error, OSError) else "a NUL in a name"
        raise UsageError(
            f"cannot check {printable(target)}",
            why=why.lower(),
            fix="name files or directories that exist; without a path the repository is checked",
        ) from None


def _repository(directory: str) -> str:
    """The top of the repository that `directory` is in, "" outside of one.

    As for git, an empty directory `.git` is none: the sandbox of an agent makes one in /tmp for as
    long as a command runs in it.
    """
    top = worktree(directory)
    while top and _is_empty(os.path.join(top, ".git")):
        top = "" if top == "/" else worktree(os.path.dirname(top))
    return top


def _is_empty(directory: str) -> bool:
    try:
        return not os.listdir(directory)
    except OSError:
        return False


def _root(named: Sequence[tuple[str, bool]], cwd: str) -> str:
    """The directory that paths are relative to: of one repository its root, else the place in
    common, which is `cwd` if everything lies below it."""
    here = os.path.realpath(cwd)
    if not named:
        return _repository(here) or here
    places = {path if is_directory else os.path.dirname(path) for path, is_directory in named}
    repositories = {_repository(place) for place in places}
    if len(repositories) == 1 and "" not in repositories:
        return repositories.pop()
    if all(is_within(place, here) for place in places):
        return here
    return os.path.commonpath(places)


class _Collector:
    """Gathers entries below one root, each file once however it is reached."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.entries: dict[str, Entry] = {}
        self.skipped: list[Skipped] = []
        self.nested: set[str] = set()
        self.aliases = 0
        self._below = root.rstrip("/") + "/"

    def shown(self, path: str) -> str:
        return path[len(self._below) :] if path.startswith(self._below) else path

    def skip(self, path: str, reason: str) -> None:
        self.skipped.append(Skipped(self.shown(path), reason, os.path.abspath(path)))

    def directory(self, directory: str) -> None:
        links: list[str] = []
        for path in self._files(directory):
            self.file(path, links=links)
        # last, so that a link to a listed file is not what the file is shown as
        for path in links:
            self._link(path, named=False)

    def file(self, path: str, *, named: bool = False, links: list[str] | None = None) -> None:
        if path in self.entries:
            return
        try:
            found = os.lstat(path)
        except OSError as error:
            if error.errno not in _GONE:
                self.skip(path, reason(error))
            return
        except ValueError:
            return
        mode = found.st_mode
        if stat.S_ISREG(mode):
            self.entries[path] = Entry(self.shown(path), path, found.st_size)
        elif stat.S_ISLNK(mode):
            if links is None:
                self._link(path, named=named)
            else:
                links.append(path)
        elif stat.S_ISDIR(mode):
            # a submodule, or a repository that nobody added
            self.nested.add(self.shown(path))
        else:
            self.skip(path, kind(path))

    def _link(self, path: str, *, named: bool) -> None:
        try:
            real = os.path.realpath(path, strict=True)
            found = os.stat(real, follow_symlinks=False)
        except OSError as error:
            if error.errno == errno.ELOOP:
                self.skip(path, "a loop of links")
            elif error.errno not in _GONE:
                self.skip(path, reason(error))
            return
        top = _repository(os.path.dirname(path)) or ("" if named else self.root)
        if top and not is_within(real, top):
            self.skip(path, "a link out of the tree")
        elif stat.S_ISREG(found.st_mode):
            first = self.entries.get(real)
            alias = Entry(self.shown(path), real, found.st_size, other=first.path if first else "")
            self.entries[path if first else real] = alias
        elif not stat.S_ISDIR(found.st_mode):
            self.skip(path, kind(real))
        elif any(part.startswith(".") for part in self.shown(path).split("/")):
            self._folder_link(path, real)

    def _folder_link(self, path: str, real: str) -> None:
        """What is listed below `real` under its names below the link `path` as well.

        Only where the link's own path has a hidden part: by such names programs find their files.
        """
        for entry in list(self.entries.values()):
            if not entry.absolute.startswith(real.rstrip("/") + "/") or entry.other:
                continue
            self.aliases += 1
            if self.aliases > _MAX_ALIASES:
                self.skip(path, "one of too many links to folders")
                return
            alias = path + entry.absolute[len(real) :]
            self.entries.setdefault(alias, entry._replace(path=self.shown(alias), other=entry.path))

    def _files(self, directory: str) -> Iterable[str]:
        repository = _repository(directory)
        if not repository:
            return self._walk(directory)
        listed = self._ask_git(repository, directory)
        if listed is None or (not listed and directory != repository):
            # git does not answer, or ignores what was named
            return self._walk(directory)
        return listed

    def _ask_git(self, repository: str, directory: str) -> list[str] | None:
        try:
            return git_files(repository, directory)
        except git.GitError as error:
            self.skip(repository, f"git cannot list it ({error}); every file in it was checked")
            return None

    def _walk(self, top: str) -> Iterator[str]:
        """The files below `top`. A repository on the way is asked what it ignores."""
        pending = [top]
        while pending:
            at = pending.pop()
            try:
                with os.scandir(at) as found:
                    items = sorted(found, key=lambda item: item.name, reverse=True)
            except OSError as error:
                self.skip(at, reason(error))
                continue
            if at != top and any(item.name == ".git" for item in items):
                listed = self._ask_git(at, at)
                if listed is not None:
                    yield from listed
                    continue
            for item in items:
                if not item.is_dir(follow_symlinks=False):
                    if item.name != ".git":
                        yield item.path
                elif item.name not in SKIPPED_DIRECTORIES:
                    pending.append(item.path)


def ignored(root: str) -> int:
    """How many files and folders below `root` git ignores, a folder as one; 0 where git cannot
    say."""
    words = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"]
    try:
        listed = os.fsdecode(git.ask([*words, "--", "."], root)).split("\0")
    except git.GitError:
        return 0
    return len([name for name in listed if name])


def git_files(repository: str, directory: str) -> list[str]:
    """Tracked and untracked-not-ignored paths of `repository` below `directory`, absolute.

    Raises GitError if git cannot say which.
    """
    words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = git.ask([*words, "--", os.path.relpath(directory, repository)], repository)
    names = dict.fromkeys(os.fsdecode(name) for name in listed.split(b"\0") if name)
    return [
        os.path.join(repository, name.rstrip("/"))
        for name in names
        # git prints nothing above itself; a repository whose config moves its worktree could
        if not name.startswith(("../", "/"))
    ]
