"""Whether a running agent is a guarded launch: what the agents' own `inside` have in common."""

from __future__ import annotations

from guard import net

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.policy.values import CompiledPolicy


def unset(environ: Mapping[str, str], switches: Mapping[str, str]) -> str:
    """Which of `switches`, that every launch sets, `environ` does not have; "" for none."""
    for name, value in switches.items():
        if environ.get(name) != value:
            return f"{name} is not set"
    return ""


def elsewhere(addresses: Iterable[object], policy: CompiledPolicy) -> str:
    """Whose the `addresses` are that it is pinned to, "" if they are the gateway's of `policy`."""
    found = set(map(str, addresses))
    if found == {policy.base_url}:
        return ""
    hosts = ", ".join(sorted(net.host_of(address) or "nowhere" for address in found)) or "nowhere"
    return f"it is pinned to {hosts}, which is not the gateway of the policy"
