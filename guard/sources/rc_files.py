"""The startup files of bash, zsh and fish, and the files that set up a login session.

Which file a shell reads: bash(1) "INVOCATION", zshall(1) "STARTUP/SHUTDOWN FILES", fish(1)
"Configuration files"; pam_env(7), environment.d(5) for the session.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from guard import paths
from guard.sources import bounded_text
from guard.sources.records import Assignment, Reading, Skipped
from guard.sources.shell_commands import FISH, POSIX
from guard.sources.shell_exports import Scripts

_ENTRIES = 200
"""How many files of one directory are read."""

_SETTING = re.compile(r"[^\S\n]*(?:export[^\S\n]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)=")
_PAM = re.compile(r"[^\S\n]*(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:=|[^\S\n]+(?:DEFAULT|OVERRIDE)=)")
_UNIVERSAL = re.compile(
    r"SET(?P<form>UVAR|_EXPORT)(?P<flags>(?: --\w+)*) (?P<name>[A-Za-z_][A-Za-z0-9_]*):"
)
_VALUE = re.compile(r"[ \t]*(?:\"[^\"]*|'[^']*|[^\s;#]*)")


def read(environ: Mapping[str, str], *, root: str = "/") -> Reading:
    """Every assignment in the startup files of this user, in the order the files are read.

    `environ` decides where the user's files lie (HOME, ZDOTDIR, XDG_CONFIG_HOME); `root` is the
    directory that stands for `/` in the paths of the system's own files.
    """
    home = paths.home(environ)
    assignments: list[Assignment] = []
    skipped: list[Skipped] = []
    for path, pattern in _session_files(environ, home, root):
        _read_lines(path, pattern, assignments, skipped)
    for dialect, files in startup_files(environ, root=root):
        # a shell of its own: what bash exports, zsh does not
        scripts = Scripts(environ, home)
        for path in files:
            scripts.read(path, dialect)
        assignments.extend(scripts.assignments)
        skipped.extend(scripts.skipped)
    universal = os.path.join(paths.config_home(environ), "fish", "fish_variables")
    _read_lines(universal, _UNIVERSAL, assignments, skipped)
    return Reading(_unique(assignments), tuple(dict.fromkeys(skipped)))


def startup_files(
    environ: Mapping[str, str], *, root: str = "/"
) -> Iterator[tuple[str, list[str]]]:
    """(dialect, paths in reading order) for bash, zsh and fish.

    Which of the files exist is not asked here, and neither is which shell the user has: a
    variable may come from the login shell although another one is running.
    """
    home = paths.home(environ)
    bash = [os.path.join(root, "etc", name) for name in ("profile", "bash.bashrc", "bashrc")]
    bash[1:1] = _matching(os.path.join(root, "etc/profile.d"), ".sh")
    bash += [
        os.path.join(home, name) for name in (".bash_profile", ".bash_login", ".profile", ".bashrc")
    ]
    yield POSIX, bash
    zdotdir = environ.get("ZDOTDIR", "")
    if not os.path.isabs(zdotdir):
        zdotdir = home
    # ~/.zshenv is where ZDOTDIR is usually set, and is read before it counts
    zsh = [os.path.join(home, ".zshenv")]
    for name in ("zshenv", "zprofile", "zshrc", "zlogin"):
        zsh.append(os.path.join(root, "etc", name))
        zsh.append(os.path.join(root, "etc/zsh", name))
        zsh.append(os.path.join(zdotdir, "." + name))
    yield POSIX, zsh
    fish = []
    for directory in (
        os.path.join(root, "etc/fish"),
        os.path.join(paths.config_home(environ), "fish"),
    ):
        fish += _matching(os.path.join(directory, "conf.d"), ".fish")
        fish.append(os.path.join(directory, "config.fish"))
    yield FISH, fish


def _unique(assignments: list[Assignment]) -> tuple[Assignment, ...]:
    """Each place once: two shells may read the same file, and one of them export from it."""
    found: dict[tuple[str, str, int], Assignment] = {}
    for assignment in assignments:
        key = (assignment.name, assignment.path, assignment.line)
        if key not in found or (assignment.exported and not found[key].exported):
            found[key] = assignment
    return tuple(found.values())


def _session_files(
    environ: Mapping[str, str], home: str, root: str
) -> Iterator[tuple[str, re.Pattern[str]]]:
    yield os.path.join(root, "etc/environment"), _SETTING
    yield os.path.join(home, ".pam_environment"), _PAM
    for path in _matching(os.path.join(paths.config_home(environ), "environment.d"), ".conf"):
        yield path, _SETTING


def _matching(directory: str, suffix: str) -> list[str]:
    """The first files of `directory` whose names end in `suffix`, in a shell's order."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(suffix))
    except OSError:
        return []
    return [os.path.join(directory, name) for name in names[:_ENTRIES]]


def _read_lines(
    path: str, pattern: re.Pattern[str], assignments: list[Assignment], skipped: list[Skipped]
) -> None:
    """Add an assignment for each line of `path` that begins as `pattern` says."""
    text = bounded_text.read(path)
    if isinstance(text, Skipped):
        skipped.append(text)
        return
    for number, line in enumerate((text or "").split("\n"), start=1):
        match = pattern.match(line)
        if match is None:
            continue
        exported, how = True, "environment file"
        if pattern is _UNIVERSAL:
            # `SETUVAR --export NAME:value`; before fish 3.0 `SET_EXPORT NAME:value`
            exported = match["form"] == "_EXPORT" or " --export" in match["flags"]
            how = "set -Ux" if exported else "set -U"
        value = _VALUE.match(line, match.end())
        shown = value.group().strip(" \t\"'") if value else ""
        assignments.append(Assignment(match["name"], path, number, how, exported, shown))
