"""The table of the checks, and the one way to run them.

docs/doctor.md is `document()`; write it again with `python -m guard.doctor.checks docs/doctor.md`.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guard.agents.registry import AGENTS
from guard.doctor import files, gateway, launch, managed, shell
from guard.doctor.context import Context
from guard.doctor.result import Diagnosis, broken, of_error, skipped
from guard.errors import GuardError

SECONDS = 8.0
"""How long all checks together may take. Whoever is not done by then is broken, and left alone."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `meaning` and `mend` are its row in docs/doctor.md; `mend` is what usually helps.

    `policy` tells that it needs a valid policy, `network` that it asks the gateway.
    """

    id: str
    title: str
    look: Callable[[Context], Iterable[Diagnosis]]
    meaning: str
    mend: str
    policy: bool = False
    network: bool = False


CHECKS = (
    Check(
        "hook", "Prompt hook", shell.prompt_hook,
        "The shell that asks runs the hook at its prompt. It is lost where another program has "
        "replaced `PROMPT_COMMAND`, `precmd_functions` or fish's event handlers: exported keys can "
        "then stay set.",
        "Keep the line that loads the hook the last one of the start file; open a new shell.",
    ),
    Check(
        "start-file", "Start file", shell.start_file,
        "A start file of your shell loads the hook, so that the next shell has it; the block in it "
        "is whole, of this release, and its launcher is there.",
        "`routeguard setup`, or by hand: "
        '`eval "$(routeguard hook bash)"` at the end of `~/.bashrc`.',
    ),
    Check(
        "shims", "PATH shims", shell.path_shims,
        "Every agent on PATH starts through a shim of routeguard, also from an editor or a "
        "script. nvm, fnm, Volta, asdf and mise put their own directory first, which undoes it.",
        "`routeguard shim install`; load the hook after the program manager.",
    ),
    Check(
        "policy", "Policy", launch.policy,
        "The policy can be read, is valid, and belongs to you or root. A broken one refuses every "
        "launch.",
        "The message names file, line and key. `routeguard policy show --effective` shows what "
        "holds.",
    ),
    Check(
        "agents", "Agents", launch.agents,
        "Which agents are on PATH, whether their version is one whose route can be held, and "
        "which other copies there are.",
        "`npm install -g` the tested version; remove copies that you do not need.",
        policy=True,
    ),
    Check(
        "launch", "Launch", launch.launch,
        "What a launch from this directory becomes: where it goes, what it removes, or why it is "
        "refused.",
        f"`routeguard explain -- {AGENTS[0].example}` shows the whole plan.",
        policy=True,
    ),
    Check(
        "agent-files", "Agent's files", launch.agent_files,
        "No file of an administrator, and none of yours, outranks the pinned route.",
        "Take the key that is named out of the file; leave the route to the policy.",
        policy=True,
    ),
    Check(
        "managed", "Managed files", managed.managed,
        "The agents' own files for administrators, which catch unguarded starts, are as the "
        "system policy renders them; they and the system policy belong to root and cannot be "
        "written by others ([managed.md](managed.md)). What `managed install --user` wrote is "
        "looked at as well.",
        "`sudo routeguard managed install`; `routeguard managed diff` shows what somebody changed.",
    ),
    Check(
        "logins", "Stored logins", launch.logins,
        "Logins in an agent's own store. A guarded launch does not use them; one that is not "
        "guarded does.",
        f"`{AGENTS[0].logout}`.",
        policy=True,
    ),
    Check(
        "proxies", "Local proxies", launch.proxies,
        "Local proxies and model servers that listen on this machine and that the policy forbids.",
        "`routeguard ports stop PORT`, or "
        '`routeguard allow port PORT --for 2h --reason "…"`.',
        policy=True,
    ),
    Check(
        "running", "Running agents", launch.running,
        "Agents that were started before the hook, or past it.",
        "End them and start them again from a shell with the hook.",
        policy=True,
    ),
    Check(
        "key", "Gateway key", gateway.key,
        "The gateway key is there, and could be one of Portkey's: in the variable or from the "
        "command that the policy names. The command is run. No value is shown.",
        "Set `PORTKEY_API_KEY`, or name a key command in the policy.",
        policy=True,
    ),
    Check(
        "gateway", "Gateway", gateway.reachable,
        "The gateway's name resolves, and its port can be reached, through a proxy if one is set.",
        "Check the network, `gateway.base_url`, the proxy.",
        policy=True, network=True,
    ),
    Check(
        "tls", "TLS", gateway.tls,
        "Which CA signed the gateway's certificate. One that no public CA signed comes from a "
        "network that inspects TLS (or from a gateway of your own): agents bring their own list "
        f"of public CAs, and most go by it alone ({AGENTS[0].title} on Linux trusts the system's "
        "as well).",
        '`[gateway] ca = "/path/ca.pem"` in the policy.',
        policy=True, network=True,
    ),
    Check(
        "key-accepted", "Key accepted", gateway.accepted,
        "The gateway knows the key. It is asked for its list of models, which costs nothing.",
        "Copy the key again from Portkey's dashboard (API Keys).",
        policy=True, network=True,
    ),
    Check(
        "audit", "Audit log", files.audit_log,
        "Each launch can be written down. Where the policy sets `[audit] required = true`, a "
        "launch that cannot be is refused.",
        "Make the state directory writable.",
    ),
    Check(
        "cache", "Cache", files.cache,
        "The compiled policy can be kept; without it every launch is slower.",
        "Make the cache directory writable.",
    ),
    Check(
        "version", "Version", files.version,
        "Which routeguard runs, and by which Python. Only your gateway is asked for "
        "anything, so doctor does not look for a newer release.",
        "",
    ),
)  # fmt: skip
"""Every check, in the order in which it is told."""


Found = list[tuple[Check, Diagnosis]]
"""The results, with the check that each is of."""


def run(
    context: Context,
    progress: Callable[[str], None] = lambda _: None,
    *,
    checks: Iterable[Check] = CHECKS,
    seconds: float = SECONDS,
) -> Found:
    """What every check found, in order. All run at once, and are waited for `seconds` together.

    A key command is run first: it may ask for a password on the terminal, in its own time.
    `progress` is told what is still awaited, several times a second.
    """
    checks = list(checks)
    if not isinstance(context.loaded, GuardError) and any(c.look is gateway.key for c in checks):
        _ = context.key
    _ = context.shims
    done: queue.SimpleQueue[tuple[str, list[Diagnosis]]] = queue.SimpleQueue()
    for check in checks:
        # a thread that hangs (the name of a host has no timeout) must not keep us: daemon
        threading.Thread(
            target=lambda check=check: done.put((check.id, _looked(check, context))), daemon=True
        ).start()
    found: dict[str, list[Diagnosis]] = {}
    until = time.monotonic() + seconds
    while len(found) < len(checks) and (left := until - time.monotonic()) > 0:
        try:
            name, results = done.get(timeout=min(left, 0.2))
            found[name] = results
        except queue.Empty:
            progress(next(check.title for check in checks if check.id not in found))
    late = [broken(f"no answer within {seconds:.0f} s", "check the network, then try again")]
    return [(check, one) for check in checks for one in found.get(check.id, late)]


def count(found: Found, state: str) -> int:
    """How many results are in `state`."""
    return sum(result.state == state for _, result in found)


def as_dict(found: Found) -> dict[str, Any]:
    """The results as the JSON output carries them."""
    return {
        "broken": count(found, "broken"),
        "warnings": count(found, "warning"),
        "checks": [
            {
                "id": check.id,
                "title": check.title,
                "state": result.state,
                "what": result.what,
                "fix": result.fix,
                "rule": result.rule,
            }
            for check, result in found
        ],
    }


def _looked(check: Check, context: Context) -> list[Diagnosis]:
    if check.network and context.offline:
        return [skipped("the network was left out (--offline)")]
    if check.policy and isinstance(context.loaded, GuardError):
        return [skipped("needs a valid policy")]
    try:
        return list(check.look(context))
    except GuardError as error:
        return [of_error(error)]
    except Exception as error:  # one check that fails must not hide the others
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        return [broken(f"internal error: {type(error).__name__} at {place}", "report it")]


_INTRODUCTION = """\
# routeguard doctor

`routeguard doctor` looks at this machine check by check, and says for each what is wrong and what
to type. `routeguard doctor tls gateway` looks at these two alone, by the names in brackets below;
`--offline` leaves the network out; `--json` is for programs. The exit status is 1 if something is
broken, else 0. Only the gateway of your policy is contacted, and no key is shown.

`routeguard status` is its first screen, without the network; `routeguard status --short` is one
line for a prompt ([shells.md](shells.md)).

States: `ok`; `warning` (it works, and you should know); `broken` (a launch is refused or is not
guarded); `skipped` (not looked at, with the reason).
"""


def document() -> str:
    """docs/doctor.md."""
    parts = [_INTRODUCTION]
    for check in CHECKS:
        parts.append(f"\n## {check.title} (`{check.id}`)\n\n{check.meaning}\n")
        if check.mend:
            parts.append(f"\nFix: {check.mend}\n")
    return "".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(), encoding="utf-8")
