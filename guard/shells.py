"""The user's shell, and what is typed in it to change its environment.

Only a message asks, so nothing on the way of a launch that starts loads this.
"""

from __future__ import annotations

import functools
import os
import shlex
import sys

_POSIX = ("", "sh", "ash", "bash", "busybox", "dash", "ksh", "mksh", "yash", "zsh")
"""Shells that know `export` and `unset`; the empty name is that of a machine's default."""

_OTHERS = ("csh", "elvish", "fish", "ion", "murex", "nu", "pwsh", "tcsh", "xonsh", "ysh")
"""Shells with a language of their own; of these we write that of fish."""

_ASK_PS = 5.0


def own() -> str:
    """The name of the shell that the user types in, "" if nothing says which.

    The process that called us if it is one (the launcher, the shims and the functions of the hook
    become us, or start us), else $SHELL, the login shell: someone may type in another one.
    """
    caller = program(os.getppid())
    if caller and caller in (*_POSIX, *_OTHERS):
        return caller
    return os.path.basename(os.environ.get("SHELL", ""))


def unset(name: str) -> str:
    """The line that takes the variable `name` out of the environment of the user's shell.

    Words, where that shell has a language of its own that we do not write.
    """
    if not name.isidentifier() or not name.isascii():
        return f"start programs with:\nenv -u {shlex.quote(name)} PROGRAM"
    return _line(
        fish=f"set -e {name}",
        posix=f"unset {name}",
        words=f"remove {name} from your environment",
    )


def export(name: str, value: str = "…") -> str:
    """The line that puts `value` into the variable `name`, for programs of the user's shell too.

    The default stands for a value that only the user knows. Words, as of `unset`.
    """
    return _line(
        fish=f"set -gx {name} {_quoted(value.replace(chr(92), chr(92) * 2))}",
        posix=f"export {name}={_quoted(value)}",
        words=f"set {name} to {value} in your environment",
    )


def first_on_path(command: str) -> str:
    """The line that puts the directory which `command` prints before the others on PATH."""
    return _line(
        fish=f"set -gx PATH ({command}) $PATH",
        posix=f'export PATH="$({command}):$PATH"',
        words=f"put the directory that `{command}` prints first on PATH",
    )


def program(pid: int) -> str:
    """The name of a process, "" if it cannot be read."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        if sys.platform == "linux":
            return ""
    return _by_ps(pid)


@functools.cache
def _by_ps(pid: int) -> str:
    """The same where there is no /proc, as on macOS: once, as a message may have many fixes."""
    import subprocess

    words = ["/bin/ps", "-o", "comm=", "-p", str(pid)]
    try:
        done = subprocess.run(words, capture_output=True, timeout=_ASK_PS, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return os.path.basename(os.fsdecode(done.stdout).strip()).lstrip("-")


def _line(*, fish: str, posix: str, words: str) -> str:
    """That of these which the user's shell takes; `words` where we do not write its language."""
    shell = own()
    if shell == "fish":
        return fish
    return posix if shell in _POSIX and os.name == "posix" else words


def _quoted(value: str) -> str:
    return value if value in ("…", "/…") else shlex.quote(value)
