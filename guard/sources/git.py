"""git, asked about a repository that is not trusted.

It runs with no variable that could set its configuration, with the settings of a repository off by
which a question would start a program (git-config(1): core.fsmonitor, core.hooksPath), without
replaced objects or parents, and never fetches what a partial clone lacks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

TIMEOUT = 120.0
"""Seconds for one question."""

PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")
"""The variables by which git tells its hooks which repository it works on."""

_SETTINGS = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "protocol.allow=never")


class GitError(Exception):
    """git could not answer; the text says why."""


def ask(
    words: Iterable[str], directory: str, *, places: Mapping[str, str] | None = None,
    given: bytes = b"",
) -> bytes:  # fmt: skip
    """What `git WORDS` prints in `directory`, with `given` on its standard input.

    `places` are variables of git that hold, such as those of PLACES; without, git looks for the
    repository of `directory`. Raises GitError if git is missing, refuses or takes too long.
    """
    import subprocess  # where git is asked: named files need no answer

    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    environ["GIT_GRAFT_FILE"] = os.devnull
    environ |= places or {}
    command = ["git", "--literal-pathspecs", "--no-replace-objects"]
    for setting in _SETTINGS:
        command += ["-c", setting]
    try:
        done = subprocess.run(
            [*command, *words],
            cwd=directory,
            env=environ,
            input=given,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError as error:
        missing = "git is not installed" if error.filename == "git" else "the directory is gone"
        raise GitError(missing) from None
    except subprocess.TimeoutExpired:
        raise GitError(f"no answer within {TIMEOUT:g} seconds") from None
    except OSError as error:
        raise GitError((error.strerror or str(error)).lower()) from None
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().split("\n")
        # a hint or a warning may stand before what went wrong
        said = next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[0])
        raise GitError(
            said.removeprefix("fatal: ").removeprefix("error: ") or f"status {done.returncode}"
        )
    return done.stdout
