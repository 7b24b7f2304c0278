"""Refuses what a project must not choose: the user's directories, and the program to start.

Hot-path module.
"""

from __future__ import annotations

import os

from guard import paths
from guard.files.read import UnreadableError, read_bytes
from guard.findings import Finding, allow
from guard.launch.resolve import typed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.paths import Misplaced
    from guard.policy.values import CompiledPolicy

_MAX_INTERPRETERS = 4


def chosen_directories(wrong: Iterable[Misplaced]) -> list[Finding]:
    """A finding for each variable that moves a directory of the user's into the project."""
    return [
        Finding("RG504", one.variable, one.what, where="environment", fix=one.fix) for one in wrong
    ]


def chosen_program(
    program: str, policy: CompiledPolicy, environ: Mapping[str, str], cwd: str, now: float
) -> list[Finding]:
    """A finding if `program`, or what interprets it, lies in the project around `cwd`.

    It does if its real path does, or a link on the way to it. An exception for the real path
    allows it with the content it has now, if it also covers what a script imports.
    """
    around = paths.around(environ, cwd, unmarked=False)
    found: list[Finding] = []
    for path in (program, *interpreters(program, environ)):
        tree = around.tree_of(os.path.join(cwd, path))
        real = os.path.realpath(os.path.join(cwd, path))
        if not tree or real in [finding.path for finding in found]:
            continue
        # most launches have none to ask about
        from guard.agents.covered import Coverage

        missing = Coverage(policy, now).missing(real)
        if missing is None:
            continue
        fix = "install the agent outside of the project"
        if missing.path:
            fix += "; or, if you trust this program as it is now:\n"
            fix += allow("file", _word(missing.path), "30d")
        found.append(
            Finding(
                "RG306",
                path,
                f"{path} lies in the project {tree}{missing.why}",
                where=path,
                path=real,
                fix=fix,
            )
        )
    return found


def interpreters(program: str, environ: Mapping[str, str]) -> list[str]:
    """The programs that the system starts to run the script `program`, none for a binary.

    `env` looks in PATH for a program, relative entries included (execve(2), env(1)); each word
    behind it that is one there counts.
    """
    found: list[str] = []
    pending = [program]
    while pending and len(found) < _MAX_INTERPRETERS:
        at = pending.pop(0)
        try:
            line = (read_bytes(at, 512, cut=True) or b"").split(b"\n", 1)[0]
        except UnreadableError:
            continue
        if not line.startswith(b"#!"):
            continue
        words = os.fsdecode(line[2:]).split()
        if not words:
            continue
        started = [words[0]]
        if os.path.basename(words[0]) == "env":
            # whatever of it could be the program: options of `env` take values, and split words
            text = " ".join(words[1:]).replace("--split-string", " ").replace("-S", " ")
            for mark in "='\"":
                text = text.replace(mark, " ")
            started += [word if "/" in word else typed(word, environ) for word in text.split()]
        pending += [each for each in started if each and each not in found]
        found += [each for each in started if each and each not in found]
    return found


def _word(path: str) -> str:
    import shlex

    return shlex.quote(path)
