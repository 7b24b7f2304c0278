"""The installed opencode: which version it is, and whether its route can be held.

Hot-path module; `json` and `subprocess` are imported only where they are needed.
"""

from __future__ import annotations

import os

from guard import paths
from guard.errors import GuardError
from guard.files import jsonc
from guard.files.read import read_own
from guard.files.write import write
from guard.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TESTED = (1, 18, 33)
"""The release on which every measure of the guard was tried."""

OLDEST = (1, 18, 0)
"""The oldest release accepted. Older ones let `.opencode` override the inline config
(github.com/anomalyco/opencode/issues/11628)."""

_PACKAGES = ("opencode-ai", "@opencode/cli")
_TIMEOUT = 20.0


def version(path: str, environ: Mapping[str, str], *, ask: bool = True) -> tuple[int, int, int]:
    """The version of the binary at `path`; (0, 0, 0) if it cannot be told.

    npm packages say it in `package.json` beside the binary. Any other binary is asked once
    (`--version`, about 0.7 s) and the answer kept under its identity, so that an upgrade in place
    is noticed. A link to a program of another name (mise, Volta: one program in place of many,
    which goes by the name it is called by) starts what it is told to, so it is asked by that name,
    each time. `ask` False only looks.
    """
    if not os.path.isabs(path):
        return (0, 0, 0)  # of no program; a name alone would mean a file of this directory
    real = os.path.realpath(path)
    packaged = _from_package(real)
    if packaged != (0, 0, 0):
        return packaged
    try:
        found = os.stat(real)
    except OSError:
        return (0, 0, 0)
    identity = f"{found.st_mtime_ns} {found.st_size} {found.st_ino} {real}"
    store = os.path.join(paths.routeguard_cache(environ), "agents", "versions")
    many = not os.path.basename(real).startswith("opencode")
    known = (0, 0, 0) if many else _remembered(store, identity)
    if known != (0, 0, 0) or not ask:
        return known
    answer = _ask(path if many else real, environ)
    if answer != (0, 0, 0) and not many:
        _remember(store, identity, answer)
    return answer


def judge(found: tuple[int, int, int], path: str) -> list[Finding]:
    """A finding if the route of this version cannot be held, a note if it was never tried."""
    shown = ".".join(map(str, found))
    fix = f"npm install -g opencode-ai@{'.'.join(map(str, TESTED))}"
    if found == (0, 0, 0):
        message = "its version is unknown"
    elif found[0] >= 2:
        message = (
            f"version {shown} makes its calls from a shared background server, whose environment "
            "and config were set before this launch"
        )
    elif found < OLDEST:
        message = f"version {shown} lets a repository override the pinned config"
    elif found[:2] > TESTED[:2]:
        return [
            Finding(
                "RG204",
                path,
                f"version {shown} is newer than the one that routeguard was tested with",
                where=path,
                fix="routeguard verify proves the route on this machine",
                severity="note",
            )
        ]
    else:
        return []
    return [Finding("RG204", path, message, where=path, fix=fix)]


def parse(text: str) -> tuple[int, int, int]:
    """The first `N.N.N` in the first line of `text`: 1.x prints it bare, 2.x with a name."""
    for word in text.split("\n", 1)[0].replace("v", " ").split():
        parts = word.split("-")[0].split("+")[0].split(".")
        if len(parts) == 3 and all(p.isascii() and p.isdigit() and len(p) < 9 for p in parts):
            return int(parts[0]), int(parts[1]), int(parts[2])
    return (0, 0, 0)


def _from_package(real: str) -> tuple[int, int, int]:
    # …/opencode-ai/bin/opencode.exe or …/opencode-linux-x64/bin/opencode
    package = os.path.dirname(os.path.dirname(real))
    try:
        content = jsonc.read(os.path.join(package, "package.json")) or {}
    except jsonc.UnreadableError:
        return (0, 0, 0)
    name, said = content.get("name"), content.get("version")
    if not isinstance(name, str) or not isinstance(said, str):
        return (0, 0, 0)
    if name in _PACKAGES or name.startswith("opencode-"):
        return parse(said)
    return (0, 0, 0)


def _remembered(store: str, identity: str) -> tuple[int, int, int]:
    for line in (read_own(store) or b"").decode("utf-8", "surrogateescape").splitlines():
        said, _, of = line.partition(" ")
        if of == identity:
            return parse(said)
    return (0, 0, 0)


def _remember(store: str, identity: str, answer: tuple[int, int, int]) -> None:
    line = f"{'.'.join(map(str, answer))} {identity}\n"
    if "\n" in identity:
        return
    try:
        paths.private_directory(os.path.dirname(store))
        # one writer wins; a lost line costs one more question
        write(store, line.encode("utf-8", "surrogateescape"))
    except (OSError, GuardError):
        pass


_MANAGERS = ("ASDF_DATA_DIR", "ASDF_DIR", "MISE_CONFIG_DIR", "MISE_DATA_DIR", "VOLTA_HOME")
"""Where version managers keep what their programs start."""


def _ask(program: str, environ: Mapping[str, str]) -> tuple[int, int, int]:
    import subprocess

    # BUN_BE_BUN=1 would make the binary answer with Bun's version
    kept = ("HOME", "PATH", "TMPDIR", "LANG", *_MANAGERS)
    bare = {name: environ[name] for name in kept if name in environ}
    try:
        asked = subprocess.Popen(
            [program, "--version"],
            env=bare,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return (0, 0, 0)
    try:
        said, _ = asked.communicate(timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        # with all that it started: a script can be one that starts itself
        os.killpg(asked.pid, 9)
        asked.communicate()
        return (0, 0, 0)
    return parse(said.decode("utf-8", "replace"))
