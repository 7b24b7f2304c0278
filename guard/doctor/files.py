"""The checks of our own files: the audit log, the cache, the installation."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator

from guard import __version__, audit, paths
from guard.doctor.context import Context
from guard.doctor.result import Diagnosis, broken, ok, warning
from guard.hook.templates import interpreter


def audit_log(context: Context) -> Iterator[Diagnosis]:
    """Can the audit log be written?"""
    path = audit.log_file(context.environ)
    why = unwritable(path)
    if not why:
        yield ok(f"{path} can be written")
        return
    what = f"{path} cannot be written: {why}"
    fix = "make that path writable for you, or remove what is in the way"
    required = not isinstance(context.loaded, Exception) and context.loaded.audit_required
    yield broken(what, fix, "RG503") if required else warning(what, fix, "RG503")


def cache(context: Context) -> Iterator[Diagnosis]:
    """Can the compiled policy be kept? Without it every launch reads the policy again."""
    path = paths.routeguard_cache(context.environ)
    why = unwritable(os.path.join(path, "policy", "entry"))
    if why:
        yield warning(
            f"{path} cannot be written: {why}; every launch is slower",
            "make that path writable for you, or remove what is in the way",
        )
    else:
        yield ok(f"{path} can be written")


def version(context: Context) -> Iterator[Diagnosis]:
    """Which routeguard runs, by which Python? Newer releases are not asked for."""
    python, main_file = interpreter()
    release = ".".join(map(str, sys.version_info[:3]))
    yield ok(
        f"routeguard {__version__} in {os.path.dirname(main_file)}, Python {release}, {python}"
    )


def unwritable(path: str) -> str:
    """Why this user cannot write a file at `path` whose directories are his alone, "" if he can.

    Nothing is written: what is missing is looked for further up.
    """
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return _no_directory(os.path.dirname(path))
    except OSError as error:
        return error.strerror or "it cannot be looked at"
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    return "" if os.access(path, os.W_OK) else "you may not write to it"


def _no_directory(path: str) -> str:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        above = os.path.dirname(path)
        return _no_directory(above) if above != path else "there is no such directory"
    except OSError as error:
        return f"{path}: {error.strerror or 'cannot be looked at'}"
    if not stat.S_ISDIR(found.st_mode):
        return f"{path} is not a directory"
    return "" if os.access(path, os.W_OK | os.X_OK) else f"you may not write to {path}"
