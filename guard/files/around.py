"""The working trees around a directory, and whether a path leads into one of them.

Directories are compared by device and inode, never by text, so another spelling (a link, another
case on macOS, a bind mount, `..`) changes nothing.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MAX_LINKS = 40
"""Links followed on the way to a path; Linux gives up after as many."""

TREES = (".git", ".hg", ".svn", ".jj", ".bzr", ".fslckout", "_FOSSIL_", "CVS", "_darcs")
"""Names by which a version control system marks the top of a working tree."""

ENVIRONMENTS = (
    *(".envrc", ".env", ".env.local", "mise.toml", ".mise.toml", ".mise", "mise.local.toml"),
    *(".devcontainer", ".devcontainer.json", "devbox.json", "devenv.nix", "flake.nix"),
    *("shell.nix", ".flox", ".env.development", ".env.production", ".autoenv", ".autoenv.zsh"),
    *(".shadowenv.d", "pixi.toml", ".config/mise.toml", "mise/config.toml", ".zed/settings.json"),
    *(".vscode/settings.json", ".idea", ".gitpod.yml", ".replit", "devfile.yaml", ".devfile.yaml"),
)
"""Names by which a directory sets variables for whoever works in it or below it."""

PROJECTS = (
    *("package.json", "package-lock.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb"),
    *("deno.json", "deno.jsonc", "tsconfig.json", "jsconfig.json", "opencode.json"),
    *("opencode.jsonc", "AGENTS.md", "CLAUDE.md", "CONTEXT.md", "GEMINI.md", ".routeguard.toml"),
    *(".pre-commit-config.yaml", "pyproject.toml", "setup.py", "setup.cfg", "requirements.txt"),
    *("Pipfile", "tox.ini", "uv.lock", "poetry.lock", "environment.yml", "Cargo.toml", "go.mod"),
    *("go.work", "pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "Gemfile"),
    *("composer.json", "mix.exs", "CMakeLists.txt", "meson.build", "BUILD", "BUILD.bazel"),
    *("WORKSPACE", "MODULE.bazel", "Package.swift", "pubspec.yaml", "build.zig", "default.nix"),
    *("Dockerfile", "Containerfile", "compose.yml", "compose.yaml", "docker-compose.yml"),
    *("docker-compose.yaml", "Vagrantfile", "Procfile", ".gitlab-ci.yml", ".github", ".circleci"),
    *("Makefile", "makefile", "GNUmakefile", "justfile", "Justfile", ".justfile"),
    *("Taskfile.yml", "Taskfile.yaml", "Rakefile", "README.md", "README.rst", "README", "LICENSE"),
)
"""Names that lie at the top of a project. What a home directory holds as well (`node_modules`,
agents' own folders, `.vscode`, `.editorconfig`, `.tool-versions`) tells nothing."""

_PREFIXES = ("/usr", "/usr/local", "/opt")


def worktree(directory: str) -> str:
    """The nearest directory from `directory` (absolute) upwards that holds `.git`, "" if none.

    `.git` may be a directory, a file (a linked worktree, a submodule) or a link.
    """
    at = directory
    while not os.path.lexists(os.path.join(at, ".git")):
        above = os.path.dirname(at)
        if above == at:
            return ""
        at = above
    return at


def levels(directory: str) -> tuple[str, ...]:
    """The real directories from the one that holds `.git` down to `directory`, outermost first.

    Without `.git` only `directory` itself.
    """
    at = os.path.realpath(directory)
    found = [at]
    top = worktree(at)
    while top and at != top:
        at = os.path.dirname(at)
        found.append(at)
    return tuple(reversed(found))


class Around:
    """The trees around the directory `starts`: one directory, in each spelling that counts.

    Every directory from there to the root that holds one of TREES or ENVIRONMENTS is a tree, outer
    ones included; where none holds one of TREES, one of PROJECTS will do; and the directory itself
    is one even without, unless `unmarked` is False.

    No tree is: the root, a directory that the account's home is or lies in (a home can be a
    repository of dotfiles), a sticky directory that everybody may write (/tmp), and, without marks,
    `home` and the system's own prefixes. `account` tells the account's home, "" if it has none; it
    is called only where it matters, because asking the user database can be slow.
    """

    __slots__ = (
        *("_above", "_account", "_here", "_own", "_trees", "_unmarked", "_versioned", "_ways"),
    )

    def __init__(
        self,
        starts: Iterable[str],
        home: str,
        account: Callable[[], str],
        *,
        unmarked: bool = True,
    ) -> None:
        self._here: dict[tuple[int, int], str] = {}
        for start in starts:
            for identity, path in _upwards(start):
                self._here.setdefault(identity, path)
        self._unmarked = next(iter(self._here), None)
        if not unmarked or self._unmarked in [_identity(path) for path in (home, *_PREFIXES)]:
            self._unmarked = None
        self._account = account
        self._own: list[tuple[int, int]] | None = None
        self._versioned: bool | None = None
        self._trees: dict[tuple[int, int], bool] = {}
        # what was seen on the way: the user's directories have most of it in common
        self._above: dict[str, str] = {}
        self._ways: dict[str, str] = {}

    def tree_of(self, path: str) -> str:
        """The tree around us that `path` (absolute) lies in, "" if it lies in none.

        It also lies in a tree if a link on the way to it does: whoever owns the link decides
        where it leads.
        """
        return next(filter(None, map(self._tree_at, way(path, self._ways))), "")

    def _tree_at(self, path: str) -> str:
        """The innermost tree around us that is at the real `path` or above it, "" for none."""
        passed = []
        while (tree := self._above.get(path)) is None:
            passed.append(path)
            identity = _identity(path)
            above = os.path.dirname(path)
            if identity in self._here and self._is_tree(identity):
                tree = self._here[identity]
                break
            if above == path:
                tree = ""
                break
            path = above
        self._above.update(dict.fromkeys(passed, tree))
        return tree

    def _is_tree(self, identity: tuple[int, int]) -> bool:
        known = self._trees.get(identity)
        if known is None:
            known = self._trees[identity] = self._judge(identity)
        return known

    def _judge(self, identity: tuple[int, int]) -> bool:
        path = self._here[identity]
        # first what is asked once: over a hundred names are looked for in a directory without marks
        if path == "/" or _is_shared(path):
            return False
        marked = (
            identity == self._unmarked
            or _holds(path, (*TREES, *ENVIRONMENTS))
            or (_holds(path, PROJECTS) and not self._is_versioned())
        )
        return marked and not self._is_above_account(identity)

    def _is_versioned(self) -> bool:
        if self._versioned is None:
            self._versioned = any(
                _holds(path, TREES)
                and not (path == "/" or _is_shared(path) or self._is_above_account(identity))
                for identity, path in self._here.items()
            )
        return self._versioned

    def _is_above_account(self, identity: tuple[int, int]) -> bool:
        """Whether the account's home is the directory of `identity`, or lies in it."""
        if self._own is None:
            account = self._account()
            above = _upwards(os.path.realpath(account)) if account else []
            self._own = [other for other, _ in above]
        return identity in self._own


def way(path: str, links: dict[str, str] | None = None) -> list[str]:
    """The directories that decide where `path` (absolute) leads, and its real path.

    That is the directory of every link on the way, and last the real path itself. What does not
    exist leads where its parts would lie. `links` keeps what was read for the next path.
    """
    links = {} if links is None else links
    found: list[str] = []
    at = "/"
    left = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    followed = 0
    while left:
        part = left.pop()
        if part == "..":
            at = os.path.dirname(at)
            continue
        below = f"{at.rstrip('/')}/{part}"
        if below not in links:
            try:
                links[below] = os.readlink(below)
            except (OSError, ValueError):
                links[below] = ""
        target = links[below] if followed < _MAX_LINKS else ""
        if not target:
            at = below
            continue
        followed += 1
        found.append(at)
        if target.startswith("/"):
            at = "/"
        left += [part for part in reversed(target.split("/")) if part not in ("", ".")]
    return [*found, at]


def _upwards(path: str) -> list[tuple[tuple[int, int], str]]:
    """Each existing directory or file from the real `path` up to the root, by its identity."""
    found = []
    while True:
        identity = _identity(path)
        if identity is not None:
            found.append((identity, path))
        above = os.path.dirname(path)
        if above == path:
            return found
        path = above


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _holds(path: str, names: tuple[str, ...]) -> bool:
    # dozens of names at each launch: `join` would take longer than to ask
    above = path.rstrip("/") + "/"
    return any(os.path.lexists(above + name) for name in names)


def _is_shared(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return bool(mode & stat.S_ISVTX and mode & stat.S_IWOTH)
