"""Whether launches from this shell are guarded, and by what. No network, and nothing is run.

`status --short` is asked at every prompt, straight from the dispatcher: nothing heavy is imported
here before it is needed (tests/packaging/test_hot_imports.py).
"""

from __future__ import annotations

import os
import sys

from guard import paths
from guard.agents.keys import fault as key_fault
from guard.agents.registry import without_guard, wrapped
from guard.errors import GuardError
from guard.hook import liveness
from guard.launch import resolve
from guard.policy import cache
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.policy.values import CompiledPolicy, GatewayProvider

GUARDED, UNGUARDED, BLOCKED = "guarded", "unguarded", "blocked"
"""`blocked`: every launch is refused."""

NO_KEY, UNUSABLE_KEY = "no key", "unusable key"
"""`why`, where the gateway's key is to be set."""


class Status(Record):
    """The answer. `state` is one of the above, `why` says it in a few words, "" if all is well.

    `by` is what guards a launch: "hook", "shims", both or nothing. `shell` is the one whose hook is
    live, "" if it was not seen. `policy` is None where it cannot be used, and `error` is why.
    """

    state: str
    why: str
    by: tuple[str, ...]
    shell: str
    policy: CompiledPolicy | None
    error: GuardError | None


def read_status(
    environ: Mapping[str, str], cwd: str, *, system: str = paths.SYSTEM_POLICY
) -> Status:
    """The status in the shell whose environment is `environ`; `system` is the system's policy."""
    policy, error = None, None
    own = without_guard(environ)
    try:
        own = paths.without_misplaced(own, paths.misplaced(own, cwd))
        policy = cache.load(cwd, own, system=system)
    except GuardError as found:
        error = found
    shell = liveness.live(environ)
    by = ("hook",) * bool(shell) + ("shims",) * _starts_shims(environ, policy)
    state, why = GUARDED, ""
    if liveness.lost(environ) is not None:
        # the hook's functions are still there: agents are guarded, exported keys may stay
        by = ("hook", *by)
        why = "hook lost"
    if not by:
        state, why = UNGUARDED, "hook missing"
    elif policy is None:
        state, why = BLOCKED, "policy broken"
    elif policy.default_provider.lacks_key(own):
        why = why or NO_KEY
    elif key_fault(policy.default_provider, own):
        why = why or UNUSABLE_KEY
    return Status(state, why, by, shell, policy, error)


def line(status: Status, *, plain: bool) -> str:
    """`status` in one line for a prompt; `plain` is ASCII only."""
    if status.state != GUARDED:
        return f"{status.state}: {status.why}"
    if status.why:
        return f"portkey: {status.why}"
    return "portkey ok" if plain else "portkey ✓"


def is_plain(environ: Mapping[str, str]) -> bool:
    """Whether signs outside of ASCII may not be shown: as a terminal, or the locale, has it."""
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return True
    named = (environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next(filter(None, named), "")
    return "utf-8" not in locale.lower() and "utf8" not in locale.lower()


def main() -> int:
    """`routeguard status --short`; returns the exit status: 1 unless launches are guarded."""
    environ = os.environ
    found = read_status(environ, paths.here())
    sys.stdout.write(line(found, plain=is_plain(environ)) + "\n")
    return 0 if found.state == GUARDED else 1


def key_source(entry: GatewayProvider, environ: Mapping[str, str]) -> str:
    """Where the key of `entry` comes from, in words; "" if no launch can use it. Nothing is run."""
    if entry.key_command:
        return f"the command {entry.key_command[0]} (not run)"
    return "" if key_fault(entry, environ) else f"the variable {entry.key_env}"


def _starts_shims(environ: Mapping[str, str], policy: CompiledPolicy | None) -> bool:
    """Whether every guarded agent on PATH starts through a shim, and there is at least one."""
    found = [path for name in wrapped(policy) if (path := resolve.typed(name, environ))]
    return bool(found) and all(map(resolve.is_shim, found))
