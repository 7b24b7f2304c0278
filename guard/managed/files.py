"""What routeguard wrote for agents on a machine: looked at, written, taken away again.

One file of our own (beside the system policy, or in a user's own state) remembers the SHA-256 of
each file that was written, what lay there before, and which directories were made. Nothing is
merged: a file that is not ours, or that somebody has changed, is shown and left. A `Ground` says
where they lie, and whose they are.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from guard.agents.managed import NOTE, Installed, changeable, digest
from guard.errors import ExitCode, GuardError
from guard.files.read import UnreadableError, read_bytes
from guard.files.write import write
from guard.policy.authority import changed_by_others

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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


@dataclass(frozen=True, slots=True)
class Place:
    """One file: what it is, what the policy renders for it (None for nothing), what is there (None
    for nothing), and why it is not safe ("" if it is)."""

    path: str
    state: str
    wanted: bytes | None
    content: bytes | None
    unsafe: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, or would be: a word, and the path."""

    action: str
    path: str


@dataclass(frozen=True, slots=True)
class Ground:
    """Where files lie: below `root`. `memory` is the path of the file that remembers them. `own`
    tells that they are this user's and not root's."""

    root: str
    memory: str
    own: bool = False

    def unsafe(self, path: str) -> tuple[str, str]:
        """What others than the owner could change on the way to `path`, and why; "" for nothing."""
        if self.own:
            return changed_by_others(path, (0, os.geteuid()))
        return changeable(path, "" if self.root in ("", "/") else self.root)

    @property
    def owner(self) -> str:
        """Who may change the files, as a word."""
        return "you" if self.own else "root"

    def command(self, words: str) -> str:
        """`routeguard managed WORDS` for these files, as it is typed."""
        if self.own:
            return f"routeguard managed {words} --user"
        return f"{'' if words == 'diff' else 'sudo '}routeguard managed {words}"


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


def under(root: str, path: str) -> str:
    """`path` below `root`."""
    return os.path.join(root, path.lstrip("/")) if root not in ("", "/") else path


def read_state(path: str) -> State:
    """What the file at `path` remembers. Raises GuardError if it is damaged: what lay there before
    could not be put back."""
    try:
        raw = read_bytes(path, links=False)
    except UnreadableError as error:
        raise _damaged(path, f"it {error}") from None
    if raw is None:
        return State()
    try:
        found = json.loads(raw)
        return State(
            str(found["suffix"]),
            str(found["program"]),
            {
                str(name): Entry(tuple(map(str, one["sha256"])), str(one["before"]))
                for name, one in found["files"].items()
            },
            tuple(map(str, found["made"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(path, "it is not what `routeguard managed` writes") from None


def _damaged(path: str, why: str) -> GuardError:
    return GuardError(
        "cannot tell what routeguard wrote on this machine",
        where=path,
        why=why,
        fix=f"look at it; where you remove it, each file counts as somebody else's: "
        f"{'' if os.access(os.path.dirname(path), os.W_OK) else 'sudo '}rm {shlex.quote(path)}",
        rule="RG503",
        exit_code=ExitCode.CONFIG,
    )


def look(ground: Ground, wanted: Mapping[str, str], state: State) -> list[Place]:
    """What each file is that is wanted or remembered. Raises GuardError for one that cannot be
    read."""
    found = []
    for path in sorted({*wanted, *state.entries}):
        content = _content(under(ground.root, path))
        text = wanted[path].encode() if path in wanted else None
        entry = state.entries.get(path)
        unsafe = ""
        if content is not None:
            place, why = ground.unsafe(under(ground.root, path))
            unsafe = f"others than {ground.owner} could change it: {why}" if place else ""
        found.append(Place(path, _state(text, content, entry), text, content, unsafe))
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


def _content(path: str) -> bytes | None:
    try:
        return read_bytes(path, links=False)
    except UnreadableError as error:
        raise GuardError(
            "cannot look at a file that routeguard would write",
            where=path,
            why=f"it {error}",
            fix=f"ls -l {path}",
            exit_code=ExitCode.CONFIG,
        ) from None


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
    blocked = [p for p in places if p.state in (FOREIGN, EDITED) and p.content != p.wanted]
    if blocked and not replace_others:
        raise BlockedError(
            blocked,
            f"{ground.command('diff')}\n"
            f"then move them away, or let them be kept as FILE{ASIDE} until `remove`:\n"
            f"{ground.command('install --replace')}",
        )
    root = ground.root
    steps, entries = _planned(root, places, state.entries)
    missing = [directory for place in places for directory in _missing(root, place)]
    after = replace(state, entries=entries, made=tuple(dict.fromkeys((*state.made, *missing))))
    if dry_run:
        return steps
    _require_safe(ground, [place.path for place in places])
    keep = {
        path: Entry((*entry.digests, *_before(state, path)), entry.before)
        for path, entry in entries.items()
    }
    left = {p.path: state.entries[p.path] for p in places if p.state == LEFT}
    # first what is about to be there: whoever is interrupted can still take all of it away
    _put(ground, ground.memory, replace(after, entries={**left, **keep}).text())
    for place in places:
        _install_one(ground, place, state)
    _put(ground, ground.memory, after.text())
    return steps


def _before(state: State, path: str) -> tuple[str, ...]:
    return state.entries[path].digests if path in state.entries else ()


def _planned(
    root: str, places: list[Place], known: Mapping[str, Entry]
) -> tuple[list[Step], dict[str, Entry]]:
    steps: list[Step] = []
    entries: dict[str, Entry] = {}
    for place in places:
        path, old = place.path, known.get(place.path)
        if place.wanted is None:
            if place.state == LEFT:
                steps += _removals(root, path)
            continue
        before = old.before if old else digest(place.content) if place.content is not None else ""
        entries[path] = Entry((digest(place.wanted),), before)
        if place.content == place.wanted:
            steps.append(Step("unchanged", path))
            continue
        if _is_theirs(place, known):
            steps.append(Step("keep", path + ASIDE))
        elif place.state == EDITED:
            steps.append(Step("keep", path + CHANGED))
        steps.append(Step("write", path))
    return steps, entries


def _is_theirs(place: Place, known: Mapping[str, Entry]) -> bool:
    """Whether what is there was somebody else's first, also where it was the same as ours."""
    old = known.get(place.path)
    if place.state != OUTDATED or old is None or place.content is None:
        return place.state == FOREIGN
    return digest(place.content) == old.before


def _missing(root: str, place: Place) -> list[str]:
    """The directories of `place` that are not there, topmost first."""
    found: list[str] = []
    at = os.path.dirname(place.path)
    while place.wanted is not None and at != "/" and not os.path.isdir(under(root, at)):
        found.insert(0, at)
        at = os.path.dirname(at)
    return found


def _install_one(ground: Ground, place: Place, state: State) -> None:
    path = under(ground.root, place.path)
    if place.content == place.wanted:
        return
    if _content(path) != place.content:
        raise GuardError(
            "a file changed while it was looked at",
            where=path,
            why="another program writes it",
            fix="run it again",
            exit_code=ExitCode.FINDINGS,
        )
    if place.wanted is None:
        if place.state == LEFT:
            _take_away(ground.root, place.path)
        return
    if _is_theirs(place, state.entries):
        _keep(path, path + ASIDE)
    elif place.state == EDITED:
        _keep(path, path + CHANGED)
    _put(ground, path, place.wanted)


def _keep(path: str, aside: str) -> None:
    if os.path.lexists(aside):
        raise GuardError(
            "a file is in the way",
            where=aside,
            why=f"{path} would be kept under this name",
            fix=f"move it away: sudo mv {aside} {aside}.old",
            exit_code=ExitCode.FINDINGS,
        )
    try:
        os.rename(path, aside)
    except OSError as error:
        raise _not_written(path, error) from None


def _put(ground: Ground, path: str, content: bytes) -> None:
    try:
        # the random id of a user's provider is for this user alone
        _make(os.path.dirname(path), 0o700 if ground.own else 0o755)
        write(path, content, 0o600 if ground.own else 0o644, sync=True)
    except OSError as error:
        raise _not_written(path, error) from None


def _not_written(path: str, error: OSError) -> GuardError:
    return GuardError(
        "a file could not be written",
        where=path,
        why=error.strerror or str(error),
        fix="run it again when it can; the file is as it was",
        exit_code=ExitCode.FINDINGS,
    )


def _make(path: str, mode: int) -> None:
    """Make the directory `path`, and what is missing above it, which `os.makedirs` would give
    another mode than `mode`."""
    if not os.path.isdir(path):
        _make(os.path.dirname(path), mode)
        os.mkdir(path, mode)


def _require_safe(ground: Ground, files: Iterable[str]) -> None:
    """Raise GuardError where others than the owner could change a directory of one of `files`."""
    for path in files:
        at = os.path.dirname(under(ground.root, path))
        while not os.path.isdir(at):
            at = os.path.dirname(at)
        place, why = ground.unsafe(at)
        if place:
            word = shlex.quote(place)
            root = f"sudo chown root {word} && sudo chmod go-w {word}"
            raise GuardError(
                f"nothing was written: others than {ground.owner} could change it there",
                where=place,
                why=why,
                fix=f"chmod go-w {word}" if ground.own else root,
                exit_code=ExitCode.FINDINGS,
            )


def _removals(root: str, path: str) -> list[Step]:
    steps = [Step("remove", path)]
    if os.path.lexists(under(root, path) + ASIDE):
        steps.append(Step("put back", path))
    return steps


def _take_away(root: str, path: str) -> None:
    """Remove our file at `path`, and put back what was kept of somebody else's."""
    at = under(root, path)
    try:
        if os.path.lexists(at + ASIDE):
            os.replace(at + ASIDE, at)
        elif os.path.lexists(at):
            os.unlink(at)
    except OSError as error:
        raise _not_written(at, error) from None


def remove(
    ground: Ground, places: list[Place], state: State, *, dry_run: bool
) -> tuple[list[Step], list[Place]]:
    """Take away what was written; the steps, and the places that somebody has changed, which stay.

    What lay there before is put back, and directories that were made go if they are empty.
    """
    root = ground.root
    steps: list[Step] = []
    stay = [place for place in places if place.state == EDITED]
    entries = dict(state.entries)
    for place in places:
        entry = entries.get(place.path)
        if entry is None or place.state == EDITED:
            continue
        aside = os.path.lexists(under(root, place.path) + ASIDE)
        if not aside and place.content is not None and digest(place.content) == entry.before:
            steps.append(Step("leave", place.path))
        elif aside or place.content is not None:
            steps += _removals(root, place.path)
            if not dry_run:
                _take_away(root, place.path)
        del entries[place.path]
    if dry_run:
        return steps, stay
    if entries:
        _put(ground, ground.memory, replace(state, entries=entries).text())
        return steps, stay
    try:
        os.unlink(ground.memory)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _not_written(ground.memory, error) from None
    for directory in sorted(state.made, key=len, reverse=True):
        try:
            os.rmdir(under(root, directory))
        except OSError:
            continue  # somebody else has a file in it
        steps.append(Step("remove", directory))
    return steps, stay


def as_dict(place: Place) -> dict[str, Any]:
    """A place as the JSON output carries it."""
    return {"path": place.path, "state": place.state, "unsafe": place.unsafe}
