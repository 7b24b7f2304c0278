"""What the project around a launch must not choose: the user's directories, and the program.

Hot-path module.
"""

from __future__ import annotations

import os

from guard import paths
from guard.files.read import UnreadableError, digest, read_bytes
from guard.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.paths import Misplaced
    from guard.policy.compiled import CompiledPolicy

MAX_PROGRAM = 1 << 30
"""Bytes of a program whose digest is taken; opencode 1.18.33 has 185 MB."""

_MAX_INTERPRETERS = 4


def chosen_directories(wrong: Iterable[Misplaced]) -> list[Finding]:
    """A finding for each variable that makes a directory of the project one of the user's."""
    return [
        Finding("RG504", one.variable, one.what, where="environment", fix=one.fix) for one in wrong
    ]


def chosen_program(
    program: str, policy: CompiledPolicy, environ: Mapping[str, str], cwd: str, now: float
) -> list[Finding]:
    """A finding if `program`, or what interprets it, lies in the project around `cwd`.

    It does if its real path does, or a link on the way to it. An exception for the real path
    allows it with the content it has now.
    """
    around = paths.around(environ, cwd, unmarked=False)
    found: list[Finding] = []
    for path in (program, *interpreters(program, environ)):
        tree = around.tree_of(os.path.join(cwd, path))
        real = os.path.realpath(os.path.join(cwd, path))
        if not tree or real in [finding.path for finding in found]:
            continue
        why_not = _not_allowed(real, policy, now)
        if why_not is None:
            continue
        found.append(
            Finding(
                "RG306",
                path,
                f"{path} lies in the project {tree}{why_not}",
                where=path,
                path=real,
                fix="install the agent outside of the project; or, if you trust this program as it"
                f' is now:\nrouteguard allow file {_word(real)} --for 30d --reason "…"',
            )
        )
    return found


def interpreters(program: str, environ: Mapping[str, str]) -> list[str]:
    """The programs that the system starts to run the script `program`, none for a binary.

    `env` looks in PATH for its first word, relative entries included (execve(2), env(1)).
    """
    found: list[str] = []
    at = program
    while len(found) < _MAX_INTERPRETERS:
        try:
            line = (read_bytes(at, 512, cut=True) or b"").split(b"\n", 1)[0]
        except UnreadableError:
            break
        if not line.startswith(b"#!"):
            break
        words = os.fsdecode(line[2:]).split()
        if not words:
            break
        found.append(words[0])
        at = words[0]
        if os.path.basename(at) == "env":
            named = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
            at = _on_path(named[0], environ) if named else ""
            if not at:
                break
            found.append(at)
    return found


def _on_path(name: str, environ: Mapping[str, str]) -> str:
    if "/" in name:
        return name
    for directory in environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(directory or ".", name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return ""


def _not_allowed(real: str, policy: CompiledPolicy, now: float) -> str | None:
    """Why no exception covers `real`, to be added to a sentence; None if one does."""
    allowance = policy.excepted(f"file:{real}", now)
    if allowance is None:
        ended = policy.excepted(f"file:{real}", 0)
        return "" if ended is None else "; the exception for it has ended"
    try:
        if allowance.sha256 and digest(real, MAX_PROGRAM) == allowance.sha256:
            return None
    except UnreadableError as error:
        return f"; the exception does not hold: it {error}"
    return "; it has changed since it was allowed"


def _word(path: str) -> str:
    import shlex

    return shlex.quote(path)
