"""Which calls in a text start an agent, by its names, its packages and what a variable holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.catalog.runners import package_name

if TYPE_CHECKING:
    from guard.agents import Identity
    from guard.sources.positions.shell_calls import Call, Script

_SUFFIXES = ("", ".exe", ".cmd", ".ps1", ".bat")
"""Under which npm and installers put a program on Windows, too."""


def is_call(agent: Identity, call: Call) -> bool:
    """Whether `call` starts `agent`, by the name of the program or of the package."""
    if call.image or not call.words:
        return False
    if call.package and package_name(call.words[0].shown) in agent.packages:
        return True
    return _is_named(agent, call.program)


def starts(agent: Identity, call: Call, script: Script) -> bool:
    """Whether `call` starts `agent`, or a variable that the text says is it.

    `AGENT=NAME; $AGENT run`: the text itself tells.
    """
    if is_call(agent, call):
        return True
    if call.image or call.package or not call.words or call.words[0].literal:
        return False
    program = script.value(call.words[0])
    return program is not None and _is_named(agent, program.rpartition("/")[2])


def _is_named(agent: Identity, program: str) -> bool:
    return any(program == f"{name}{suffix}" for name in agent.names for suffix in _SUFFIXES)
