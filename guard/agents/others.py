"""Agents that cannot be guarded, where the policy has their launches cleaned or refused.

What is known of them is data (guard/catalog/agents.toml), which the compiled policy holds for those
that it does not leave alone. Hot-path module; `re` and the adapters are loaded where they are
needed.
"""

from __future__ import annotations

import os

from guard.agents import environment
from guard.agents.environment import Change
from guard.agents.kinds import HARMLESS
from guard.agents.plan import Plan
from guard.catalog import runners
from guard.catalog.classify import classify
from guard.files.read import UnreadableError, read_bytes
from guard.findings import Finding, allow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.policy.values import CompiledPolicy, OtherAgent

CLEANED = "cleaned"
"""Kind of a launch without keys, and with nothing pinned."""

_ASKS = (["--help"], ["--version"])
"""Arguments, and no others, with which an agent only tells about itself."""


def typed(words: Sequence[str], program: str, policy: CompiledPolicy) -> OtherAgent | None:
    """The agent that the command line `words` starts; `program` is what PATH has for its name.

    A package runner starts the one whose package, or program, it is given.
    """
    name = os.path.basename(words[0])
    for agent in policy.others:
        if name in agent.names and _is_it(agent, name, words[1:], program):
            return agent
        if _is_run(agent, words):
            return agent
    return None


def _is_it(agent: OtherAgent, name: str, arguments: Sequence[str], program: str) -> bool:
    """Whether `name` is the agent here, and not another program of the same name."""
    plain = [word for word in arguments if not word.startswith("-")] or [""]
    if agent.only and not any(word in agent.only for word in plain):
        return False
    if plain[0] in agent.unless:
        return False
    if name in agent.commands:
        import re

        real = os.path.realpath(program)
        return any(re.search(pattern, path) for pattern in agent.paths for path in (program, real))
    return name not in agent.scripts or _is_script(program)


def _is_script(program: str) -> bool:
    try:
        return (read_bytes(program, 2, cut=True) or b"") == b"#!"
    except UnreadableError:
        return False


def _is_run(agent: OtherAgent, words: Sequence[str]) -> bool:
    """Whether `words` are those of a package runner that fetches and starts the agent."""
    run = runners.read(words)
    if run is None:
        return False
    for index in (*run.packages, run.command):
        if index >= 0 and runners.names_package(words[index], agent.packages):
            return True
    if run.command >= 0 and words[run.command] in agent.names and not agent.commands:
        return True  # installed in the project, or a package of its own
    first = [words[index].split(maxsplit=1)[:1] for index in run.texts]
    return any(word[0] in (*agent.names, *agent.packages) for word in first if word)


def plan(
    agent: OtherAgent,
    words: Sequence[str],
    program: str,
    environ: Mapping[str, str],
    policy: CompiledPolicy,
    now: float,
) -> Plan:
    """What the launch of `agent` as `words` becomes: refused, or started without keys.

    `program` is what is started, `environ` the environment as it is, `now` in Unix seconds. An
    exception lets a refused one start without keys. What only shows help or a version starts so
    in any case.
    """
    clean, changes, kept = _clean(agent, environ, policy, now)
    arguments = list(words[1:])
    made = Plan(
        agent=agent.agent,
        kind=HARMLESS if arguments in _ASKS else CLEANED,
        program=program,
        typed=arguments,
        argv=arguments,
        environ=clean,
        changes=changes,
        name=os.path.basename(words[0]),
    )
    if made.kind == HARMLESS:
        return made
    if policy.refuses(agent, now):
        made.findings.append(_refusal(agent, words[0], program, policy))
        return made
    still = agent.still or "its logins and its own files"
    made.findings = [
        Finding(
            "RG207",
            agent.agent,
            f"{agent.title} starts without keys and is not guarded: {still} decide where it sends "
            "prompts",
            where=program,
            severity="warning",
        ),
        *kept,
    ]
    return made


def _clean(
    agent: OtherAgent, environ: Mapping[str, str], policy: CompiledPolicy, now: float
) -> tuple[dict[str, str], list[Change], list[Finding]]:
    """`environ` without any key for models, the changes, and what stays although it may be used."""
    clean, changes, _ = environment.clean(environ, policy, now, keeps=frozenset(), agent=True)
    kept = []
    for name in list(clean):
        kind, owner = classify(name, policy.variables, policy.gateway_keys)
        if kind == "ambient":
            words = f"kept: other tools need it; {agent.title} may use it ({owner})"
            kept.append(Finding("RG107", name, words, where="environment", severity="note"))
        elif kind == "gateway_key":
            del clean[name]
            changes.append(Change("removed", name, "", f"{agent.title} cannot use the gateway"))
        elif kind == "unknown_key" and policy.excepted(f"env:{name}", now) is None:
            del clean[name]
            changes.append(Change("removed", name, "RG102", "may be a key for models"))
    for name, value in agent.sets.items():
        # what is still there, the policy has an exception for
        if name not in clean:
            clean[name] = value
            changes.append(Change("set", name, "", "else a .env file could fill it in"))
    return clean, changes, kept


def _refusal(agent: OtherAgent, name: str, program: str, policy: CompiledPolicy) -> Finding:
    """Why `agent` is not started as `name`, what works instead, and who can allow it."""
    if agent.unpinned:
        message = f"{agent.title} {agent.unpinned}"
    else:
        message = f"routeguard cannot hold {agent.title} to the gateway"
    fixes = []
    if agent.layer != "default":
        whose = "your" if agent.layer == "user" else f"the {agent.layer}"
        message += f"; {whose} policy refuses it ([agents.{agent.agent}] launch)"
    instead = _instead(agent, policy)
    if instead:
        fixes.append(instead)
    if not policy.exceptions_refused_by:
        fixes.append(
            "or start it without keys and unguarded for a while:\n" + allow("agent", agent.agent)
        )
    if agent.layer != "system":
        fixes.append(f'or always, in your policy:\n[agents.{agent.agent}]\nlaunch = "clean"')
    return Finding(
        "RG207",
        agent.agent,
        message,
        where=program or name,
        fix="\n".join(fixes).removeprefix("or "),
        severity="error",
    )


def _instead(agent: OtherAgent, policy: CompiledPolicy) -> str:
    """The command of a guarded agent that can use the same models through the gateway."""
    from guard.agents.registry import adapters

    for other in adapters():
        if other.id in policy.unguarded or not agent.vendor:
            continue
        if other.vendors and agent.vendor not in other.vendors:
            continue
        provider = policy.default_provider.name
        return (
            f"use one of its models in {other.title}, through the gateway:\n"
            f"{other.names[0]} --model {provider}/@PROVIDER/MODEL\n"
            "what there is:\nrouteguard portkey models"
        )
    return ""
