"""How an agent reaches the gateway, and an agent that it starts the guard: proxies, certificates,
and PATH. Hot-path module.
"""

from __future__ import annotations

import os

from guard import net, paths
from guard.agents.environment import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.adapter import Agent
    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy


def shims_first(result: Plan, shims: str) -> dict[str, str]:
    """PATH with the directory `shims` in front, so that a nested agent meets the guard; nothing
    where there is none."""
    if not shims:
        return {}
    return {"PATH": paths.behind_shims(result.environ.get("PATH", os.defpath), shims)}


def asked_directly(
    policy: CompiledPolicy, environ: Mapping[str, str], *others: str
) -> dict[str, str]:
    """NO_PROXY with the hosts that no proxy may be in between: `others`, and a plain-http gateway,
    unless it is another machine and the policy names the proxy to it. Nothing without a host."""
    hosts = list(others)
    gateway = net.host_of(policy.base_url)
    if policy.base_url.startswith("http://") and (
        not policy.gateway_proxy or net.is_loopback(gateway)
    ):
        hosts.append(gateway)
    return net.without_proxy(environ, *hosts) if hosts else {}


def reach(plan: Plan, policy: CompiledPolicy, agent: Agent) -> None:
    """Put `[gateway] ca` and `proxy` into `plan`, by the variables that `agent` has for them."""
    sets = {agent.ca: policy.gateway_ca} if policy.gateway_ca and agent.ca else {}
    if policy.gateway_proxy and agent.proxies:
        sets.update(dict.fromkeys(agent.proxies, policy.gateway_proxy))
        sets.update(net.without_proxy(plan.environ, *net.LOOPBACK))
    told = [change.name for change in plan.changes if change.action == "set"]
    for name, value in sets.items():
        if plan.environ.get(name) != value:
            plan.environ[name] = value
            if name not in told:
                reason = agent.sets.get(name, "this machine is reached without the proxy")
                plan.changes.append(Change("set", name, "", reason))
