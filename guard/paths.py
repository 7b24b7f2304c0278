"""Where routeguard keeps its files, and how a directory of ours is made safe.

Hot-path module. Bases follow the XDG Base Directory Specification: a relative value in an XDG
variable is invalid and ignored.
"""

from __future__ import annotations

import os
import stat
import sys

from guard.errors import ExitCode, GuardError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_POLICY = (
    "/Library/Application Support/routeguard/policy.toml"
    if sys.platform == "darwin"
    else "/etc/routeguard/policy.toml"
)

REAL_CONFIG_HOME = "ROUTEGUARD_CONFIG_HOME"
"""Set below a guarded agent, whose config home is ours: the user's own, empty if unset."""

LAUNCH_MARKER = "ROUTEGUARD_LAUNCH"
"""`pid:depth:program` of the launch that a process descends from."""

HOOK = "ROUTEGUARD_HOOK"
"""`lost:SHELL`, which the shell functions of the hook set for one command: the shell no longer
runs the hook at its prompt. A shell whose hook is whole does not set it."""


def home(environ: Mapping[str, str]) -> str:
    """The user's home directory: `HOME` if absolute, else the password database."""
    value = environ.get("HOME", "")
    if os.path.isabs(value):
        return value
    import pwd

    return pwd.getpwuid(os.getuid()).pw_dir


def _base(environ: Mapping[str, str], name: str, fallback: str) -> str:
    value = environ.get(name, "")
    return value if os.path.isabs(value) else os.path.join(home(environ), fallback)


def config_home(environ: Mapping[str, str]) -> str:
    """`$XDG_CONFIG_HOME`, by default `~/.config`."""
    return _base(environ, "XDG_CONFIG_HOME", ".config")


def state_home(environ: Mapping[str, str]) -> str:
    """`$XDG_STATE_HOME`, by default `~/.local/state`."""
    return _base(environ, "XDG_STATE_HOME", ".local/state")


def data_home(environ: Mapping[str, str]) -> str:
    """`$XDG_DATA_HOME`, by default `~/.local/share`."""
    return _base(environ, "XDG_DATA_HOME", ".local/share")


def cache_home(environ: Mapping[str, str]) -> str:
    """`$XDG_CACHE_HOME`, by default `~/.cache`."""
    return _base(environ, "XDG_CACHE_HOME", ".cache")


def routeguard_config(environ: Mapping[str, str]) -> str:
    """The directory of the user's own policy."""
    return os.path.join(config_home(environ), "routeguard")


def routeguard_state(environ: Mapping[str, str]) -> str:
    """The directory of the audit log and of per-launch directories."""
    return os.path.join(state_home(environ), "routeguard")


def routeguard_data(environ: Mapping[str, str]) -> str:
    """The directory of the shims."""
    return os.path.join(data_home(environ), "routeguard")


def shims(environ: Mapping[str, str]) -> str:
    """The directory of the PATH shims; it need not exist."""
    return os.path.join(routeguard_data(environ), "shims")


def routeguard_cache(environ: Mapping[str, str]) -> str:
    """The directory of everything that can be made again."""
    return os.path.join(cache_home(environ), "routeguard")


def private_directory(path: str) -> str:
    """Make `path` (mode 0700) and return it.

    Raises GuardError if it is not a directory of ours that only we can write to: what lies in
    it decides where a launch goes.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.lstat(path)
    except OSError as error:
        raise GuardError(
            "cannot make its own directory",
            where=path,
            why=error.strerror or str(error),
            fix="make the path writable for you, or remove what is in the way",
            rule="RG503",
            exit_code=ExitCode.CONFIG,
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise GuardError(
            "its own directory belongs to somebody else",
            where=path,
            why="whoever owns it could change where a launch goes",
            fix=f"remove or rename {path}",
            rule="RG503",
            exit_code=ExitCode.CONFIG,
        )
    if found.st_mode & 0o022:
        os.chmod(path, 0o700)
    return path
