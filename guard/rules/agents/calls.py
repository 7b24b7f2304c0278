"""The agents whose calls in files are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from guard.rules.agents.opencode import calls as opencode
from guard.rules.agents.opencode import steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.findings import Finding
    from guard.rules.files.scope import Scope
    from guard.sources.positions.shell_calls import Call, Script


class AgentCalls(Protocol):
    """What is known of one agent's calls, as a module has it.

    `NEEDLES` are lower-case bytes of which every text with a call holds one; `TITLE` is what people
    call the agent.
    """

    NEEDLES: tuple[bytes, ...]
    TITLE: str

    def starts(self, call: Call, script: Script) -> bool:
        """Whether `call` starts the agent."""

    def check(self, scope: Scope, call: Call, script: Script) -> Iterator[Finding]:
        """Findings for one call, each at the word that it is about."""


AGENTS: tuple[AgentCalls, ...] = (opencode,)

STEPS = (steps,)
"""What is known of the steps of CI pipelines that run an agent, a module for each agent."""
