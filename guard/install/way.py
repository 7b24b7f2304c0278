"""How this routeguard was installed: whose Python runs it, and which commands mend and end it."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from guard import paths
from guard.files.read import UnreadableError, read_bytes
from guard.hook.templates import interpreter
from guard.install.refusals import NotPossibleError

PACKAGE = "routeguard"
"""Its name for pip, pipx and uv."""

CLONE = "clone"
"""File in our data directory: the path of the clone that install.sh was run from last."""


@dataclass(frozen=True, slots=True)
class Way:
    """One installation. `kind` is "install.sh", "uv", "pipx" or "pip".

    `python` and `main` are the paths that a launcher calls, `launcher` is where it lies. `again`
    is the command that installs once more, `remove` the one that ends it ("" for install.sh,
    whose environment teardown removes itself).
    """

    kind: str
    prefix: str
    python: str
    main: str
    launcher: str
    again: str
    remove: str


def environment_link(environ: Mapping[str, str]) -> str:
    """The link to the version in use that install.sh makes."""
    return os.path.join(paths.routeguard_data(environ), "venv")


def versions(environ: Mapping[str, str]) -> str:
    """The directory of the environments that install.sh makes."""
    return os.path.join(paths.routeguard_data(environ), "versions")


def launcher_of_install_sh(environ: Mapping[str, str]) -> str:
    """Where the launcher of an installation by install.sh lies."""
    return os.path.join(paths.home(environ), ".local/bin/routeguard")


def launcher_of_others(environ: Mapping[str, str]) -> str:
    """Where setup puts the launcher for a package that pip, pipx or uv has installed.

    Their own `routeguard` imports the whole of Python's site at each shell start, and it is not
    ours to change; this one starts as fast as that of install.sh and says what to do where its
    Python is gone.
    """
    return os.path.join(paths.routeguard_data(environ), "bin/routeguard")


def of_install_sh(environ: Mapping[str, str], clone: str) -> Way:
    """The way of install.sh, run from `clone` ("" if that is not known)."""
    link = environment_link(environ)
    script = os.path.join(clone, "install.sh")
    known = clone and os.path.isfile(script)
    return Way(
        kind="install.sh",
        prefix=link,
        python=os.path.join(link, "bin/python"),
        main=os.path.join(link, "run/guard/__main__.py"),
        launcher=launcher_of_install_sh(environ),
        again=f"sh {shlex.quote(script)}"
        if known
        else "run the install.sh of a clone of routeguard",
        remove="",
    )


def current(environ: Mapping[str, str], clone: str = "") -> Way:
    """How the running program was installed, by install.sh from `clone` where it knows which.

    Raises GuardError (RG503) if Python does not know where it lies.
    """
    prefix = os.path.realpath(sys.prefix)
    if os.path.realpath(environment_link(environ)) == prefix or prefix.startswith(
        os.path.realpath(versions(environ)) + os.sep
    ):
        return of_install_sh(environ, clone or clone_of(environ))
    python, main = interpreter()
    kind, again, remove = _commands(prefix, python, environ)
    return Way(kind, prefix, python, main, launcher_of_others(environ), again, remove)


def clone_of(environ: Mapping[str, str]) -> str:
    """The clone that install.sh was run from last, "" if that is not known."""
    try:
        with open(os.path.join(paths.routeguard_data(environ), CLONE), "rb") as file:
            found = os.fsdecode(file.read(4096))
    except OSError:
        return ""
    return found if os.path.isabs(found) else ""


def _commands(prefix: str, python: str, environ: Mapping[str, str]) -> tuple[str, str, str]:
    """(kind, the command that installs again, the command that removes) for the environment.

    uv leaves `uv-receipt.toml` in the environment of a tool, with what it was installed from (seen
    with uv 0.13), pipx `pipx_metadata.json` (seen with pipx 1.18).
    """
    command = shlex.quote(os.path.join(paths.home(environ), ".local/bin/routeguard"))
    receipt = _read(os.path.join(prefix, "uv-receipt.toml"), tomllib.loads)
    if receipt is not None:
        tool = receipt.get("tool", {})
        places = [entry.get("install-path") for entry in tool.get("entrypoints", ())]
        command = shlex.quote(str(places[0])) if places else command
        spec = shlex.quote(_spec(next(iter(tool.get("requirements", ())), {})))
        again = f"uv tool install --force {spec} && {command} setup"
        return "uv", again, "uv tool uninstall routeguard"
    metadata = _read(os.path.join(prefix, "pipx_metadata.json"), json.loads)
    if metadata is not None:
        spec = shlex.quote(str(metadata.get("main_package", {}).get("package_or_url", PACKAGE)))
        again = f"pipx install --force {spec} && {command} setup"
        return "pipx", again, "pipx uninstall routeguard"
    return (
        "pip",
        f"make the environment {prefix} again, with routeguard in it, and run its routeguard setup",
        f"{shlex.quote(python)} -m pip uninstall routeguard",
    )


def _read(path: str, parse: Callable[[str], Any]) -> dict[str, Any] | None:
    """A small file of another installer; None if there is none, {} if it cannot be understood."""
    try:
        content = read_bytes(path)
        if content is None:
            return None
        found = parse(content.decode())
    except (UnreadableError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _spec(requirement: dict[str, Any]) -> str:
    """What uv was told to install, from its receipt."""
    extras = ",".join(map(str, requirement.get("extras", ())))
    keys = ("path", "directory", "editable", "url", "git")
    place = next((str(requirement[key]) for key in keys if requirement.get(key)), "")
    if "git" in requirement and place:
        place = f"git+{place}"
    return (place or PACKAGE) + (f"[{extras}]" if extras else "")


def require_lasting(way: Way, environ: Mapping[str, str]) -> None:
    """Raise NotPossibleError where a start file must not name the program: it will not last.

    uvx runs from `archive-v0` or `environments-v2` in uv's cache, pipx from `.cache` below its home
    or `pipx` below the user's cache (source: their directories, seen with uv 0.9 and pipx 1.8).
    """
    if not os.path.isfile(way.main):
        raise NotPossibleError(
            "this copy of routeguard is not a plain directory, so no shell can start it",
            where=way.main,
            fix="uv tool install routeguard && routeguard setup",
        )
    prefix = way.prefix
    parts = prefix.split(os.sep)
    uv_cache = environ.get("UV_CACHE_DIR") or os.path.join(paths.cache_home(environ), "uv")
    by_uv = prefix.startswith(os.path.realpath(uv_cache) + os.sep) or any(
        part.startswith(("archive-v", "environments-v", "builds-v")) for part in parts
    )
    pipx_home = environ.get("PIPX_HOME") or os.path.join(paths.data_home(environ), "pipx")
    by_pipx = any(
        prefix.startswith(os.path.realpath(place) + os.sep)
        for place in (
            os.path.join(pipx_home, ".cache"),
            os.path.join(paths.cache_home(environ), "pipx"),
        )
    )
    if by_uv or by_pipx:
        tool, command = ("uvx", "uv tool install") if by_uv else ("pipx run", "pipx install")
        raise NotPossibleError(
            f"nothing was set up: {tool} runs routeguard from a cache that may be emptied",
            where=prefix,
            why="a shell that names it would block every agent as soon as it is gone",
            fix=f"{command} routeguard && routeguard setup",
        )
