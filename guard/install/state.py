"""What setup and teardown share: one of them at a time, in a home that is the user's own."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from guard import paths, shells
from guard.files.lock import lock
from guard.files.write import write
from guard.install.refusals import NotPossibleError, not_written

MADE = "made-directories"
"""File in our data directory: the directories that were not there before the first setup."""


def require_own_home(environ: Mapping[str, str], cwd: str) -> None:
    """Raise NotPossibleError where HOME, or a directory named by an XDG variable, is not the
    user's: what is set up there would guard somebody else, or nobody."""
    home = environ.get("HOME", "")
    if not os.path.isabs(home):
        raise NotPossibleError(
            "HOME is not set to an absolute path", fix=shells.export("HOME", "/…")
        )
    if "\n" in home:
        raise NotPossibleError("HOME holds a newline", fix="a home whose path is one line")
    if not os.path.isdir(home):
        raise NotPossibleError(
            "HOME is not a directory", where=home, fix=f"mkdir -p {shlex.quote(home)}"
        )
    if os.getuid() == 0 and os.stat(home).st_uid != 0:
        raise NotPossibleError(
            "HOME belongs to another user", where=home, fix="run it as yourself, without sudo"
        )
    for wrong in paths.misplaced(environ, cwd):
        raise NotPossibleError(
            "nothing was set up: a project names one of your directories",
            why=wrong.what,
            fix=wrong.fix,
        )


@contextmanager
def alone(environ: Mapping[str, str]) -> Iterator[None]:
    """Only one setup or teardown at a time: two would each add a block. Makes our directory."""
    data = paths.routeguard_data(environ)
    try:
        os.makedirs(data, exist_ok=True)
        held = lock(data, 0.0, directory=True)
    except TimeoutError:
        raise NotPossibleError(
            "another setup or teardown of routeguard is running",
            where=data,
            fix="wait for it, then run this again",
        ) from None
    except OSError as error:
        raise not_written(data, error) from None
    with held:
        yield


def missing_directories(wanted: list[str]) -> list[str]:
    """Those of `wanted`, and of the directories above them, that do not exist."""
    found = set()
    for path in wanted:
        while not os.path.isdir(path) and path != os.path.dirname(path):
            found.add(path)
            path = os.path.dirname(path)
    return sorted(found)


def remember_missing(environ: Mapping[str, str], missing: list[str]) -> None:
    """Keep which directories were `missing` before the first setup, so that teardown can tell."""
    path = os.path.join(paths.routeguard_data(environ), MADE)
    if os.path.lexists(path):
        return
    try:
        write(path, os.fsencode("".join(f"{name}\n" for name in missing)))
    except OSError as error:
        raise not_written(path, error) from None


def made_directories(environ: Mapping[str, str]) -> list[str]:
    """The directories that setup found missing, deepest first."""
    path = os.path.join(paths.routeguard_data(environ), MADE)
    try:
        with open(path, "rb") as file:
            names = [os.fsdecode(line) for line in file.read().split(b"\n") if line]
    except OSError:
        return []
    return sorted(names, reverse=True)
