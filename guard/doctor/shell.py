"""The checks of the shell: is the hook live, is it in the start file, do the shims come first."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from guard import hook, shells
from guard.doctor.context import Context
from guard.doctor.result import Diagnosis, broken, ok, skipped, warning
from guard.files.read import UnreadableError
from guard.hook import liveness
from guard.install import start_files, way
from guard.install.blocks import DamagedBlockError, Loads
from guard.install.files import completion_file

_MANAGERS = {
    "nvm": r"/\.?nvm/",
    "fnm": r"/\.?fnm(_multishells)?/",
    "Volta": r"/\.?volta/",
    "asdf": r"/\.?asdf/",
    "mise": r"/mise/(shims|installs)/",
    "nodenv": r"/\.?nodenv/",
    "Homebrew": r"/(opt/homebrew|\.linuxbrew|Homebrew)/",
}
"""Programs that put their own directory first on PATH, by the path of what they install: the
default places in the installation guide of each."""


def prompt_hook(context: Context) -> Iterator[Diagnosis]:
    """Does this shell run the hook at its prompt? The hook's own function `routeguard` says so."""
    lost = liveness.lost(context.given)
    shell = liveness.live(context.given)
    if lost is not None:
        yield Diagnosis("broken", lost.message, lost.fix, lost.rule)
    elif shell:
        yield ok(f"live in this {shell}")
    elif context.shims.start_files:
        yield warning(
            "not seen: this shell is older than its start file, or a script asked",
            'exec "$SHELL"\nrouteguard doctor',
        )
    else:
        yield broken("this shell has no hook", "routeguard setup\nthen open a new shell")


def start_file(context: Context) -> Iterator[Diagnosis]:
    """Which start file loads the hook, and is its block whole?"""
    wanted = _shell(context)
    found = context.shims.start_files
    for one in found:
        yield _block(context, one.shell, one.path)
    if wanted and wanted not in [one.shell for one in found]:
        yield broken(
            f"no start file of {wanted} loads the hook", f"routeguard setup --shell {wanted}"
        )
    elif not found:
        yield skipped("no shell with a hook: $SHELL is not bash, zsh or fish")


def _block(context: Context, shell: str, path: str) -> Diagnosis:
    """The state of the block of `shell` in the start file `path`."""
    told = f"{path} loads the hook of {shell}"
    try:
        this = way.current(context.environ)
        loads = Loads(this.launcher, completion_file(context.environ, shell), this.again)
        current = start_files.is_current(path, shell, loads)
        launcher = this.launcher if current else start_files.launcher_in(path)
    except (UnreadableError, DamagedBlockError) as error:
        return broken(
            f"the routeguard block in {path} is damaged: {error}",
            "remove what is left between its markers, then:\nrouteguard setup",
            "RG503",
        )
    if current is None:
        return ok(f"{told}, by a line of your own")
    if launcher and not os.access(launcher, os.X_OK):
        return broken(
            f"the routeguard block in {path} calls {launcher}, which is gone: new shells block "
            "every agent",
            "routeguard setup",
            "RG503",
        )
    if not current:
        return warning(f"{told}, as another release wrote it", "routeguard setup")
    return ok(told)


def path_shims(context: Context) -> Iterator[Diagnosis]:
    """Are the shims whole, and does every agent on PATH start through one?"""
    found = context.shims
    wrong = [shim for shim in found.shims if shim.state != "current"]
    missing = [shim for shim in wrong if shim.state == "missing"]
    foreign = [shim for shim in wrong if shim.state == "foreign"]
    if len(missing) == len(found.shims):
        yield warning(
            "not installed: an agent that an editor or a script starts is not guarded",
            "routeguard setup",
        )
        return
    if foreign:
        names = ", ".join(shim.path for shim in foreign)
        yield broken(f"not a shim of routeguard: {names}", f"move it away: {names}", "RG503")
    elif wrong:
        names = ", ".join(f"{shim.name} ({shim.state})" for shim in wrong)
        yield broken(f"not up to date: {names}", "routeguard shim install", "RG503")
    past = [one for one in found.resolved if one.path and not one.guarded]
    if past:
        told = "; ".join(f"{one.name} is {one.path}{_manager(one.path)}" for one in past)
        where = "not on PATH" if found.on_path == "absent" else "not first on PATH"
        yield broken(f"{where}: {told}", _first(), "RG405")
    elif found.on_path == "absent":
        yield warning(f"not on PATH: {found.directory}", _first())
    elif not wrong:
        yield ok("in place; every agent on PATH starts through one")


def _shell(context: Context) -> str:
    """The user's shell, if it has a hook: the one that asks, else $SHELL; "" for another."""
    asking = liveness.live(context.given) or context.given.get("SHELL", "").rpartition("/")[2]
    return asking if asking in hook.SHELLS else ""


def _first() -> str:
    now = shells.first_on_path("routeguard shim path")
    return f"{now}\nfor good: load the hook at the end of your start file, after all else"


def _manager(path: str) -> str:
    """Which program manager put `path` first, in brackets; "" for none that is known."""
    real = os.path.realpath(path)
    for name, pattern in _MANAGERS.items():
        if re.search(pattern, path) or re.search(pattern, real):
            return f" ({name} puts its directory first)"
    return ""
