"""Where routeguard keeps its files, and how a directory of ours is made safe.

Hot-path module. Bases follow the XDG Base Directory Specification: a relative value in an XDG
variable is invalid and ignored.
"""

from __future__ import annotations

import os
import stat
import sys

from guard.errors import ExitCode, GuardError, PolicyError
from guard.files.around import Around
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PACKAGE = os.path.dirname(os.path.abspath(__file__))
"""The directory of our own package."""

SYSTEM_POLICY = (
    "/Library/Application Support/routeguard/policy.toml"
    if sys.platform == "darwin"
    else "/etc/routeguard/policy.toml"
)

REAL_CONFIG_HOME = "ROUTEGUARD_CONFIG_HOME"
"""Set below a guarded agent, whose config home is ours: the user's own, empty if unset."""

LAUNCH_MARKER = "ROUTEGUARD_LAUNCH"
"""`pid:depth:program` of the launch that a process descends from."""

LOOKED_AT = "ROUTEGUARD_LOOKED_AT"
"""Set where `guard.launch.wrapped` looks at what a script starts: a launch below it ends."""

WRAPPERS = "ROUTEGUARD_WRAPPERS"
"""The scripts, separated by colons, through which a launch came before the one in the marker."""

KEY_MARKER = "ROUTEGUARD_KEY"
"""The process that waits for a command to print the gateway key, set for that command: it may not
ask routeguard for what it prints."""

HOOK = "ROUTEGUARD_HOOK"
"""What the shell functions of the hook set for one command. `lost:SHELL`: the shell no longer runs
the hook at its prompt. `live:SHELL`: it does; only the function `routeguard` says so."""


_PLACES = (
    ("HOME", ""),
    ("XDG_CONFIG_HOME", ".config"),
    ("XDG_DATA_HOME", ".local/share"),
    ("XDG_STATE_HOME", ".local/state"),
    ("XDG_CACHE_HOME", ".cache"),
    ("XDG_RUNTIME_DIR", ""),
)
"""Variables that name a directory of the user's, and where below the home it is by default."""


def launch_above(environ: Mapping[str, str]) -> tuple[int, int, str]:
    """The process id, depth and program in the marker of a launch; (0, 0, "") without a whole one.

    The depth counts launches below launches, from 1.
    """
    pid, _, rest = environ.get(LAUNCH_MARKER, "").partition(":")
    depth, _, program = rest.partition(":")
    # whoever starts a process writes its environment: `int` takes 4300 digits at most
    if not (all(n.isascii() and n.isdigit() and len(n) < 20 for n in (pid, depth)) and program):
        return 0, 0, ""
    return int(pid), int(depth), program


def account_home() -> str:
    """The home directory that the user database gives this user, "" if it gives none."""
    import pwd

    try:
        found = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""
    return found if os.path.isabs(found) else ""


def home(environ: Mapping[str, str]) -> str:
    """The user's home directory: `HOME` if absolute, else the account's.

    Raises KeyError if there is neither.
    """
    value = environ.get("HOME", "")
    if os.path.isabs(value):
        return value
    found = account_home()
    if not found:
        raise KeyError("HOME")
    return found


class Misplaced(Record):
    """A `variable` that makes `path` a directory of the user's, although it lies in `tree`."""

    variable: str
    path: str
    tree: str

    @property
    def what(self) -> str:
        """What is wrong, as a clause."""
        return f"{self.variable} names {self.path}, inside the project {self.tree}"

    @property
    def fix(self) -> str:
        """What to type."""
        from guard import shells

        if self.variable == "HOME":
            home = account_home()
            if home:
                return shells.export("HOME", home)
            return f"{shells.export('HOME', '/…')}\nwith a directory outside of {self.tree}"
        return f"{shells.unset(self.variable)}\nor let it name a directory outside of {self.tree}"


def around(environ: Mapping[str, str], cwd: str, *, unmarked: bool = True) -> Around:
    """The working trees around `cwd`, by its real path and as the shell spells it.

    `unmarked` counts `cwd` itself as one whatever it holds.
    """
    starts = [os.path.realpath(cwd)]
    logical = environ.get("PWD", "")
    try:
        if os.path.isabs(logical) and os.path.samefile(logical, cwd):
            starts.append(logical)
    except (OSError, ValueError):
        pass
    return Around(starts, environ.get("HOME", ""), account_home, unmarked=unmarked)


def misplaced(environ: Mapping[str, str], cwd: str) -> list[Misplaced]:
    """The variables by which a project around `cwd` would hold the user's own directories.

    A directory's environment (direnv, a devcontainer, an editor) comes with the repository, and a
    repository chooses neither the policy nor the state, the credentials or the code of a launch.
    The account's own home and its default directories are the user's wherever they lie.
    """
    here = around(environ, cwd)
    found: list[Misplaced] = []
    for variable, default in _PLACES:
        named = environ.get(variable, "")
        source = variable
        if not os.path.isabs(named):
            # derived from HOME, which counts by itself
            named, source = os.path.join(environ.get("HOME", ""), default), "HOME"
            if not default or not os.path.isabs(named) or _names_home(found):
                continue
        tree = here.tree_of(named)
        if tree and not _is_of_account(named, default, variable):
            found.append(Misplaced(source, named, tree))
    return found


def inside(environ: Mapping[str, str], cwd: str, names: tuple[str, ...]) -> list[Misplaced]:
    """The variables of `names`, an agent's own, whose directory a project around `cwd` holds.

    A relative one is in whatever project the agent is started in.
    """
    found = []
    for name in names:
        named = environ.get(name, "")
        path = os.path.join(cwd, named)
        tree = around(environ, cwd).tree_of(path) if named else ""
        if tree or (named and not os.path.isabs(named)):
            found.append(Misplaced(name, path, tree or cwd))
    return found


def _names_home(found: list[Misplaced]) -> bool:
    return any(one.variable == "HOME" for one in found)


def _is_of_account(path: str, default: str, variable: str) -> bool:
    if variable == "XDG_RUNTIME_DIR":
        return False
    own = account_home()
    return bool(own) and os.path.realpath(path) == os.path.realpath(os.path.join(own, default))


def here() -> str:
    """The current directory; the root where it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return "/"


def of_user(
    environ: Mapping[str, str], cwd: str, say: Callable[[str], object] = lambda line: None
) -> dict[str, str]:
    """`environ` without what a project around `cwd` makes a directory of the user's.

    `say` gets a line for each variable that does not count. Raises PolicyError (RG504) where
    nothing else is left.
    """
    wrong = misplaced(environ, cwd)
    own = without_misplaced(environ, wrong)
    for one in wrong:
        say(f"routeguard: {one.what}; your account's own is used instead [RG504]")
    return own


def without_misplaced(environ: Mapping[str, str], wrong: list[Misplaced]) -> dict[str, str]:
    """`environ` with the account's own directories in place of those of `wrong`.

    Raises PolicyError (RG504) if HOME is one of them and the account has no home.
    """
    own = dict(environ)
    for one in wrong:
        own.pop(one.variable, None)
    if _names_home(wrong):
        own["HOME"] = account_home()
        if not own["HOME"]:
            raise PolicyError(
                "cannot find your own directories",
                where="environment variable HOME",
                why=f"{wrong[0].what}, and user id {os.getuid()} has no home in the user database",
                fix=wrong[0].fix,
                rule="RG504",
            )
    return own


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


def own_shims(environ: Mapping[str, str]) -> str:
    """The directory of the user's own PATH shims; it need not exist."""
    return os.path.join(routeguard_data(environ), "shims")


def shims(environ: Mapping[str, str]) -> str:
    """The directory of the PATH shims in use; it need not exist.

    Where the user has none, it is that of an installation for all users, which lies in the
    environment that our own code is in.
    """
    own = own_shims(environ)
    of_machine = os.path.join(os.path.dirname(os.path.dirname(sys.executable or "")), "shims")
    return own if os.path.isdir(own) or not os.path.isdir(of_machine) else of_machine


def installed_shims(environ: Mapping[str, str]) -> str:
    """The directory of the PATH shims, "" if there is none."""
    path = shims(environ)
    return path if os.path.isdir(path) else ""


def is_within(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or lies below it, by name."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def leads_into(path: str, directory: str) -> bool:
    """Whether `path` leads to `directory` or to something below it, whatever links are followed."""
    return is_within(os.path.realpath(path), os.path.realpath(directory))


def behind_shims(search: str, directory: str) -> str:
    """The PATH `search` with the shims in `directory` first, and there alone."""
    return ":".join([directory, *(entry for entry in search.split(":") if entry != directory)])


def routeguard_cache(environ: Mapping[str, str]) -> str:
    """The directory of everything that can be made again."""
    return os.path.join(cache_home(environ), "routeguard")


def is_clone(package: str) -> bool:
    """Whether the directory `package` is that of a clone, not one that was installed."""
    return os.path.exists(f"{os.path.dirname(package)}/pyproject.toml")


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
            "cannot create routeguard's own directory",
            where=path,
            why=error.strerror or str(error),
            fix="make the path writable, or remove the file in its place",
            rule="RG503",
            exit_code=ExitCode.CONFIG,
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise GuardError(
            "routeguard's own directory belongs to another user",
            where=path,
            why="its owner could change where a launch goes",
            fix=f"remove or rename {path}",
            rule="RG503",
            exit_code=ExitCode.CONFIG,
        )
    if found.st_mode & 0o022:
        os.chmod(path, 0o700)
    return path
