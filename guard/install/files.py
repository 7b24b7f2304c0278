"""What setup writes into a home: launcher, shims, completion, a block in each start file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from guard import paths
from guard.errors import GuardError
from guard.files.read import UnreadableError, read_bytes
from guard.files.write import write
from guard.hook import SHELLS
from guard.install import blocks, launcher, shims, start_files
from guard.install.refusals import NotPossibleError, not_written
from guard.install.start_files import Say
from guard.install.state import alone, missing_directories, remember_missing
from guard.install.way import Way


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person chose: which shells ("all", or names; () means those found here), and what
    is left out. `completion` is the code for each shell, by its name, `manual` the manual page;
    without, none is written."""

    shells: tuple[str, ...] = ()
    rc: bool = True
    shims: bool = True
    completion: Mapping[str, str] | None = None
    manual: str = ""


StartFiles = tuple[tuple[str, str], ...]
"""Each start file with its shell, in the order in which they are written."""


def plan(choices: Choices, environ: Mapping[str, str]) -> StartFiles:
    """Which start files get a block."""
    if not choices.rc:
        return ()
    zshrc = start_files.zshrc_of(environ)
    shells = choices.shells or start_files.chosen_shells(environ, zshrc)
    if "all" in shells:
        shells = SHELLS
    return tuple(
        (path, shell)
        for shell in SHELLS
        if shell in shells
        for path in start_files.files_of(shell, environ, zshrc)
    )


def check(way: Way, planned: StartFiles) -> None:
    """Raise NotPossibleError, before anything is written, where one of the files cannot be."""
    launcher.require_free(way.launcher)
    place = start_files.nearest(way.launcher)
    if not os.access(place, os.W_OK):
        raise NotPossibleError(
            "a directory is not writable", where=place, fix="make it writable for you"
        )
    for path, _ in planned:
        start_files.check(path)


def ours(environ: Mapping[str, str], way: Way, planned: StartFiles) -> list[str]:
    """The directories that something of ours may make."""
    made = [
        os.path.dirname(way.launcher),
        paths.routeguard_data(environ),
        paths.routeguard_cache(environ),
        paths.routeguard_state(environ),
        paths.routeguard_config(environ),
        os.path.join(paths.config_home(environ), "fish/conf.d"),
    ]
    return made + [os.path.dirname(os.path.realpath(path)) for path, _ in planned]


def put(
    way: Way,
    planned: StartFiles,
    choices: Choices,
    environ: Mapping[str, str],
    say: Say,
    *,
    dry_run: bool,
) -> None:
    """Write what is missing or differs, and say each. Raises NotPossibleError, GuardError."""
    if dry_run:
        _put(way, planned, choices, environ, say, dry_run=True)
        return
    missing = missing_directories(ours(environ, way, planned))
    with alone(environ):
        remember_missing(environ, missing)
        _put(way, planned, choices, environ, say, dry_run=False)


def _put(
    way: Way,
    planned: StartFiles,
    choices: Choices,
    environ: Mapping[str, str],
    say: Say,
    *,
    dry_run: bool,
) -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    written = launcher.put(way, version, environ, dry_run=dry_run)
    say("launcher" if written else "unchanged", way.launcher)
    if choices.shims:
        _put_shims(environ, say, dry_run=dry_run)
    for shell, code in (choices.completion or {}).items():
        _put_text(completion_file(environ, shell), code, "completion", say, dry_run=dry_run)
    if choices.manual:
        _put_text(manual_file(environ), choices.manual, "manual", say, dry_run=dry_run)
    for path, shell in planned:
        loads = blocks.Loads(way.launcher, completion_file(environ, shell), way.again)
        start_files.add_block(path, shell, loads, say, dry_run=dry_run)


def _put_shims(environ: Mapping[str, str], say: Say, *, dry_run: bool) -> None:
    try:
        changes = shims.install(environ, dry_run=dry_run)
    except GuardError as error:
        error.fix += "\nor run this again with --no-shims"
        raise
    changed = any(change.action != "unchanged" for change in changes)
    say("shims" if changed else "unchanged", paths.own_shims(environ) + "/")


def _put_text(path: str, text: str, word: str, say: Say, *, dry_run: bool) -> None:
    if _is(path, text.encode()):
        say("unchanged", path)
        return
    say(word, path)
    if not dry_run:
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write(path, text.encode(), 0o644)
        except OSError as error:
            raise not_written(path, error) from None


def manual_file(environ: Mapping[str, str]) -> str:
    """Where the manual page lies. man looks into ../man of each folder on PATH, such as that of the
    shims (man-db 2.11: manpath(1), "SEARCH PATHS FOR MANUAL PAGES"; seen by `man -w`)."""
    return os.path.join(paths.routeguard_data(environ), "man", "man1", "routeguard.1")


def completion_file(environ: Mapping[str, str], shell: str) -> str:
    """Where the completion of `shell` lies; the block in its start file reads it."""
    return os.path.join(paths.routeguard_data(environ), f"completion.{shell}")


def _is(path: str, content: bytes) -> bool:
    try:
        return read_bytes(path, links=False) == content
    except UnreadableError:
        return False
