"""Finds the program that a launch starts: the first one on PATH that is not a shim of ours.

Shims are recognised by content, not by name, so a launch can never start itself.

Hot-path module.
"""

from __future__ import annotations

import os
import stat

from guard import paths
from guard.errors import ExitCode, GuardError
from guard.files.read import UnreadableError, read_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from guard.agents.adapter import Agent

SHIM_LINE = b"# routeguard-shim"
"""The second line of every shim of ours."""

_MOST_LINKS = 16
"""Links that are followed; more than any installation has."""


def find_program(name: str, environ: Mapping[str, str], avoid: Collection[str] = ()) -> str:
    """The absolute path of the program `name`, "" if there is none.

    A `name` with a slash is taken as a path, unless it is a shim: then PATH is searched for its
    last part. Relative and empty entries of PATH are not searched: what they name depends on the
    directory one happens to be in. `avoid` are real paths that must not be chosen again.
    """
    if "/" in name:
        path = os.path.abspath(name)
        if not is_shim(path) and not paths.leads_into(path, paths.routeguard_data(environ)):
            return path if _is_program(path) and os.path.realpath(path) not in avoid else ""
        name = os.path.basename(name)
    shims = paths.shims(environ)
    for directory in environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(directory, name)
        if not directory.startswith("/") or not _is_program(path):
            continue
        if paths.leads_into(directory, shims) or is_shim(path):
            continue
        if avoid and os.path.realpath(path) in avoid:
            continue
        return path
    return ""


def typed(name: str, environ: Mapping[str, str]) -> str:
    """What a shell without functions starts as `name`, "" for nothing; it may be a shim."""
    for directory in environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(directory or ".", name)
        if _is_program(path):
            return path
    return ""


def users_own(name: str, environ: Mapping[str, str]) -> str:
    """The program that `name` is for the user, wherever they are; "" if there is none.

    Neither a relative path nor an entry of PATH counts that is relative or lies in the project
    around the working directory (direnv, `node_modules/.bin`): a repository chooses no program
    that we run for the user. A `name` that is an absolute path is itself.
    """
    if "/" in name:
        return name if name.startswith("/") else ""
    around = None
    for directory in environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(directory, name)
        if not directory.startswith("/") or not _is_program(path):
            continue
        around = around or paths.around(environ, paths.here())
        if not around.tree_of(path):
            return path
    return ""


def copies(name: str, environ: Mapping[str, str]) -> list[str]:
    """Every program `name` on PATH, the one that `find` chooses first; links to one count once."""
    found: list[str] = []
    seen: list[str] = []
    while path := find_program(name, environ, seen):
        found.append(path)
        seen.append(os.path.realpath(path))
    return found


def agent_behind(program: str) -> Agent | None:
    """The agent by whose name a file is called to which the link at `program` leads, or None."""
    from guard.agents.registry import agent_of

    found = None
    for _ in range(_MOST_LINKS):
        if found or not os.path.islink(program):
            break
        program = os.path.join(os.path.dirname(program), os.readlink(program))
        found = agent_of(program)
    return found


def find_agent(
    agent: Agent,
    name: str,
    environ: Mapping[str, str],
    avoid: Collection[str] = (),
    wrappers: Collection[str] = (),
) -> str:
    """The real binary of `agent`, started as `name`.

    `wrappers` are real paths that are chosen only where nothing else is found.
    Raises GuardError (RG502, status 127) if there is none.
    """
    program = find_program(name, environ, (*avoid, *wrappers)) or find_program(name, environ, avoid)
    if not program:
        raise GuardError(
            f"{name} is not installed, or not on PATH",
            where="PATH",
            why=f"no {name} on PATH besides routeguard's shim",
            fix=f"{agent.install}\n"
            f"or, to try one first:\nrouteguard verify --agent {agent.id} --fetch",
            rule="RG502",
            exit_code=ExitCode.NOT_FOUND,
        )
    return program


def is_wrapper(path: str) -> bool:
    """Whether the program at `path` may start the agent of its own name: a script outside any
    npm package. The programs of npm packages are scripts, too, and are the agent themselves."""
    real = os.path.realpath(path)
    if "/node_modules/" in real:
        return False
    try:
        handle = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(handle, 2) == b"#!"
    except OSError:
        return False
    finally:
        os.close(handle)


def is_shim(path: str) -> bool:
    """Whether the file at `path` is one of our shims, whatever it is called."""
    try:
        lines = (read_bytes(path, 256, cut=True) or b"").split(b"\n", 2)
    except UnreadableError:
        return False
    return len(lines) > 1 and lines[0].startswith(b"#!") and lines[1].strip() == SHIM_LINE


def _is_program(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except OSError:
        return False
