"""The exceptions that `routeguard allow` writes: a file of its own beside the user's policy.

It is read as part of the user layer (guard/policy/layers.py). Here it is changed: under a lock,
in one step, and only as long as every entry in it can be read, so that none is ever lost.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guard import paths
from guard.errors import ExitCode, GuardError
from guard.files.lock import Lock, lock
from guard.files.write import write as write_file
from guard.policy.layers import Candidate, parse_layer, read_layer
from guard.policy.model import MAX_ITEMS
from guard.policy.places import allowed_file, user_policy
from guard.policy.problems import toml_string
from guard.policy.spans import end_of
from guard.policy.values import normal_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from guard.policy.model import Exemption

HEADER: Final = """\
# Written by `routeguard allow`, which replaces this file as a whole: comments are not kept.
# Change it with `routeguard allow` and `routeguard allow revoke`; only [[exception]] is read here.
# Permanent exceptions belong in policy.toml beside it.
"""

_MODE: Final = 0o600
_WAIT: Final = 10.0
"""Seconds to wait for another `allow`, which takes milliseconds."""


@dataclass(frozen=True, slots=True)
class ExceptionChange:
    """What a change did: the entries that were taken away, and why.

    `replaced` had the subject of the new one, `expired` were over, `revoked` were asked for.
    `kept` are all entries that are in the file now.
    """

    path: str
    kept: tuple[Exemption, ...] = ()
    replaced: tuple[Exemption, ...] = ()
    expired: tuple[Exemption, ...] = ()
    revoked: tuple[Exemption, ...] = ()


def entries(environ: Mapping[str, str]) -> tuple[Exemption, ...]:
    """The exceptions that `allow` wrote and that were not removed, expired ones included.

    Raises PolicyError (InvalidPolicyError with every problem) if the file cannot be read,
    understood or trusted.
    """
    return _entries(allowed_file(user_policy(environ)))


def add(environ: Mapping[str, str], exemption: Exemption, *, write: bool = True) -> ExceptionChange:
    """Keep `exemption` instead of any other for its subject.

    Raises PolicyError if what is there cannot be read, GuardError if it cannot be written.
    """
    wanted = normal_subject(exemption.subject)

    def change(path: str, live: Sequence[Exemption], over: Sequence[Exemption]) -> ExceptionChange:
        replaced = [entry for entry in live if normal_subject(entry.subject) == wanted]
        kept = [entry for entry in live if entry not in replaced]
        if len(kept) >= MAX_ITEMS:
            raise GuardError(
                "there are too many exceptions",
                where=path,
                why=f"a policy file holds {MAX_ITEMS} at most",
                fix="routeguard allow list\nrouteguard allow revoke SUBJECT",
                exit_code=ExitCode.CONFIG,
            )
        return ExceptionChange(path, (*kept, exemption), tuple(replaced), tuple(over))

    return _change(environ, change, write)


def revoke(
    environ: Mapping[str, str], subjects: Collection[str] | None, *, write: bool = True
) -> ExceptionChange:
    """Take the exceptions for `subjects` out; with None, all of them.

    Raises PolicyError if what is there cannot be read, GuardError if it cannot be written.
    """
    wanted = None if subjects is None else {normal_subject(subject) for subject in subjects}

    def change(path: str, live: Sequence[Exemption], over: Sequence[Exemption]) -> ExceptionChange:
        out = [e for e in live if wanted is None or normal_subject(e.subject) in wanted]
        kept = [entry for entry in live if entry not in out]
        return ExceptionChange(path, tuple(kept), (), tuple(over), tuple(out))

    return _change(environ, change, write)


def block(exemption: Exemption) -> str:
    """`exemption` as TOML, with a line break at the end."""
    lines = [
        "[[exception]]",
        f"subject = {toml_string(exemption.subject)}",
        f"reason = {toml_string(exemption.reason)}",
        f"until = {exemption.until.isoformat()}",
    ]
    if exemption.sha256:
        lines.append(f"sha256 = {toml_string(exemption.sha256)}")
    if exemption.added is not None:
        lines.append(f"added = {exemption.added.isoformat()}")
    return "\n".join(lines) + "\n"


def _change(
    environ: Mapping[str, str],
    change: Callable[[str, Sequence[Exemption], Sequence[Exemption]], ExceptionChange],
    write: bool,
) -> ExceptionChange:
    """Read, let `change` decide, and write what it keeps, all under the lock."""
    path = allowed_file(user_policy(environ))
    if not write:
        return change(path, *_sorted(_entries(path)))
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        paths.private_directory(directory)
    with _locked(directory):
        before = _entries(path)
        result = change(path, *_sorted(before))
        if result.kept != before:
            _write(path, result.kept)
    return result


def _entries(path: str) -> tuple[Exemption, ...]:
    layer = read_layer(_place(path))
    return () if layer is None else tuple(layer.policy.exception)


def _place(path: str) -> Candidate:
    return Candidate("user", path, managed=True)


def _sorted(found: Sequence[Exemption]) -> tuple[list[Exemption], list[Exemption]]:
    """Those that hold, and those that are over."""
    now = time.time()
    live = [entry for entry in found if end_of(entry.until) >= now]
    return live, [entry for entry in found if entry not in live]


def _locked(directory: str) -> Lock:
    """The lock on `directory`, which lasts no longer than this process and leaves no file."""
    try:
        return lock(directory, _WAIT, directory=True)
    except TimeoutError:
        raise GuardError(
            "another routeguard is changing the exceptions",
            where=directory,
            why=f"it has held the lock for more than {_WAIT:.0f} seconds",
            fix="try again; end the other routeguard if it hangs",
            exit_code=ExitCode.CONFIG,
        ) from None


def _write(path: str, kept: Sequence[Exemption]) -> None:
    """Put `kept` at `path` in one step, or take the file away if nothing is left.

    Follows a link to the file it stands for. What is written has been read back before.
    """
    content = "\n".join([HEADER, *map(block, kept)]).encode()
    try:
        if not kept and not os.path.islink(path):
            os.unlink(path)
            return
        if tuple(parse_layer(_place(path), content).policy.exception) != tuple(kept):
            raise GuardError(
                "an exception cannot be written so that it reads back the same",
                where=path,
                fix="write it into policy.toml by hand, and report this",
                exit_code=ExitCode.INTERNAL,
            )
        write_file(os.path.realpath(path), content, _MODE, sync=True)
    except OSError as error:
        raise GuardError(
            "cannot write the exceptions",
            where=path,
            why=error.strerror or str(error),
            fix="make its directory writable",
            exit_code=ExitCode.CONFIG,
        ) from None
