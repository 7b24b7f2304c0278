"""The PATH shims: small scripts named like the agents, for programs that start one without a shell.

One more is named `routeguard`: wherever the hook is, what it says can be typed.

A shim is told by its second line, never by its name, so a file of somebody else's is neither
overwritten nor removed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from guard import paths
from guard.agents.registry import names, wrapped
from guard.catalog import agents as known_agents
from guard.errors import ExitCode, GuardError, PolicyError
from guard.files.read import UnreadableError, read_bytes
from guard.files.step import Step
from guard.files.write import write
from guard.launch.process import shim_text
from guard.launch.resolve import is_shim, typed
from guard.policy.values import CompiledPolicy
from guard.sources import bounded_text
from guard.sources.rc_files import startup_files

_HOOK = re.compile(r"^(?!\s*#).*routeguard['\"]?\s+hook\s+(bash|zsh|fish)\b", re.MULTILINE)

_ACTIONS = {"current": "unchanged", "needless": "remove"}


@dataclass(frozen=True, slots=True)
class Shim:
    """The place of one shim: "current", "outdated", "missing", "foreign" (not ours), or "needless"
    (of an agent that the policy leaves alone)."""

    name: str
    path: str
    state: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What `command NAME` would run: a path, "" for none, and whether that is a shim."""

    name: str
    path: str
    guarded: bool


@dataclass(frozen=True, slots=True)
class StartFile:
    """A start file that loads the hook of `shell`."""

    shell: str
    path: str


@dataclass(frozen=True, slots=True)
class ShimStatus:
    """How far the shims guard a launch from this environment.

    `on_path` is "first", "later" or "absent": where the directory of the shims stands on PATH.
    """

    directory: str
    shims: tuple[Shim, ...]
    on_path: str
    resolved: tuple[Resolved, ...]
    start_files: tuple[StartFile, ...]

    @property
    def unguarded(self) -> tuple[str, ...]:
        """The agents on PATH that would be started past the shims."""
        return tuple(found.name for found in self.resolved if found.path and not found.guarded)


def scripts(policy: CompiledPolicy | None = None) -> tuple[str, ...]:
    """The names of the scripts in the directory under `policy`, None where it cannot be read."""
    return (*wrapped(policy), "routeguard")


def _wanted(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names that get a shim, whether or not they have one: of the agents in the user's policy.

    A project has no say in it.
    """
    try:
        from guard.policy.compile import compile_user
    except ModuleNotFoundError:
        # a dry run of install.sh, before there is an environment: its clone has no pydantic
        return scripts()
    try:
        return scripts(compile_user(environ))
    except PolicyError:
        return scripts()


def install(environ: Mapping[str, str], *, dry_run: bool = False) -> list[Step]:
    """Write every shim that is missing or outdated; each file appears whole or not at all.

    One of an agent that the policy leaves alone is removed. Raises GuardError, before anything is
    written, if a file in the way is not ours, and if the directory is not safe or cannot be
    written.
    """
    found = _look_at_all(paths.own_shims(environ), _wanted(environ))
    for shim in found:
        if shim.state == "foreign":
            raise GuardError(
                f"there is another {shim.name} where its shim belongs, nothing was changed",
                where=shim.path,
                why="its second line is not that of a routeguard shim",
                fix=f"move {shim.path} away, then:\nrouteguard shim install",
                exit_code=ExitCode.CONFIG,
            )
    changes = [Step(_ACTIONS.get(shim.state, "write"), shim.path) for shim in found]
    if dry_run:
        return changes
    paths.private_directory(paths.own_shims(environ))
    for shim in found:
        if shim.state == "needless":
            _unlink(shim.path)
        elif shim.state != "current":
            _write(shim.path, shim_text(shim.name))
    return changes


def uninstall(environ: Mapping[str, str], *, dry_run: bool = False) -> list[Step]:
    """Remove every shim of ours, and the directory if nothing else is left in it.

    Raises GuardError if a file cannot be removed.
    """
    home = paths.own_shims(environ)
    try:
        entries = sorted(os.listdir(home))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _failure("cannot read the directory of the shims", home, error) from None
    changes = []
    for entry in entries:
        path = os.path.join(home, entry)
        ours = not os.path.islink(path) and is_shim(path)
        changes.append(Step("remove" if ours else "keep", path))
    if all(change.action == "remove" for change in changes):
        changes.append(Step("remove", home))
    if not dry_run:
        for change in changes:
            if change.action == "remove":
                _unlink(change.path)
    return changes


def status(environ: Mapping[str, str], *, root: str = "/") -> ShimStatus:
    """What the shims cover in `environ`. `root` stands for `/` in the system's start files."""
    home = paths.shims(environ)
    search = environ.get("PATH", os.defpath)
    entries = search.split(os.pathsep)
    on_path = "first" if entries[0] == home else "later" if home in entries else "absent"
    wanted = _wanted(environ)
    resolved = []
    for name in wanted[:-1]:
        path = typed(name, environ)
        resolved.append(Resolved(name, path, bool(path) and is_shim(path)))
    return ShimStatus(
        directory=home,
        shims=tuple(_look_at_all(home, wanted)),
        on_path=on_path,
        resolved=tuple(resolved),
        start_files=_start_files(environ, root),
    )


def _look_at_all(home: str, wanted: Collection[str]) -> list[Shim]:
    """Every shim that belongs in the directory `home`, and those of ours that do not."""
    others = [name for agent in known_agents.others() for name in agent.typed]
    found = [_look(name, home) for name in dict.fromkeys((*names(), *others, *wanted))]
    for place, shim in enumerate(found):
        if shim.name not in wanted and shim.state in ("current", "outdated"):
            found[place] = replace(shim, state="needless")
    return [shim for shim in found if shim.name in wanted or shim.state == "needless"]


def _look(name: str, home: str) -> Shim:
    path = os.path.join(home, name)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return Shim(name, path, "missing")
    except OSError as error:
        raise _failure("cannot look at a shim", path, error) from None
    if not stat.S_ISREG(found.st_mode) or not is_shim(path):
        return Shim(name, path, "foreign")
    try:
        same = read_bytes(path, links=False) == os.fsencode(shim_text(name))
    except UnreadableError:
        same = False
    executable = stat.S_IMODE(found.st_mode) == 0o755
    return Shim(name, path, "current" if same and executable else "outdated")


def _unlink(path: str) -> None:
    try:
        (os.unlink if not os.path.isdir(path) else os.rmdir)(path)
    except OSError as error:
        raise _failure("cannot remove a shim", path, error) from None


def _write(path: str, text: str) -> None:
    try:
        write(path, os.fsencode(text), 0o755)
    except OSError as error:
        raise _failure("cannot write a shim", path, error) from None


def _failure(what: str, path: str, error: OSError) -> GuardError:
    return GuardError(
        what,
        where=path,
        why=error.strerror or str(error),
        fix="make its directory writable, or remove what is in the way",
        exit_code=ExitCode.CONFIG,
    )


def _start_files(environ: Mapping[str, str], root: str) -> tuple[StartFile, ...]:
    found = []
    for _, files in startup_files(environ, root=root):
        for path in files:
            text = bounded_text.read(path)
            if isinstance(text, str):
                for match in _HOOK.finditer(text):
                    found.append(StartFile(match[1], path))
    return tuple(dict.fromkeys(found))
