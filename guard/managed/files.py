"""What is done with managed files: looked at, written, taken away again.

Nothing is merged: a file that is not ours, or that somebody has changed, is shown and left. What is
done with a file is planned as steps first; a dry run shows them, and the rest carries them out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from guard.agents.managed import digest, user_state_file
from guard.errors import ExitCode, GuardError
from guard.files.step import Step
from guard.managed.ground import Ground, not_written
from guard.managed.memory import Entry, State, alone, read_state, require_same

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ASIDE = ".before-routeguard"
"""Ends the name under which a file of somebody else's is kept by `install --replace`."""

CHANGED = ".changed"
"""Ends the name under which our own file is kept that somebody has changed."""

MISSING, CURRENT, OUTDATED, EDITED, FOREIGN, LEFT = (
    "missing",
    "current",
    "outdated",
    "edited",
    "foreign",
    "left over",
)
"""What a file is: absent; as the policy renders it; as an earlier policy did; ours, but changed by
somebody; somebody else's; ours, and no agent of the policy's has it any more."""


@dataclass(frozen=True, slots=True)
class Place:
    """One file: what it is, what the policy renders for it (None for nothing), what is there (None
    for nothing), what is remembered of it, whether somebody else's is kept beside it, and why it is
    not safe ("" if it is)."""

    path: str
    state: str
    wanted: bytes | None
    content: bytes | None
    entry: Entry | None = None
    kept: bool = False
    unsafe: str = ""

    @property
    def is_in_place(self) -> bool:
        """Whether there is nothing to do."""
        return self.content == self.wanted and not self.unsafe

    @property
    def is_in_the_way(self) -> bool:
        """Whether `install` leaves it as it is unless it is told to replace it."""
        if self.wanted is None:
            return self.state == EDITED
        return self.state in (FOREIGN, EDITED) and self.content != self.wanted

    @property
    def is_as_before(self) -> bool:
        """Whether what is there lay there before: nothing was kept of it, and it is the same."""
        if self.content is None or self.entry is None or self.kept:
            return False
        return digest(self.content) == self.entry.before


class BlockedError(GuardError):
    """Somebody else's file is in the way; nothing was changed. Exit status 1."""

    def __init__(self, places: list[Place], fix: str) -> None:
        super().__init__(
            "there are files that are not routeguard's, and nothing was changed",
            where="\n".join(place.path for place in places),
            why="\n".join(f"{place.path}: {_WHY[place.state]}" for place in places),
            fix=fix,
            exit_code=ExitCode.FINDINGS,
        )


_WHY = {
    FOREIGN: "somebody else wrote it",
    EDITED: "routeguard wrote it, and somebody has changed it since",
}


def look(ground: Ground, wanted: Mapping[str, str], state: State) -> list[Place]:
    """What each file is that is wanted or remembered. Raises GuardError for one that cannot be
    read."""
    found = []
    for path in sorted({*wanted, *state.entries}):
        content = ground.content(path)
        text = wanted[path].encode() if path in wanted else None
        entry = state.entries.get(path)
        kept = bool(entry and entry.before) and os.path.lexists(ground.at(path) + ASIDE)
        unsafe = ""
        if content is not None:
            place, why = ground.unsafe(ground.at(path))
            unsafe = f"others than {ground.owner} could change it: {why}" if place else ""
        what = _state(text, content, entry)
        found.append(Place(path, what, text, content, entry, kept, unsafe))
    return found


def _state(wanted: bytes | None, content: bytes | None, entry: Entry | None) -> str:
    if content is None:
        return MISSING
    seen = digest(content)
    if entry is None or (seen not in entry.digests and seen == entry.before):
        return FOREIGN
    if seen not in entry.digests:
        return EDITED
    if wanted is None:
        return LEFT
    return CURRENT if content == wanted else OUTDATED


def install(
    ground: Ground,
    places: list[Place],
    state: State,
    *,
    replace_others: bool,
    dry_run: bool,
) -> list[Step]:
    """Write what is missing or outdated; `state` has the suffix and the program of this time.

    Raises BlockedError, before anything is written, for a file of somebody else's without
    `replace_others`; GuardError where one cannot be written or has changed in the meantime.
    """
    blocked = [place for place in places if place.is_in_the_way]
    if blocked and not replace_others:
        require_same(ground, state)  # another run may just have written them
        raise BlockedError(
            blocked,
            f"{ground.command('diff')}\n"
            f"then move them away, or let them be kept as FILE{ASIDE} until `remove`, and what\n"
            f"somebody changed in routeguard's own as FILE{CHANGED}:\n"
            f"{ground.command('install --replace')}",
        )
    planned = [(place, _install_steps(place)) for place in places]
    steps = [step for _, some in planned for step in some]
    _require_free(ground, steps)
    if dry_run:
        return steps
    missing = [directory for place in places for directory in _missing(ground, place)]
    after = replace(
        state,
        entries={p.path: _entry(p, p.wanted) for p in places if p.wanted is not None},
        made=tuple(dict.fromkeys((*state.made, *missing))),
    )
    for place in places:
        ground.require_directory(place.path)
    left = {p.path: p.entry for p in places if p.entry is not None and p.wanted is None}
    both = {
        path: Entry((*entry.digests, *_before(state, path)), entry.before)
        for path, entry in after.entries.items()
    }
    with alone(ground, state):
        # first what is about to be there: whoever is interrupted can still take all of it away
        ground.put(ground.memory, replace(after, entries={**left, **both}).text())
        for place, some in planned:
            _carry_out(ground, place, some)
        ground.put(ground.memory, after.text())
    return steps


def _entry(place: Place, wanted: bytes) -> Entry:
    before = digest(place.content) if place.content is not None else ""
    return Entry((digest(wanted),), place.entry.before if place.entry else before)


def _before(state: State, path: str) -> tuple[str, ...]:
    return state.entries[path].digests if path in state.entries else ()


def _install_steps(place: Place) -> list[Step]:
    path = place.path
    changed = [Step("keep", path + CHANGED)] if place.state == EDITED else []
    if place.wanted is None:
        return changed + _remove_steps(place)
    if place.is_in_place:
        return [Step("unchanged", path)]
    # also where somebody else's was the same as ours
    is_theirs = place.state == FOREIGN or place.is_as_before
    kept = [Step("keep", path + ASIDE)] if is_theirs else changed
    return [*kept, Step("write", path)]


def _remove_steps(place: Place) -> list[Step]:
    if place.is_as_before:
        return [Step("leave", place.path)]
    is_ours = place.content is not None and place.state != EDITED
    steps = [Step("remove", place.path)] if is_ours else []
    return [*steps, Step("put back", place.path)] if place.kept else steps


def _require_free(ground: Ground, steps: Sequence[Step]) -> None:
    """Raise GuardError where something has the name under which a file would be kept."""
    for step in steps:
        at = ground.at(step.path)
        if step.action == "keep" and os.path.lexists(at):
            raise GuardError(
                "a file is in the way, and nothing was changed",
                where=at,
                why="what is replaced would be kept under this name",
                fix=ground.move_away(at),
                exit_code=ExitCode.FINDINGS,
            )


def _missing(ground: Ground, place: Place) -> list[str]:
    """The directories of `place` that are not there, topmost first."""
    found: list[str] = []
    at = os.path.dirname(place.path)
    while place.wanted is not None and at != "/" and not os.path.isdir(ground.at(at)):
        found.insert(0, at)
        at = os.path.dirname(at)
    return found


def _carry_out(ground: Ground, place: Place, steps: Sequence[Step]) -> None:
    """Do the `steps` of one file, if it is as it was when they were planned."""
    at, kept = ground.at(place.path), ""
    if ground.content(place.path) != place.content:
        raise GuardError(
            "a file changed while it was looked at",
            where=at,
            why="another program writes it",
            fix="run it again",
            exit_code=ExitCode.FINDINGS,
        )
    actions = [step.action for step in steps]
    try:
        for step in steps:
            if step.action == "keep":
                kept = ground.at(step.path)
                os.rename(at, kept)
            elif step.action == "write":
                ground.put(at, place.wanted or b"")
            elif step.action == "put back":
                os.replace(at + ASIDE, at)
            elif step.action == "remove" and "put back" not in actions:
                os.unlink(at)
    except OSError as error:
        raise not_written(at, error) from None
    except GuardError:
        # where the disk is full what was there goes on holding
        if kept and not os.path.lexists(at):
            os.rename(kept, at)
        raise


def remove(
    ground: Ground, places: list[Place], state: State, *, dry_run: bool
) -> tuple[list[Step], list[Place]]:
    """Take away what was written; the steps, and the places that somebody has changed, which stay.

    What lay there before is put back, and directories that were made go if they are empty.
    """
    stay = [place for place in places if place.state == EDITED]
    planned = [(p, _remove_steps(p)) for p in places if p.state != EDITED and p.entry is not None]
    steps = [step for _, some in planned for step in some]
    if dry_run or not os.path.isdir(os.path.dirname(ground.memory)):
        return steps, stay
    with alone(ground, state):
        for place, some in planned:
            _carry_out(ground, place, some)
        if stay:
            left = {place.path: state.entries[place.path] for place in stay}
            ground.put(ground.memory, replace(state, entries=left).text())
            return steps, stay
        for directory in sorted(state.made, key=len, reverse=True):
            try:
                os.rmdir(ground.at(directory))
            except OSError:
                continue  # somebody else has a file in it
            steps.append(Step("remove", directory))
        # last, so that whoever is interrupted can do it again
        try:
            os.unlink(ground.memory)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise not_written(ground.memory, error) from None
    return steps, stay


def remove_own(
    environ: Mapping[str, str], say: Callable[[str, str], object], *, dry_run: bool
) -> None:
    """Take away what `install --user` wrote, before what it is remembered by goes; says each step.

    What somebody has changed stays, and so does everything where the memory is damaged.
    """
    ground = Ground("/", user_state_file(environ), own=True)
    if not os.path.lexists(ground.memory):
        return
    try:
        state = read_state(ground)
        steps, stay = remove(ground, look(ground, {}, state), state, dry_run=dry_run)
    except GuardError as error:
        say("kept", f"files of `managed install --user`: {error.what} ({error.where})")
        return
    for step in steps:
        say(step.action, step.path)
    for place in stay:
        say("kept", f"{place.path} (changed since routeguard wrote it)")


def as_dict(place: Place) -> dict[str, Any]:
    """A place as the JSON output carries it."""
    return {"path": place.path, "state": place.state, "unsafe": place.unsafe}
