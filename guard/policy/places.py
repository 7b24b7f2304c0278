"""Where the layers of the policy lie. Hot-path module."""

from __future__ import annotations

import os

from guard import paths
from guard.errors import PolicyError
from guard.files.around import levels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ALLOWED_FILE = "allowed.toml"
"""What `routeguard allow` writes, beside the user's policy."""

PROJECT_FILE = ".routeguard.toml"

SHARED_PROJECT_FILE = "pyproject.toml"

MAX_PROJECT_FILES = 32
"""A repository decides how many there are, and a launch waits for each."""


def user_policy(environ: Mapping[str, str]) -> str:
    """The path of the user layer. Raises PolicyError if this user has no home directory."""
    try:
        return os.path.join(paths.routeguard_config(environ), "policy.toml")
    except KeyError:
        raise PolicyError(
            "cannot find your policy: you have no home directory",
            why=f"HOME is not set and user id {os.getuid()} is not in the password database",
            fix="set HOME to an absolute path",
        ) from None


def allowed_file(user: str) -> str:
    """Where `routeguard allow` keeps its exceptions, if the user layer is at `user`."""
    return os.path.join(os.path.dirname(user), ALLOWED_FILE)


def project_files(cwd: str) -> tuple[str, ...]:
    """The existing project layers of `cwd`, outermost first.

    In each of its directories PROJECT_FILE counts, else SHARED_PROJECT_FILE. Every one counts:
    each can only tighten, so none may hide another. Raises PolicyError if there are too many.
    """
    found = []
    for directory in levels(cwd):
        for name in (PROJECT_FILE, SHARED_PROJECT_FILE):
            path = os.path.join(directory, name)
            if exists(path):
                found.append(path)
                break
    if len(found) > MAX_PROJECT_FILES:
        raise PolicyError(
            "too many policy files around this directory",
            where=found[0],
            why=f"there are {len(found)}, one in each directory down to here, and"
            f" {MAX_PROJECT_FILES} at most are read",
            fix="remove those that are not needed",
        )
    return tuple(found)


def refuse_misplaced(environ: Mapping[str, str], cwd: str) -> None:
    """Raise PolicyError (RG504) where `environ` makes a file of the project the user's policy."""
    for wrong in paths.misplaced(environ, cwd):
        raise PolicyError(
            "one of your own directories is inside the project",
            where=f"environment variable {wrong.variable}",
            why=f"{wrong.what}; a repository chooses neither the policy nor the state of a launch",
            fix=wrong.fix,
            rule="RG504",
        )


def exists(path: str) -> bool:
    """Whether something is at `path`, be it a link that leads nowhere."""
    try:
        os.lstat(path)
    except (OSError, ValueError):
        return False
    return True
