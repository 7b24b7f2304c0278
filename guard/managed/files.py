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
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from guard.agents.managed import NOTE, Installed, changeable, digest, user_state_file
from guard.errors import ExitCode, GuardError
from guard.files.lock import lock
from guard.files.read import UnreadableError, read_bytes
from guard.files.write import sweep, write
from guard.policy.authority import changed_by_others

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

ASIDE = ".before-routeguard"
"""Ends the name under which a file of somebody else's is kept by `install --replace`."""

CHANGED = ".changed"
"""Ends the name under which our own file is kept that somebody has changed."""

_WAIT = 10
"""Seconds that one `install` or `remove` waits for another."""

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
        there = "" if self.root in ("", "/") else f" --root {shlex.quote(self.root)}"
        return f"{'' if words == 'diff' else 'sudo '}routeguard managed {words}{there}"


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
        if any(not _is_whole(name) for name in (*found["files"], *found["made"])):
            raise ValueError
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


def _is_whole(path: str) -> bool:
    """Whether `path` is absolute and leads nowhere else, as ours are: below a root, too."""
    return path[:1] == "/" != path[1:2] and path == os.path.normpath(path)


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
    blocked = [p for p in places if is_in_the_way(p)]
    if blocked and not replace_others:
        raise BlockedError(
            blocked,
            f"{ground.command('diff')}\n"
            f"then move them away, or let them be kept as FILE{ASIDE} until `remove`, and what\n"
            f"somebody changed in routeguard's own as FILE{CHANGED}:\n"
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
    left = {p.path: state.entries[p.path] for p in places if p.state in (LEFT, EDITED)}
    with _alone(ground, state):
        # first what is about to be there: whoever is interrupted can still take all of it away
        _put(ground, ground.memory, replace(after, entries={**left, **keep}).text())
        for place in places:
            _install_one(ground, place, state)
        _put(ground, ground.memory, after.text())
    return steps


def is_in_the_way(place: Place) -> bool:
    """Whether `install` leaves `place` as it is unless it is told to replace it."""
    if place.wanted is None:
        return place.state == EDITED
    return place.state in (FOREIGN, EDITED) and place.content != place.wanted


@contextmanager
def _alone(ground: Ground, state: State) -> Iterator[None]:
    """Let one `install` or `remove` run at a time, from what it has seen as `state`.

    Raises GuardError where another one has run since, or where others than the owner could have
    said what is remembered: as root we would remove what they name.
    """
    memory = ground.memory
    if os.path.lexists(memory):
        place, why = ground.unsafe(memory)
        if place:
            raise _unsafe(ground, place, why)
    try:
        _make(os.path.dirname(memory), 0o700 if ground.own else 0o755)
        handle = lock(os.path.dirname(memory), _WAIT, directory=True)
    except OSError as error:  # TimeoutError is one
        raise _not_written(memory, error) from None
    try:
        now = read_state(memory)
        if (now.entries, now.made) != (state.entries, state.made):
            raise GuardError(
                "nothing was changed: another `routeguard managed` ran at the same time",
                where=memory,
                fix="run it again",
                exit_code=ExitCode.FINDINGS,
            )
        for directory in {os.path.dirname(under(ground.root, path)) for path in state.entries}:
            sweep(directory)
        sweep(os.path.dirname(memory))
        yield
    finally:
        os.close(handle)


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
            if place.state == EDITED:
                steps.append(Step("keep", path + CHANGED))
            if old and place.state in (LEFT, EDITED):
                steps += _removals(root, place, old)
            continue
        before = old.before if old else digest(place.content) if place.content is not None else ""
        entries[path] = Entry((digest(place.wanted),), before)
        if _is_in_place(place):
            steps.append(Step("unchanged", path))
            continue
        if _is_theirs(root, place, known):
            steps.append(Step("keep", path + ASIDE))
        elif place.state == EDITED:
            steps.append(Step("keep", path + CHANGED))
        steps.append(Step("write", path))
    return steps, entries


def _is_in_place(place: Place) -> bool:
    return place.content == place.wanted and not place.unsafe


def _is_theirs(root: str, place: Place, known: Mapping[str, Entry]) -> bool:
    """Whether what is there was somebody else's first, also where it was the same as ours."""
    old = known.get(place.path)
    return place.state == FOREIGN or (old is not None and _is_as_before(root, place, old))


def _is_as_before(root: str, place: Place, entry: Entry) -> bool:
    """Whether what is there lay there before: nothing was kept of it, and it is the same."""
    if place.content is None or _is_kept(root, place.path, entry):
        return False
    return digest(place.content) == entry.before


def _is_kept(root: str, path: str, entry: Entry) -> bool:
    return bool(entry.before) and os.path.lexists(under(root, path) + ASIDE)


def _missing(root: str, place: Place) -> list[str]:
    """The directories of `place` that are not there, topmost first."""
    found: list[str] = []
    at = os.path.dirname(place.path)
    while place.wanted is not None and at != "/" and not os.path.isdir(under(root, at)):
        found.insert(0, at)
        at = os.path.dirname(at)
    return found


def _install_one(ground: Ground, place: Place, state: State) -> None:
    root = ground.root
    path, old = under(root, place.path), state.entries.get(place.path)
    if _is_in_place(place):
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
        if place.state == EDITED:
            _keep(path, path + CHANGED)
        if old and place.state in (LEFT, EDITED):
            _take_away(root, place, old)
        return
    aside = path + CHANGED if place.state == EDITED else ""
    if _is_theirs(root, place, state.entries):
        aside = path + ASIDE
    if aside:
        _keep(path, aside)
    try:
        _put(ground, path, place.wanted)
    except GuardError:
        # where the disk is full what was there goes on holding
        if aside and not os.path.lexists(path):
            os.rename(aside, path)
        raise


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
    another mode than `mode`, as the umask would."""
    if not os.path.isdir(path):
        _make(os.path.dirname(path), mode)
        os.mkdir(path, mode)
        os.chmod(path, mode)


def _require_safe(ground: Ground, files: Iterable[str]) -> None:
    """Raise GuardError where others than the owner could change a directory of one of `files`."""
    for path in files:
        at = os.path.dirname(under(ground.root, path))
        while not os.path.lexists(at):
            at = os.path.dirname(at)
        if not os.path.isdir(at):
            raise GuardError(
                "nothing was written: something else lies where a directory has to be",
                where=at,
                fix=f"look at it, then move it away: sudo mv {shlex.quote(at)} "
                f"{shlex.quote(f'{at}.old')}",
                exit_code=ExitCode.FINDINGS,
            )
        place, why = ground.unsafe(at)
        if place:
            raise _unsafe(ground, place, why)


def _unsafe(ground: Ground, place: str, why: str) -> GuardError:
    word = shlex.quote(place)
    root = f"sudo chown root {word} && sudo chmod go-w {word}"
    return GuardError(
        f"nothing was changed: others than {ground.owner} could change it there",
        where=place,
        why=why,
        fix=f"chmod go-w {word}" if ground.own else root,
        exit_code=ExitCode.FINDINGS,
    )


def _removals(root: str, place: Place, entry: Entry) -> list[Step]:
    if _is_as_before(root, place, entry):
        return [Step("leave", place.path)]
    steps = [Step("remove", place.path)] if place.state != EDITED else []
    if _is_kept(root, place.path, entry):
        steps.append(Step("put back", place.path))
    return steps


def _take_away(root: str, place: Place, entry: Entry) -> None:
    """Remove our file at `place`, and put back what was kept of somebody else's."""
    at = under(root, place.path)
    try:
        if _is_kept(root, place.path, entry):
            os.replace(at + ASIDE, at)
        elif os.path.lexists(at) and not _is_as_before(root, place, entry):
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
    stay = [place for place in places if place.state == EDITED]
    gone = [p for p in places if p.state != EDITED and p.path in state.entries]
    steps = [
        step
        for place in gone
        if place.content is not None or _is_kept(root, place.path, state.entries[place.path])
        for step in _removals(root, place, state.entries[place.path])
    ]
    if dry_run or not os.path.isdir(os.path.dirname(ground.memory)):
        return steps, stay
    with _alone(ground, state):
        for place in gone:
            _take_away(root, place, state.entries[place.path])
        if stay:
            left = {place.path: state.entries[place.path] for place in stay}
            _put(ground, ground.memory, replace(state, entries=left).text())
            return steps, stay
        for directory in sorted(state.made, key=len, reverse=True):
            try:
                os.rmdir(under(root, directory))
            except OSError:
                continue  # somebody else has a file in it
            steps.append(Step("remove", directory))
        # last, so that whoever is interrupted can do it again
        try:
            os.unlink(ground.memory)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _not_written(ground.memory, error) from None
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
        state = read_state(ground.memory)
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
