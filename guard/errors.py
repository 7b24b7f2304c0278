"""Expected failures and the exit codes they end in.

Hot-path module: standard library only, and little of it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class ExitCode:
    """Exit codes of routeguard; part of its interface.

    126 and 127 are what a shell answers for a command that was found but may not run, and for
    one that was not found, so scripts around a guarded launch need no new cases.
    """

    OK = 0
    FINDINGS = 1
    USAGE = 2
    CONFIG = 3
    INTERNAL = 4
    REFUSED = 126
    NOT_FOUND = 127


class GuardError(Exception):
    """A failure the user can act on: what, where, why, the fix, and the rule that says so.

    No field may hold a secret value: the rendered text goes to a terminal and to logs.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        why: str = "",
        fix: str = "",
        rule: str = "",
        exit_code: int = ExitCode.REFUSED,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.fix = fix
        self.rule = rule
        self.exit_code = exit_code

    def render(self) -> str:
        """The message as it goes to stderr: one block, no trailing newline."""
        head = f"routeguard: {self.what}"
        if self.rule:
            head += f" [{self.rule}]"
        lines = [head]
        for label, text in (("where", self.where), ("why", self.why), ("fix", self.fix)):
            if text:
                first, *rest = text.splitlines()
                lines.append(f"  {label + ':':<7}{first}")
                lines.extend(f"         {line}" for line in rest)
        return "\n".join(printable(line) for line in lines)


class PolicyError(GuardError):
    """The policy cannot be read, understood or trusted. Exit status 3."""

    def __init__(
        self, what: str, *, where: str = "", why: str = "", fix: str = "", rule: str = "RG501"
    ) -> None:
        super().__init__(what, where=where, why=why, fix=fix, rule=rule, exit_code=ExitCode.CONFIG)


class UsageError(GuardError):
    """The command line is wrong. Exit status 2."""

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what, why=why, fix=fix, exit_code=ExitCode.USAGE)


def either(*ways: str) -> str:
    """A fix of several `ways`, each enough by itself.

    In every fix a command has its lines for itself, so that they can be pasted; words about it are
    the line before them and end in a colon.
    """
    return "\nor:\n".join(ways)


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(label: str, names: Sequence[str]) -> str:
    """`label: ONE, TWO, …`, in lines that fit beside `why:` on a terminal of 60 columns."""
    *others, last = names or ["none"]
    lines = [f"{label}:"]
    for name in (*(f"{name}," for name in others), last):
        if len(lines[-1]) + len(name) < _LISTED:
            lines[-1] += f" {name}"
        else:
            lines.append(name)
    return "\n".join(lines)


_LISTED = 50


def printable(text: str) -> str:
    """`text` with control characters shown as escapes.

    File names and variable names come from untrusted places; a raw escape sequence in one of
    them could rewrite what the terminal shows.
    """
    if text.isprintable():
        return text
    out = []
    for char in text:
        if char.isprintable():
            out.append(char)
        elif 0xDC80 <= ord(char) <= 0xDCFF:
            out.append(f"\\x{ord(char) - 0xDC00:02x}")
        else:
            out.append(char.encode("unicode_escape", "backslashreplace").decode("ascii"))
    return "".join(out)


def say(*lines: str) -> None:
    """Write `lines` to stderr; one that is full, or has gone away, stops nothing."""
    try:
        sys.stderr.write("\n".join(map(printable, lines)) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, UnicodeError):
        pass
