"""The agents whose calls in files are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from guard.rules.agents import claude_code, codex
from guard.rules.agents.opencode import calls as opencode
from guard.rules.agents.opencode import steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.findings import Finding
    from guard.rules.files.scope import Scope
    from guard.sources.positions.nodes import Node
    from guard.sources.positions.shell_calls import Call, Script


class AgentCalls(Protocol):
    """What is known of one agent's calls, as a module has it.

    `NEEDLES` are those of which every text with a call holds one; `TITLE` is what people
    call the agent, `ID` its name in the policy, which can leave it alone.
    """

    NEEDLES: tuple[bytes, ...]
    ID: str
    TITLE: str

    def starts(self, call: Call, script: Script) -> bool:
        """Whether `call` starts the agent."""

    def check(self, scope: Scope, call: Call, script: Script) -> Iterator[Finding]:
        """Findings for one call, each at the word that it is about."""


class AgentSteps(Protocol):
    """What is known of the steps of CI pipelines that run one agent, as a module has it."""

    ID: str

    def action(self, scope: Scope, step: Node, uses: Node) -> Iterator[Finding]:
        """Findings if `step` uses the agent's own action, which `uses` names."""

    def variables(self, scope: Scope, given: Node, step: Node) -> Iterator[Finding]:
        """Findings about the variables `given` to `step`."""


AGENTS: tuple[AgentCalls, ...] = (opencode, claude_code.CALLS, codex.CALLS)

STEPS: tuple[AgentSteps, ...] = (steps, claude_code.CALLS, codex.CALLS)
"""What is known of the steps of CI pipelines that run an agent, a module for each agent."""
