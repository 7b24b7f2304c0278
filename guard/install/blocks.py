"""The block in a start file: its text, how it goes in, and how it comes out again. Bytes only.

A start file is the user's: it may be in any encoding, end without a newline, or have been given
CRLF by an editor. Whatever it holds, `without_block(with_block(content))` is `content` again.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from guard.agents.registry import wrapped
from guard.errors import GuardError, either
from guard.hook.templates import quote_bash, quote_fish, quote_zsh

BEGIN = b"# >>> routeguard >>>"
END = b"# <<< routeguard <<<"
NOTE_MADE = b"# This file was made by routeguard."
NOTE_NEWLINE = b"# The line above had no newline at its end."


class DamagedBlockError(Exception):
    """The markers do not enclose one block. The text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the block lies: byte offsets, its end after the last newline, and its notes."""

    start: int
    end: int
    notes: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Loads:
    """What a block loads: the launcher, a completion file, and how a lost launcher is mended."""

    launcher: str
    completion: str
    again: str


def find(content: bytes) -> Place | None:
    """The one block of `content`, None if it has none. Raises DamagedBlockError."""
    start = end = -1
    is_open = False
    offset = 0
    for number, line in enumerate(_lines(content), 1):
        bare = line.removesuffix(b"\n").removesuffix(b"\r")
        if bare == BEGIN:
            if start >= 0:
                raise DamagedBlockError(f"a second block begins in line {number}")
            start, first, is_open = offset, number, True
        offset += len(line)
        if bare == END:
            if not is_open:
                raise DamagedBlockError(f"a block ends in line {number} that never began")
            end, is_open = offset, False
    if is_open:
        raise DamagedBlockError(f"the block that begins in line {first} has no end")
    if start < 0:
        return None
    inside = {line.strip(b"\r\n") for line in _lines(content[start:end])}
    return Place(start, end, frozenset(inside & {NOTE_MADE, NOTE_NEWLINE}))


def _lines(content: bytes) -> list[bytes]:
    """The lines of `content` with their newlines; nothing but a newline ends one."""
    return re.findall(rb"[^\n]*\n|[^\n]+", content)


def with_block(content: bytes | None, block: Callable[[bytes], bytes]) -> bytes:
    """`content` (None: there is no file) with its block, made by `block(note)`.

    A block that is there is replaced where it is. Raises DamagedBlockError.
    """
    if content is None:
        return block(NOTE_MADE)
    place = find(content)
    if place is None:
        if content and not content.endswith(b"\n"):
            return content + b"\n" + block(NOTE_NEWLINE)
        return content + block(b"")
    note = NOTE_MADE if NOTE_MADE in place.notes else b""
    if not note and NOTE_NEWLINE in place.notes:
        note = NOTE_NEWLINE
    return content[: place.start] + block(note) + content[place.end :]


def without_block(content: bytes) -> bytes:
    """`content` as it was before the block went in. Raises DamagedBlockError."""
    place = find(content)
    if place is None:
        return content
    before, after = content[: place.start], content[place.end :]
    if NOTE_NEWLINE in place.notes and not after:
        # the newline is ours; an editor that made CRLF of it has done so with all of the block
        crlf = before.endswith(b"\r\n") and content[place.start :].count(b"\r\n") > 1
        before = before[: -2 if crlf else -1]
    return before + after


def block(shell: str, loads: Loads, note: bytes = b"") -> bytes:
    """The text of the block for `shell`, with its markers and, where given, one of the notes.

    The refusal is part of it, because it has to work when nothing else of routeguard does: an
    agent must not start unguarded only because its guard is gone.
    """
    lines = [
        BEGIN,
        b"# Guards every launch of a coding agent. `routeguard teardown` removes this block.",
    ]
    if note:
        lines.append(note)
    body = _fish(loads) if shell == "fish" else _posix(shell, loads)
    lines += [line.encode("utf-8", "surrogateescape") for line in body]
    return b"\n".join([*lines, END]) + b"\n"


def _messages(loads: Loads) -> tuple[list[str], list[str]]:
    """What is said where the launcher is there but fails, and where it is gone, in lines."""
    head = "coding agents are blocked in this shell"
    fails = GuardError(
        f"{head}: routeguard does not start",
        fix=f"{shlex.quote(loads.launcher)} doctor",
        rule="RG503",
    )
    gone = GuardError(
        f"{head}: routeguard is gone",
        where=loads.launcher,
        fix=either(loads.again, "take the routeguard block out of the start file of this shell"),
        rule="RG503",
    )
    return fails.render().splitlines(), gone.render().splitlines()


def _says(quote: Callable[[str], str], lines: list[str]) -> str:
    """The command that writes `lines` to stderr."""
    return f"printf '%s\\n' {' '.join(map(quote, lines))} >&2"


def _posix(shell: str, loads: Loads) -> list[str]:
    quote = quote_zsh if shell == "zsh" else quote_bash
    launcher, completion = quote(loads.launcher), quote(loads.completion)
    fails, gone = ("\\" + _says(quote, lines) for lines in _messages(loads))
    blocked = [
        "",
        "function _routeguard_blocked {",
        f"    if [ -x {launcher} ]; then {fails}",
        f"    else {gone}; fi",
        "    return 126",
        "}",
        f"\\unalias {' '.join(wrapped(None))} 2>/dev/null || :",
        *(f"function {name} {{ _routeguard_blocked; }}" for name in wrapped(None)),
        "_routeguard_blocked || :",
    ]
    # a word for each line: with CSH_JUNKIE_QUOTES zsh allows no new line in a quoted one
    script = " \\\n    ".join(map(quote, blocked))
    lines = [
        # no variable: one of its name may be readonly, or a number. `$?` is the substitution's,
        # which would fork once more with what is done where it fails
        '_routeguard_load() { [ "$?" = 0 ] && [ "$1" ] && \\eval "$1"; }',
        f'[ -x {launcher} ] && _routeguard_load "$({launcher} hook {shell})" ||',
        f"    \\eval \"$(\\printf '%s\\n' \\\n    {script})\"",
        "\\unset -f _routeguard_load",
        f"case $- in *i*) [ ! -r {completion} ] || . {completion} ;; esac",
    ]
    if shell == "bash":
        # ~/.profile is read by other shells, too, and by bash in its guise as sh
        lines = ["case ${BASH-} in */bash*)", *lines, ";; esac"]
    return lines


def _fish(loads: Loads) -> list[str]:
    launcher, completion = quote_fish(loads.launcher), quote_fish(loads.completion)
    fails, gone = (_says(quote_fish, lines) for lines in _messages(loads))
    return [
        f"test -x {launcher}; and {launcher} hook fish | source",
        'if test "$pipestatus[1]" != 0',
        "    function _routeguard_blocked",
        f"        if test -x {launcher}; {fails}",
        f"        else; {gone}; end",
        "        return 126",
        "    end",
        *(f"    function {name}; _routeguard_blocked; end" for name in wrapped(None)),
        "    _routeguard_blocked; or true",
        "end",
        f"if status is-interactive; and test -r {completion}; source {completion}; end",
    ]
