"""Which version of an agent is installed, and whether a program is the agent itself.

Hot-path module; `json` and `subprocess` are imported only where they are needed.
"""

from __future__ import annotations

import os

from guard import paths
from guard.errors import GuardError
from guard.files import jsonc
from guard.files.read import UnreadableError, read_bytes, read_own
from guard.files.write import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents import Identity

_TIMEOUT = 20.0

NO_VERSION = (0, 0, 0)
"""What stands for a version that cannot be told."""

COMPILED = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
"""How a compiled program begins: of Linux, and of macOS for one processor and for several."""

TOLD: dict[str, tuple[int, int, int]] = {}
"""The version of a program that a launch has just asked for, by its path: what stands in place of
many programs is asked each time, and its answer decides on the adapter and on the plan."""


def version(
    path: str, environ: Mapping[str, str], agent: Identity, *, ask: bool = True
) -> tuple[int, int, int]:
    """The version of `agent`'s binary at `path`; NO_VERSION if it cannot be told.

    npm packages say it in `package.json` beside the binary, or in the folder above; installers
    that keep several say it in its name (`NAME/versions/2.1.332`). Any other binary is asked once
    (`--version`, about 0.7 s) and the answer kept under its identity, so that an upgrade in place
    is noticed. A link to a program of another name (mise, Volta: one program in place of many,
    which goes by the name it is called by) starts what it is told to, so it is asked by that name,
    each time. `ask` False only looks.
    """
    if not os.path.isabs(path):
        return NO_VERSION  # of no program; a name alone would mean a file of this directory
    real = os.path.realpath(path)
    said = _from_path(real, agent)
    if said == NO_VERSION:
        said = _from_package(real, agent)
    if said != NO_VERSION:
        return said
    key = identity(real)
    if not key:
        return NO_VERSION
    store = os.path.join(paths.routeguard_cache(environ), "agents", "versions")
    many = not _is_named(real, agent)
    known = NO_VERSION if many else _remembered(store, key)
    if known != NO_VERSION or not ask:
        return known
    answer = _ask(path if many else real, environ)
    if answer != NO_VERSION and not many:
        _remember(store, key, answer)
    return answer


def is_agent_itself(path: str, agent: Identity) -> bool:
    """Whether the program at `path` is `agent`'s own, compiled, and starts no other as the agent.

    A script, and a program in place of many, may change what its own start was given: a shell sets
    PWD anew to the directory that it is in (run: dash, bash and zsh), and asdf and mise choose the
    version by that directory. What cannot be told is not the agent.
    """
    real = os.path.realpath(path)
    if not os.path.isabs(path) or not _is_named(real, agent):
        return False
    try:
        return (read_bytes(real, 4, cut=True) or b"").startswith(COMPILED)
    except UnreadableError:
        return False


def starts_another(path: str, agent: Identity) -> bool:
    """Whether the program at `path` starts `agent` rather than being it: a script of somebody
    else's, or a program in place of many. What lies in the agent's own package is the agent."""
    real = os.path.realpath(path)
    own = is_agent_itself(path, agent) or _from_path(real, agent) != NO_VERSION
    return not own and _from_package(real, agent) == NO_VERSION


def _is_named(real: str, agent: Identity) -> bool:
    # Nix calls the program behind its wrapper .NAME-wrapped
    return os.path.basename(real).removeprefix(".").startswith(agent.names)


def identity(path: str) -> str:
    """What tells the file at `path` from what it is after an upgrade; "" if there is none."""
    real = os.path.realpath(path)
    try:
        found = os.stat(real)
    except OSError:
        return ""
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino} {real}"


def parse_version(text: str) -> tuple[int, int, int]:
    """The first `N.N.N` in the first line of `text`: 1.x prints it bare, 2.x with a name."""
    for word in text.split("\n", 1)[0].replace("v", " ").split():
        parts = word.split("-")[0].split("+")[0].split(".")
        if len(parts) == 3 and all(p.isascii() and p.isdigit() and len(p) < 9 for p in parts):
            return int(parts[0]), int(parts[1]), int(parts[2])
    return NO_VERSION


def _from_path(real: str, agent: Identity) -> tuple[int, int, int]:
    folder, name = os.path.split(real)
    above, versions = os.path.split(folder)
    if versions == "versions" and os.path.basename(above) in agent.names:
        return parse_version(name)
    return NO_VERSION


def _from_package(real: str, agent: Identity) -> tuple[int, int, int]:
    # …/PACKAGE/bin/NAME.exe, or …/PACKAGE-linux-x64/NAME
    folder = os.path.dirname(real)
    for package in (folder, os.path.dirname(folder)):
        try:
            content = jsonc.read(os.path.join(package, "package.json")) or {}
        except jsonc.UnreadableError:
            continue
        name, said = content.get("name"), content.get("version")
        if not isinstance(name, str) or not isinstance(said, str):
            continue
        # a platform's binary is a package of its own: PACKAGE-linux-x64
        if name in agent.packages or name.startswith(tuple(f"{p}-" for p in agent.packages)):
            return parse_version(said)
    return NO_VERSION


def _remembered(store: str, key: str) -> tuple[int, int, int]:
    for line in (read_own(store) or b"").decode("utf-8", "surrogateescape").splitlines():
        said, _, of = line.partition(" ")
        if of == key:
            return parse_version(said)
    return NO_VERSION


def _remember(store: str, key: str, answer: tuple[int, int, int]) -> None:
    line = f"{'.'.join(map(str, answer))} {key}\n"
    if "\n" in key:
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
        return NO_VERSION
    try:
        said, _ = asked.communicate(timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        # with all that it started: a script can be one that starts itself
        os.killpg(asked.pid, 9)
        asked.communicate()
        return NO_VERSION
    return parse_version(said.decode("utf-8", "replace"))
