"""Whether the shell that called us still runs the hook at its prompt.

Hot-path module.
"""

from __future__ import annotations

from guard import paths
from guard.hook import LOADS, SHELLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.findings import Finding


def live(environ: Mapping[str, str]) -> str:
    """The shell that called us and runs the hook at its prompt; "" if it is lost, or if something
    other than the hook's function called us."""
    state, _, shell = environ.get(paths.HOOK, "").partition(":")
    return shell if state == "live" and shell in SHELLS else ""


def lost(environ: Mapping[str, str]) -> Finding | None:
    """The finding for a shell that no longer runs the hook at its prompt, None if it does.

    Another program has replaced `PROMPT_COMMAND`, `precmd_functions` or fish's event handlers;
    the shell functions of the hook, which are still there, notice and set `paths.HOOK`.
    """
    state, _, shell = environ.get(paths.HOOK, "").partition(":")
    if state != "lost" or shell not in SHELLS:
        return None
    from guard.findings import Finding

    line, file = LOADS[shell]
    return Finding(
        "RG503",
        "hook",
        f"the prompt hook of this {shell} is gone: another program replaced it, so exported keys "
        "can stay set",
        where="environment",
        fix=f"{line}\nkeep it as the last line of {file}",
        severity="warning",
    )
