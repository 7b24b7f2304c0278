"""`routeguard hook`: prints the hook of a shell.

Hot-path module.
"""

from __future__ import annotations

import os
import stat
import sys

from guard import paths
from guard.errors import ExitCode, GuardError, PolicyError, UsageError, either, printable, say
from guard.hook import SHELLS
from guard.hook.keep import keep
from guard.hook.render import render
from guard.hook.templates import interpreter
from guard.policy import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SCRATCH = "prompt"


def asking_shell(command: str) -> str:
    """The shell that runs `routeguard COMMAND`: the parent process, else a guess by $SHELL.

    A guess is said on stderr. Raises UsageError if neither is a shell with a hook.
    """
    from guard.shells import program

    found = program(os.getppid())
    if found in SHELLS:
        return found
    guess = os.path.basename(os.environ.get("SHELL", ""))
    if guess not in SHELLS:
        raise UsageError(
            f"{command}: cannot tell which shell asks",
            why=f"its parent process is {printable(found) or 'not readable'}",
            fix=_choices(command),
        )
    choose = f"to choose: routeguard {command} SHELL"
    say(f"routeguard: {command} for {guess} (a guess by $SHELL); {choose}")
    return guess


def _choices(command: str) -> str:
    """`routeguard COMMAND` for each shell, a line each."""
    return either(*(f"routeguard {command} {shell}" for shell in SHELLS))


def _shell(argv: list[str]) -> str:
    if not argv:
        return asking_shell("hook")
    fix = f"{_choices('hook')}\nin a start file:\nrouteguard hook --help"
    if len(argv) > 1:
        raise UsageError(f"hook takes one shell, not {len(argv)} words", fix=fix)
    if argv[0] not in SHELLS:
        raise UsageError(
            f"no hook for the shell {argv[0]!r}",
            why=f"there are hooks for {', '.join(SHELLS[:-1])} and {SHELLS[-1]}",
            fix=fix,
        )
    return argv[0]


def main(argv: list[str]) -> int:
    """`routeguard hook [--made-from TEXT] SHELL`: print the hook; returns the exit status.

    What is evaluated comes through a pipe and has no comments; a file or a terminal gets them.
    The project layer has no say: a shell outlives the directory in which it was started. With a
    policy that cannot be read the hook still wraps every agent, and the launch says what is
    wrong; the status is then 0 all the same, because what was printed guards the shell, and a
    start file would take anything else for "no hook".
    With `--made-from`, which only our launcher gives, the text is kept as well.
    Raises UsageError for a shell without a hook, GuardError (RG503) if our files are damaged.
    """
    made_from = ""
    if argv[:1] == ["--made-from"] and len(argv) == 3:
        _, made_from, *argv = argv
    shell = _shell(argv)
    python, main_file = interpreter()
    policy = None
    environ: Mapping[str, str] = os.environ
    try:
        environ = paths.of_user(environ, paths.here(), say)
        policy = cache.load("/", environ)
    except PolicyError as error:
        where = f" ({error.where})" if error.where else ""
        say(f"routeguard: {error.what}{where} [{error.rule}]; agents are blocked until it is fixed")
    text = render(
        shell,
        policy,
        python=python,
        main_file=main_file,
        shims=paths.shims(environ),
        scratch=_scratch(environ) if shell == "bash" else "",
        comments=not _piped(),
    )
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(text))
    sys.stdout.buffer.flush()
    if made_from and policy is not None and "\0" not in text:
        keep(shell, text, made_from, policy, environ)
    return ExitCode.OK


def _scratch(environ: Mapping[str, str]) -> str:
    """A private directory for the files of each bash, or "" if there can be none.

    What shells that have ended left there is removed; a file is named after its shell's pid.
    """
    try:
        paths.private_directory(paths.routeguard_cache(environ))
        directory = paths.private_directory(os.path.join(paths.routeguard_cache(environ), _SCRATCH))
        for name in os.listdir(directory):
            if name.isdigit() and not _runs(int(name)):
                os.unlink(os.path.join(directory, name))
    except (GuardError, OSError, KeyError):
        return ""
    return directory


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _piped() -> bool:
    """Whether stdout is a pipe, as in `$(…)` and `… | source`."""
    try:
        return stat.S_ISFIFO(os.fstat(1).st_mode)
    except OSError:
        return False
