"""The check for local proxies before each launch of an agent: find, judge, stop.

Hot-path module. With nothing new listening it costs one question to the kernel; what is found is
judged by `guard.proxies.find`, which is imported only then.
"""

from __future__ import annotations

from guard.errors import either
from guard.findings import Finding, allow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy
    from guard.proxies.found import Found


def check(
    plan: Plan, policy: CompiledPolicy, environ: Mapping[str, str], now: float, *, write: bool
) -> None:
    """Add to `plan` a finding for each local proxy that listens, and those that it will stop.

    `now` is in Unix seconds. `write` False leaves no trace on disk.
    """
    from guard.proxies.glance import glance
    from guard.sources.listener import SocketsUnreadableError

    try:
        found = glance(policy, environ, now, write=write)
    except SocketsUnreadableError as error:
        plan.findings.append(_unreadable(policy, str(error)))
        return
    if found:
        found = _within_reach(found)
    stoppable = _stoppable(found) if policy.proxies_action == "stop" else []
    for one in found:
        stops = one in stoppable
        plan.findings.append(finding(one, policy.proxies_action, stops=stops))
    plan.stops = stoppable


def finding(found: Found, action: str, *, stops: bool = False) -> Finding:
    """What RG402 says about `found` under `proxies.action`; `stops`: the launch will end it."""
    who = ", ".join(owner(found))
    message = f"{found.name or 'a program'} listens on {address(found)}"
    if found.verdict == "suspect":
        message = f"something listens on {address(found)}, and {found.how}"
    elif found.how:
        message += f" ({found.how})"
    return Finding(
        "RG402",
        f"port:{found.port}",
        message + ("; the launch stops it" if stops else ""),
        where=f"port {found.port}" + (f", {who}" if who else ", owner unknown"),
        fix=either(*ways_out(found)),
        severity="warning" if stops or action == "flag" else "error",
    )


def address(found: Found) -> str:
    """The addresses of `found` as one writes them: `127.0.0.1:4000, [::1]:4000`."""
    written = [
        f"[{socket.address}]:{socket.port}"
        if ":" in socket.address
        else f"{socket.address}:{socket.port}"
        for socket in found.listeners
    ]
    return ", ".join(dict.fromkeys(written)) or f"port {found.port}"


def owner(found: Found) -> list[str]:
    """Program, pid, user and unit of `found`, as far as they are known."""
    said = []
    process = found.process
    if process is not None:
        said.append(f"{process.program or 'program unknown'}, pid {process.pid}")
        if process.user:
            said.append(f"user {process.user}")
    if found.keeper is not None:
        said.append(f"kept alive by {found.keeper.kind} {found.keeper.unit}".rstrip())
    return said


def ways_out(found: Found) -> list[str]:
    """Commands that end `found` for good, or allow it; the best first."""
    ways = []
    if found.answered:
        # it stops nothing, and names what to end
        ways.append(f"routeguard ports stop {found.port}")
    elif found.keeper is not None and found.keeper.stop:
        ways.append(" ".join(found.keeper.stop))
    elif found.process is not None and found.identified:
        ways.append(f"routeguard ports stop {found.port}")
    else:
        ways.append("routeguard ports")
    ways.append(allow("port", str(found.port)))
    return ways


def stop(found: Iterable[Found]) -> list[str]:
    """Stop each of `found`; returns a sentence for each, raises nothing.

    What is still there afterwards is for a second `check` to find.
    """
    import os

    from guard.proxies.stop import carry_out_all
    from guard.proxies.stop_plan import plan

    said = []
    for outcome in carry_out_all(plan(list(found), os.getuid())):
        name = outcome.found.name or f"port {outcome.found.port}"
        detail = f" ({outcome.detail})" if outcome.detail else ""
        said.append(f"{name}: {outcome.result}{detail}")
    return said


def _within_reach(found: list[Found]) -> list[Found]:
    """Those of `found` that this process can reach in spite of a fence.

    Below a fenced launch a nested one sees their sockets and not their owners.
    """
    from guard.launch.fences.ports import Fence, holds

    return [one for one in found if not holds(Fence((one.port,)))]


def _stoppable(found: Iterable[Found]) -> list[Found]:
    """Those of `found` that are identified and this user's own."""
    import os

    return [
        one
        for one in found
        if one.identified and one.process is not None and one.process.uid == os.getuid()
    ]


def _unreadable(policy: CompiledPolicy, why: str) -> Finding:
    return Finding(
        "RG402",
        "listening sockets",
        f"cannot tell whether a local proxy listens: {why}",
        where="this machine",
        fix='proxies.action = "flag" in your policy starts it all the same',
        severity="warning" if policy.proxies_action == "flag" else "error",
    )
