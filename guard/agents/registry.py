"""The agents that can be guarded, and what holds for all of them. Hot-path module."""

from __future__ import annotations

import os

from guard import paths
from guard.agents.claude_code import ClaudeCode
from guard.agents.codex import Codex
from guard.agents.opencode import OpenCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from guard.agents import Identity
    from guard.agents.adapter import Agent
    from guard.policy.values import CompiledPolicy

AGENTS: list[Identity] = [OpenCode(), ClaudeCode(), Codex()]
"""Every agent that can be guarded. An adapter is loaded only where one is needed."""


def adapters() -> list[Agent]:
    """The adapter of every agent that can be guarded."""
    return [agent.adapter() for agent in AGENTS]


def default_agent() -> Agent:
    """The agent that a command uses if none is named."""
    return AGENTS[0].adapter()


def agent_of(program: str) -> Agent | None:
    """The agent that `program` (a name or a path) starts, None if it is none of them."""
    name = program.rpartition("/")[2].removesuffix(".exe")
    return next((agent.adapter() for agent in AGENTS if name in agent.names), None)


def agent_by_id(identifier: str) -> Agent | None:
    """The agent with this id, None if it is none that can be guarded."""
    return next((agent.adapter() for agent in AGENTS if agent.id == identifier), None)


def typed_names(identifier: str) -> tuple[str, ...]:
    """The names that start the agent with this id, guarded or not; () for an id that is unknown."""
    known = next((agent.names for agent in AGENTS if agent.id == identifier), None)
    if known is not None:
        return known
    from guard.catalog.agents import others

    return next((agent.typed for agent in others() if agent.id == identifier), ())


def typed_name(identifier: str, program: str = "") -> str:
    """What a person types to start the agent with this id; that of `program`, if it is its own."""
    names = typed_names(identifier)
    likely = (os.path.basename(program), identifier, *names)
    return next((name for name in likely if name in names), identifier)


def present(policy: CompiledPolicy, program: Callable[[Agent], str]) -> list[Agent]:
    """The adapters of the installed agents that `policy` guards; without any, the first one.

    `program` tells where an agent is, "" for nowhere.
    """
    guarded = [one for one in adapters() if one.id not in policy.unguarded]
    return [one for one in guarded if program(one)] or guarded[:1]


def names(unguarded: Collection[str] = ()) -> tuple[str, ...]:
    """The names under which the agents are started: what hooks wrap, and what gets a shim.

    `unguarded` are the ids of agents that the policy leaves alone.
    """
    return tuple(name for agent in AGENTS if agent.id not in unguarded for name in agent.names)


def wrapped(policy: CompiledPolicy | None) -> tuple[str, ...]:
    """The names that the hook wraps and that get a shim under `policy`.

    Those of the agents that it guards, and of the others that it does not leave alone. None is a
    policy that cannot be read: then they are those of a machine with no file.
    """
    if policy is not None:
        others = [name for agent in policy.others for name in agent.names]
        return (*names(policy.unguarded), *others)
    from guard.catalog.agents import refused

    return (*names(), *refused())


def holds_agent(package: str) -> bool:
    """Whether the npm package of this name holds one of the agents."""
    return any(package in agent.packages for agent in AGENTS)


def keeps() -> frozenset[str]:
    """The agents' own variables that stay in the environment of whatever is launched."""
    return frozenset(name for agent in AGENTS for name in agent.keeps)


def sets(policy: CompiledPolicy) -> frozenset[str]:
    """The variables that a launch of some agent sets under `policy`."""
    return frozenset(name for each in AGENTS for name in _set_by(each.adapter(), policy))


def _set_by(agent: Agent, policy: CompiledPolicy) -> frozenset[str]:
    """Those of `agent.sets` that `policy` gives a reason for."""
    unasked = () if policy.gateway_ca else (agent.ca,)
    return frozenset(agent.sets) - {*unasked, *(() if policy.gateway_proxy else agent.proxies)}


def is_switch(name: str, value: str) -> bool:
    """Whether `name=value` is what a launch of some agent sets in every case."""
    return any(agent.adapter().switches.get(name) == value for agent in AGENTS)


def pinned(environ: Mapping[str, str], policy: CompiledPolicy) -> frozenset[str]:
    """The variables by which a guarded launch has pinned `environ` to the gateway of `policy`.

    None where it comes from no guarded launch, or is pinned to something else.
    """
    for each in AGENTS:
        agent = each.adapter().of_launch(environ)
        if agent.pins(environ) and not agent.unpinned(environ, policy):
            return _set_by(agent, policy)
    return frozenset()


def without_guard(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` as it was before an outer guarded launch pointed it at our directories.

    Relative directories in XDG variables and HOME are dropped: an agent would look for its
    credentials below the working directory, where a repository can put them (seen in
    the first of them).
    """
    own = dict(environ)
    if paths.REAL_CONFIG_HOME in own:
        for agent in AGENTS:
            agent.adapter().restore(own)
        own.pop(paths.REAL_CONFIG_HOME, None)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        if name in own and not os.path.isabs(own[name]):
            del own[name]
    if not os.path.isabs(own.get("HOME", "")):
        own["HOME"] = paths.home(own)
    return own
