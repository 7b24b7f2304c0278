"""Where a launch of opencode 2 would go without routeguard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.agents.opencode import today as older
from guard.agents.today import Say, Today

if TYPE_CHECKING:
    from guard.agents.opencode2.facts import Facts

NEWEST = "the newest model of any open provider, the free ones of the agent's maker among them"
"""Where a call goes that names no model (run on a build of July 2026)."""


def unguarded(facts: Facts) -> Today:
    """Work out where the launch would go today. The layers are those of opencode 1; then a
    background service answers, if one runs."""
    today = older.unguarded(facts)  # type: ignore[arg-type]  # what it reads, both facts have
    named = any("the model" in said.says or "asks for" in said.says for said in today.says)
    if not named:
        today.route = NEWEST
    alone = [o for o in facts.invocation.named("standalone") if not o.negated]
    if facts.running is not None and not alone:
        says = "answers, with the environment and configuration that it was started with"
        today.says.insert(0, Say("background server", f"process {facts.running.pid}", says))
        today.route = f"decided by the background server (process {facts.running.pid})"
    return today
