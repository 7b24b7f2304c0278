"""How an agent reaches the gateway by the policy: its certificates and its HTTP proxy.

Hot-path module; a launch whose policy names neither does not import it.
"""

from __future__ import annotations

from guard.agents.environment import Change
from guard.net import LOOPBACK, without_proxy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guard.agents.adapter import Agent
    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy


def reach(plan: Plan, policy: CompiledPolicy, agent: Agent) -> None:
    """Put `[gateway] ca` and `proxy` into `plan`, by the variables that `agent` has for them."""
    sets = {agent.ca: policy.gateway_ca} if policy.gateway_ca and agent.ca else {}
    if policy.gateway_proxy and agent.proxies:
        sets.update(dict.fromkeys(agent.proxies, policy.gateway_proxy))
        sets.update(without_proxy(plan.environ, *LOOPBACK))
    told = [change.name for change in plan.changes if change.action == "set"]
    for name, value in sets.items():
        if plan.environ.get(name) != value:
            plan.environ[name] = value
            if name not in told:
                reason = agent.sets.get(name, "this machine is reached without the proxy")
                plan.changes.append(Change("set", name, "", reason))
