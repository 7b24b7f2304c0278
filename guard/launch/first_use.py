"""The proof of a route before the first launch of a binary that was never tried.

Not on the hot path: a launch comes here once for each binary.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from guard.agents import proved
from guard.errors import GuardError, PolicyError, printable
from guard.launch import verify
from guard.launch.proof.stage import throw_away
from guard.signals import ended_with_us

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.agents.adapter import Agent, Facts
    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy


def prove(
    agent: Agent,
    plan: Plan,
    policy: CompiledPolicy,
    facts: Facts,
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Let the binary of `plan` prove its route, or return at once where it just has.

    `agent` is the adapter of all its releases, `environ` that of this process. `say` gets a line
    before and after. Raises GuardError (RG204) if the route was not proved, PolicyError where the
    system policy admits no proof.
    """
    own = facts.environ
    version = ".".join(map(str, facts.version))
    binary = verify.Binary(agent, plan.on_trial, version)
    each_time = policy.prove.get(agent.id) == "always"
    if each_time and proved.take(binary.line(policy), own):
        return  # by the proof that this launch is a part of, or by `routeguard verify`
    say(f"routeguard: {plan.unproved}; it proves its route first, in about ten seconds")
    begun = time.monotonic()
    try:
        with ended_with_us(), throw_away(False) as root:
            proof = verify.prove(
                binary,
                environ,
                root,
                timeout=verify.TIMEOUT,
                control=True,
                thorough=False,
                say=lambda line: say(f"routeguard: {line}"),
                like=policy,
            )
    except PolicyError as error:
        error.fix += f'\nor, in the system policy:\n[agents.{agent.id}]\nprove = "off"'
        raise
    failed = [check for check in proof.checks if not check.ok]
    if failed:
        raise GuardError(
            f"{plan.name} was not started: version {version} did not prove its route",
            where=plan.on_trial,
            why="; ".join(f"{check.name}: {printable(check.detail)}" for check in failed),
            fix=f"routeguard verify --agent {agent.id}",
            rule="RG204",
        )
    kept = ""
    if not each_time:
        try:
            proof.remember(own, policy)
            kept = "; it counts until the binary or your policy changes"
        except (GuardError, OSError) as error:
            kept = f"; it could not be written down ({printable(str(error))}), so it will run again"
    taken = time.monotonic() - begun
    say(f"routeguard: proved in {taken:.0f} s: only the gateway saw the call{kept}")
