"""The startup files of bash, zsh and fish, and the files that set up a login session.

Which file a shell reads: bash(1) "INVOCATION", zshall(1) "STARTUP/SHUTDOWN FILES", fish(1)
"Configuration files"; pam_env(7), environment.d(5) for the session.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from guard import paths
from guard.sources import Assignment, Reading, Skipped, bounded_text
from guard.sources.shell_commands import FISH, POSIX
from guard.sources.shell_exports import Scripts

_ENTRIES = 200
"""How many files of one directory are read."""

_SETTING = re.compile(r"[^\S\n]*(?:export[^\S\n]+)?([A-Za-z_][A-Za-z0-9_]*)=")
_PAM = re.compile(r"[^\S\n]*([A-Za-z_][A-Za-z0-9_]*)(?:=|[^\S\n]+(?:DEFAULT|OVERRIDE)=)")
_UNIVERSAL = re.compile(r"SET(UVAR|_EXPORT)((?: --\w+)*) ([A-Za-z_][A-Za-z0-9_]*):")


def read(environ: Mapping[str, str], *, root: str = "/") -> Reading:
    """Every assignment in the startup files of this user, in the order the files are read.

    `environ` decides where the user's files lie (HOME, ZDOTDIR, XDG_CONFIG_HOME); `root` is the
    directory that stands for `/` in the paths of the system's own files.
    """
    home = paths.home(environ)
    assignments: list[Assignment] = []
    skipped: list[Skipped] = []
    for path, pattern, how in _session_files(environ, home, root):
        _read_lines(path, pattern, how, assignments, skipped)
    for dialect, files in startup_files(environ, root=root):
        # a shell of its own: what bash exports, zsh does not
        scripts = Scripts(environ, home)
        for path in files:
            scripts.read(path, dialect)
        assignments.extend(scripts.assignments)
        skipped.extend(scripts.skipped)
    universal = os.path.join(paths.config_home(environ), "fish", "fish_variables")
    _read_universal(universal, assignments, skipped)
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
) -> Iterator[tuple[str, re.Pattern[str], str]]:
    yield os.path.join(root, "etc/environment"), _SETTING, "environment file"
    yield os.path.join(home, ".pam_environment"), _PAM, "environment file"
    for path in _matching(os.path.join(paths.config_home(environ), "environment.d"), ".conf"):
        yield path, _SETTING, "environment file"


def _matching(directory: str, suffix: str) -> list[str]:
    """The first files of `directory` whose names end in `suffix`, in a shell's order."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(suffix))
    except OSError:
        return []
    return [os.path.join(directory, name) for name in names[:_ENTRIES]]


def _read_lines(
    path: str,
    pattern: re.Pattern[str],
    how: str,
    assignments: list[Assignment],
    skipped: list[Skipped],
) -> None:
    for number, match in _matches(path, pattern, skipped):
        assignments.append(Assignment(match.group(1), path, number, how))


def _matches(
    path: str, pattern: re.Pattern[str], skipped: list[Skipped]
) -> Iterator[tuple[int, re.Match[str]]]:
    """(line number, match) of each line of `path` that begins as `pattern` says."""
    text = bounded_text.read(path)
    if isinstance(text, Skipped):
        skipped.append(text)
    elif text is not None:
        for number, line in enumerate(text.split("\n"), start=1):
            match = pattern.match(line)
            if match:
                yield number, match


def _read_universal(path: str, assignments: list[Assignment], skipped: list[Skipped]) -> None:
    """fish's universal variables: `SETUVAR --export NAME:value`; before 3.0 `SET_EXPORT`."""
    for number, match in _matches(path, _UNIVERSAL, skipped):
        exported = match.group(1) == "_EXPORT" or "--export" in match.group(2).split()
        how = "set -Ux" if exported else "set -U"
        assignments.append(Assignment(match.group(3), path, number, how, exported))
