"""Whether a process of an agent is guarded, by the environment that it was started with.

A user can give a process any environment, so this finds what was started unguarded, not
somebody who forges a guarded launch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from guard.agents import environment
from guard.agents.adapter import Agent as Adapter
from guard.agents.registry import AGENTS, agent_by_id, keeps
from guard.catalog.agents import Agent, recognise
from guard.catalog.classify import classify
from guard.catalog.programs import effective
from guard.errors import GuardError
from guard.paths import REAL_CONFIG_HOME, launch_above
from guard.policy.values import CompiledPolicy

GUARDED = "guarded"
INHERITED = "inherited"
CLEANED = "cleaned"
UNGUARDED = "unguarded"
UNKNOWN = "unknown"
"""States. `guarded`: this process is a launch by routeguard. `inherited`: below one, with its
whole pinned configuration. `cleaned`: through routeguard, without direct keys, and nothing pinned
(no configuration of this agent is): it counts as unguarded. `unguarded`: none of these.
`unknown`: not ours to judge."""

UNHELD = (UNGUARDED, CLEANED)
"""The states in which an agent decides itself where its calls go."""

_DIRECT_RULES = ("RG101", "RG103")


@dataclass(frozen=True, slots=True)
class DirectKey:
    """A variable in an agent's environment that reaches models past the gateway. No value."""

    name: str
    kind: str
    owner: str


@dataclass(frozen=True, slots=True)
class AgentProcess:
    """A process as the system shows it. `environ` is None where it may not be read, empty where
    the process has overwritten it."""

    pid: int
    parent: int
    started: int
    since: float
    uid: int
    exe: str
    argv: tuple[str, ...] = field(repr=False)
    environ: Mapping[str, str] | None = field(default=None, repr=False)
    tty: str = ""
    directory: str = ""
    parents: tuple[tuple[int, str], ...] = ()


def judge_process(
    agent: Agent,
    seen: AgentProcess,
    policy: CompiledPolicy,
    now: float,
    uid: int,
) -> tuple[str, str, int]:
    """State, how we know, and the launch it belongs to (0 for none). Pure but for links.

    `uid` is whose processes may be judged.
    """
    if seen.uid != uid:
        return UNKNOWN, "it belongs to another user, so its environment is not checked", 0
    if seen.environ is None:
        return UNKNOWN, "the system does not show its environment", 0
    if not seen.environ:
        return UNKNOWN, "it has overwritten its environment, or was started with none", 0
    if agent.id in policy.unguarded:
        return UNKNOWN, "your policy leaves it out ([agents] guard)", 0
    launch, _, program = launch_above(seen.environ)
    own = own_keys(agent, seen, policy, now)
    direct = [key.name for key in own if _is_direct(key)]
    if not launch:
        said = "nothing in its environment comes from a launch by routeguard"
        return UNGUARDED, said + _with_keys(direct, "; it holds "), 0
    whose = _whose(launch, seen)
    if direct:
        return UNGUARDED, f"it belongs to {whose}, but holds {', '.join(direct)}", launch
    adapter = _adapter(agent, seen.environ)
    if adapter is None:
        said = f"no direct key in its environment, which comes from {whose}"
        return CLEANED, f"{said}; nothing pins the configuration of {agent.name}", launch
    if not adapter.pins(seen.environ):
        if launch == seen.pid and _same_program(program, seen) and not _gateway_keys(seen, policy):
            said = "without a gateway key: a command that calls no model, or an allowed server"
            return GUARDED, f"it is {whose}, {said}", launch
        return UNGUARDED, f"it comes from {whose}, but was not planned: nothing is pinned", launch
    wrong = adapter.unpinned(seen.environ, policy, seen.argv)
    if wrong:
        return UNGUARDED, f"it comes from {whose}, but {wrong}", launch
    against = undoing(adapter, seen.environ, policy, now)
    if against:
        said = f"but holds {', '.join(against)}, which a launch removes"
        return UNGUARDED, f"it belongs to {whose}, {said}", launch
    said = f"its environment holds the pinned configuration of {whose}"
    if launch == seen.pid:
        return GUARDED, said, launch
    return INHERITED, f"{said}; its own arguments were not planned", launch


def direct_keys(environ: Mapping[str, str], policy: CompiledPolicy, now: float) -> list[DirectKey]:
    """The variables of `environ` that reach models past the gateway, or may: names only.

    What the policy excepts is not among them.
    """
    _, changes, _ = environment.clean(environ, policy, now, keeps=keeps(), agent=False)
    removed = {change.name for change in changes if change.rule in _DIRECT_RULES}
    gateway = policy.gateway_keys
    found = []
    for name in sorted(environ):
        kind, owner = classify(name, policy.variables, gateway)
        unknown = kind == "unknown_key" and policy.keys_unknown == "flag"
        if name in removed or (unknown and policy.excepted(f"env:{name}", now) is None):
            found.append(DirectKey(name, kind, owner))
    return found


def own_keys(
    agent: Agent, seen: AgentProcess, policy: CompiledPolicy, now: float
) -> list[DirectKey]:
    """`direct_keys` without the variables by which a launch has pinned `agent` to the gateway."""
    environ = seen.environ or {}
    found = direct_keys(environ, policy, now)
    adapter = _adapter(agent, environ)
    if adapter is None:
        return [key for key in found if environ[key.name] != agent.sets.get(key.name)]
    if not adapter.pins(environ):
        return found
    if adapter.unpinned(environ, policy, seen.argv):
        return found
    return [key for key in found if key.name not in adapter.sets]


def _adapter(agent: Agent, environ: Mapping[str, str]) -> Adapter | None:
    """The adapter of the release of `agent` whose launch `environ` claims to come from."""
    adapter = agent_by_id(agent.id)
    return adapter.of_launch(environ) if adapter is not None else None


def undoing(
    adapter: Adapter, environ: Mapping[str, str], policy: CompiledPolicy, now: float
) -> list[str]:
    """The variables of `environ` that would undo its pinned configuration, by name.

    What the policy excepts is not among them.
    """
    _, changes, _ = environment.clean(environ, policy, now, keeps=adapter.keeps, agent=True)
    return sorted(change.name for change in changes if adapter.undone_by(change.name))


def _is_direct(key: DirectKey) -> bool:
    return key.kind != "unknown_key"


def _with_keys(names: list[str], before: str) -> str:
    return before + ", ".join(names) if names else ""


def refuse_inside(environ: Mapping[str, str], refused: str) -> None:
    """Raise GuardError, saying what is `refused`, in the environment of a guarded agent.

    It is known by the config home that a launch moves, by the program in the marker, or by what
    pins the agent, which stay where an agent starts something through `routeguard exec`.
    """
    launch, _, program = launch_above(environ)
    inside = REAL_CONFIG_HOME in environ
    if launch and not inside:
        inside = recognise(effective(program, [program], "/")) is not None
        inside = inside or any(agent.adapter().pins(environ) for agent in AGENTS)
    if inside:
        raise GuardError(
            refused,
            why="this command runs inside a guarded agent, and what an agent reads can tell it what"
            " to run",
            fix="run it in a shell of your own",
        )


def _whose(launch: int, seen: AgentProcess) -> str:
    if launch == seen.pid:
        return f"its own launch ({launch})"
    if any(launch == above for above, _ in seen.parents):
        return f"launch {launch}, which is above it"
    return f"launch {launch}, which is no longer above it"


def _same_program(program: str, seen: AgentProcess) -> bool:
    real = os.path.realpath(program)
    return real in (seen.exe, *(os.path.realpath(word) for word in seen.argv[:2]))


def _gateway_keys(seen: AgentProcess, policy: CompiledPolicy) -> bool:
    return not policy.gateway_keys.isdisjoint(seen.environ or ())
