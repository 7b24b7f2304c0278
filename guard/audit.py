"""One line per guarded or refused launch, and per exception: never a value or a prompt, and masked.

Hot-path module; `json` is imported on first use. Lines go to `audit.jsonl` in the state directory
(mode 0600). Losing a line must never cost a launch, so write errors are passed over.
"""

from __future__ import annotations

import os
import time

from guard import paths
from guard.errors import GuardError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.plan import Plan

MAX_BYTES = 1 << 20
"""Size in bytes at which the log is moved to `audit.jsonl.1`, which it replaces."""


def record(plan: Plan, decision: str, environ: Mapping[str, str], command: str) -> None:
    """Append what was decided about `plan`: `decision` is "launched" or "refused"."""
    facts = {
        "agent": plan.agent,
        "command": command,
        "kind": plan.kind,
        "program": plan.program,
        "route": plan.route,
        "removed": plan.removed(),
        "rules": sorted({f.rule for f in plan.forbidden_by}),
    }
    _append(decision, facts, environ)


def record_exception(
    decision: str, environ: Mapping[str, str], *, subject: str, until: str, reason: str
) -> None:
    """Append that an exception was made or taken back: `decision` is "allowed" or "revoked".

    `until` is a date or moment in ISO 8601, `reason` the user's own words, which hold no key.
    """
    _append(decision, {"subject": subject, "until": until, "reason": reason}, environ)


def _append(decision: str, facts: Mapping[str, object], environ: Mapping[str, str]) -> None:
    import json

    from guard.masking import masked

    entry = json.dumps(
        {
            "schema_version": 1,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "pid": os.getpid(),
            "decision": decision,
            **facts,
        },
        ensure_ascii=True,
    )
    line = masked(entry)
    try:
        directory = paths.private_directory(paths.routeguard_state(environ))
        path = os.path.join(directory, "audit.jsonl")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(path, flags | os.O_NONBLOCK, 0o600)
        try:
            os.write(handle, line.encode() + b"\n")
            full = os.fstat(handle).st_size > MAX_BYTES
        finally:
            os.close(handle)
        if full:
            os.replace(path, f"{path}.1")
    except (OSError, GuardError):
        pass
