"""What routeguard remembers of the managed files that it wrote, so that all of it can be undone.

One file of our own (beside the system policy, or in a user's own state) holds the SHA-256 of each
file that was written, what lay there before, and which directories were made.
"""

from __future__ import annotations

import json
import os
import shlex
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from guard.agents.managed import NOTE, Installed, remembered
from guard.errors import ExitCode, GuardError
from guard.files.lock import lock
from guard.files.read import UnreadableError, read_bytes
from guard.files.write import sweep
from guard.managed.ground import not_written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.managed.ground import Ground

_WAIT = 10
"""Seconds that one `install` or `remove` waits for another."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that was written. `digests` are its SHA-256 and, while it is being replaced, that of
    our content before; `before` is that of what lay there first, "" for nothing."""

    digests: tuple[str, ...]
    before: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of the last `install`; `made` are directories, topmost first."""

    suffix: str = ""
    program: str = ""
    entries: dict[str, Entry] = field(default_factory=dict)
    made: tuple[str, ...] = ()

    def installed(self) -> Installed:
        """The same, as a launch sees it."""
        digests = {path: list(entry.digests) for path, entry in self.entries.items()}
        return Installed(self.suffix, self.program, digests)

    def text(self) -> bytes:
        """The content of the file."""
        content = {
            "schema": 1,
            "note": NOTE,
            "suffix": self.suffix,
            "program": self.program,
            "made": list(self.made),
            "files": {
                path: {"sha256": list(entry.digests), "before": entry.before}
                for path, entry in sorted(self.entries.items())
            },
        }
        return (json.dumps(content, indent=2) + "\n").encode()


def read_state(ground: Ground) -> State:
    """What is remembered there.

    Raises GuardError if the file is damaged, because what lay there before could not be put back;
    and if others than the owner could have changed it, because we would remove what they name.
    """
    path = ground.memory
    ground.require_inside(path.removeprefix(ground.root))
    if os.path.lexists(path):
        ground.require_safe(
            path, f"others than {ground.owner} could change what routeguard remembers of its files"
        )
    try:
        raw = read_bytes(path, links=False)
    except UnreadableError as error:
        raise _damaged(path, f"it {error}") from None
    if raw is None:
        return State()
    try:
        known, before, made = remembered(raw)
    except ValueError:
        raise _damaged(path, "it is not what `routeguard managed` writes") from None
    entries = {path: Entry(tuple(seen), before[path]) for path, seen in known.digests.items()}
    return State(known.suffix, known.program, entries, made)


def _damaged(path: str, why: str) -> GuardError:
    return GuardError(
        "cannot tell what routeguard wrote on this machine",
        where=path,
        why=why,
        fix=f"look at it; where you remove it, each file counts as somebody else's:\n"
        f"{'' if os.access(os.path.dirname(path), os.W_OK) else 'sudo '}rm {shlex.quote(path)}",
        rule="RG503",
        exit_code=ExitCode.CONFIG,
    )


@contextmanager
def alone(ground: Ground, state: State) -> Iterator[None]:
    """Let one `install` or `remove` run at a time, from what it has seen as `state`.

    Raises GuardError where another one has run since.
    """
    # the policy may lie behind a link, which a lock does not follow
    folder = os.path.realpath(os.path.dirname(ground.memory))
    try:
        ground.make(folder)
        held = lock(folder, _WAIT, directory=True)
    except OSError as error:  # TimeoutError is one
        raise not_written(ground.memory, error) from None
    with held:
        require_same(ground, state)
        for directory in {os.path.dirname(ground.at(path)) for path in state.entries}:
            sweep(directory)
        sweep(folder)
        yield


def require_same(ground: Ground, state: State) -> None:
    """Raise GuardError if another `install` or `remove` has run since `state` was read."""
    now = read_state(ground)
    if (now.entries, now.made) != (state.entries, state.made):
        raise GuardError(
            "nothing was changed: another `routeguard managed` ran at the same time",
            where=ground.memory,
            fix="run it again",
            exit_code=ExitCode.FINDINGS,
        )
