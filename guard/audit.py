"""One line per guarded or refused launch, per call of `routeguard key`, and per exception: never a
value or a prompt, and masked.

Hot-path module. Lines go to `audit.jsonl` in the state directory
(mode 0600). A line that cannot be written costs a launch only where the policy says so
(`[audit] required = true`); otherwise that is said, once a day.
"""

from __future__ import annotations

import os
import time

from guard import paths
from guard.errors import GuardError
from guard.files import quick_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.plan import Plan

MAX_BYTES = 1 << 20
"""Size in bytes at which the log is moved to `audit.jsonl.1`, which it replaces."""

_DAY = 86_400


def log_file(environ: Mapping[str, str]) -> str:
    """Where the log is, whether it is there or not."""
    return os.path.join(paths.routeguard_state(environ), "audit.jsonl")


def record(plan: Plan, decision: str, environ: Mapping[str, str], command: str) -> str:
    """Append what was decided about `plan`: `decision` is "launched" or "refused".

    Returns why that could not be written, "" if it was.
    """
    facts = {
        "agent": plan.agent,
        "command": command,
        "kind": plan.kind,
        "program": plan.program,
        "directory": paths.here(),
        "route": plan.route,
        "removed": plan.removed(),
        "rules": sorted({f.rule for f in plan.forbidden_by}),
    }
    return _append(decision, facts, environ)


def record_failure(agent: str, error: GuardError, environ: Mapping[str, str]) -> str:
    """Append that a launch of `agent` was refused before it was planned: `error` says why.

    Returns why that could not be written, "" if it was.
    """
    rules = [error.rule] if error.rule else []
    facts = {"agent": agent, "command": "", "directory": paths.here(), "rules": rules}
    return _append("refused", facts, environ)


def record_key(
    decision: str,
    environ: Mapping[str, str],
    *,
    entry: str,
    source: str,
    program: str,
    rule: str = "",
) -> str:
    """Append that the gateway key was "printed" for `program`, or "refused" under `rule`.

    `entry` names the provider entry of the policy, `source` says in words where its key comes
    from; "" for what is not known. Returns why that could not be written, "" if it was.
    """
    facts = {
        "command": "key",
        "program": program,
        "directory": paths.here(),
        "entry": entry,
        "source": source,
        "rules": [rule] if rule else [],
    }
    return _append(decision, facts, environ)


def record_exception(
    decision: str, environ: Mapping[str, str], *, subject: str, until: str, reason: str
) -> str:
    """Append that an exception was made or taken back: `decision` is "allowed" or "revoked".

    `until` is a date or moment in ISO 8601, `reason` the user's own words, which hold no key.
    Returns why that could not be written, "" if it was.
    """
    return _append(decision, {"subject": subject, "until": until, "reason": reason}, environ)


def _append(decision: str, facts: Mapping[str, object], environ: Mapping[str, str]) -> str:
    from guard.masking import masked

    entry = {
        "schema_version": 1,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "pid": os.getpid(),
        "decision": decision,
        **facts,
    }
    line = masked(quick_json.dumps(entry))
    try:
        paths.private_directory(paths.routeguard_state(environ))
        path = log_file(environ)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(path, flags | os.O_NONBLOCK, 0o600)
        try:
            data = line.encode() + b"\n"
            whole = os.write(handle, data) == len(data)
            full = os.fstat(handle).st_size > MAX_BYTES
        finally:
            os.close(handle)
        if full:
            os.replace(path, f"{path}.1")
    except GuardError as error:
        return error.what
    except OSError as error:
        return error.strerror or str(error)
    return "" if whole else "disk full"


def said_today(environ: Mapping[str, str]) -> bool:
    """Whether it was said within a day that the log cannot be written; from now on it was.

    Kept as the time of a file in the cache. Where that cannot be made either, it is said again.
    """
    path = os.path.join(paths.routeguard_cache(environ), "audit-unwritable")
    try:
        said = time.time() - os.stat(path).st_mtime < _DAY
    except OSError:
        said = False
    if not said:
        try:
            paths.private_directory(paths.routeguard_cache(environ))
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            os.utime(path)
        except (OSError, GuardError):
            pass
    return said
