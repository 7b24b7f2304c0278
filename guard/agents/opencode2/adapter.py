"""opencode 2.x as the rest of the house sees it. Hot-path module."""

from __future__ import annotations

from guard.agents.adapter import Agent
from guard.agents.binary import TOLD
from guard.agents.kinds import GUARDED, HARMLESS, LOCAL, SERVER
from guard.agents.opencode import OpenCode
from guard.agents.opencode2.variables import (
    CA,
    PROXIES,
    REAL_STATE_HOME,
    SETS,
    SWITCHES,
    UNDOING,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guard.agents.opencode2.facts import Facts
    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy


class OpenCode2Adapter(Agent, OpenCode):
    """opencode 2.x: a server of its own, a private configuration with policies, and a proof."""

    tested = "none; each binary proves its route here"
    # `integration.use` and the key `policies`, without which a plugin or MCP server of another
    # directory would be started, are in it (read; the release from a third party)
    oldest = "2.0.30"
    outdated = (
        "has no policy that keeps plugins and MCP servers of other directories out ({oldest} has)"
    )
    upgrade = "opencode upgrade"
    # every command that asks a server is pinned: it opens the project
    pinned_kinds = (GUARDED, LOCAL, SERVER)
    undoing = UNDOING
    switches = SWITCHES
    sets = SETS
    ca = CA
    proxies = PROXIES

    def tried(self, version: tuple[int, int, int]) -> bool:
        """None was: each binary proves its route here."""
        return False

    def survey(
        self, typed: list[str], environ: Mapping[str, str], program: str, cwd: str, *, write: bool
    ) -> Facts:
        """See `planner.survey`."""
        told = TOLD.pop(program, None)
        facts: Facts = self._module("planner").survey(
            typed, environ, program, cwd, write=write, version=told
        )
        facts.release = self
        return facts

    def begin(self, result: Plan, facts: Facts) -> None:
        """A command that opens no project starts in the root."""
        if result.kind == HARMLESS:
            result.directory = "/"

    def prepare(
        self, result: Plan, policy: CompiledPolicy, facts: Facts, shim: Callable[[str], str]
    ) -> list[str]:
        """See `planner.prepare`."""
        shims = {name: shim(name) for name in self.names}
        kept: list[str] = self._module("planner").prepare(policy, facts, shims)
        return kept

    def hostile_project(self, host: str) -> Mapping[str, str]:
        """A provider of its own, as default and under the gateway's name, and policies for it."""
        from guard.agents.opencode import trial

        return {"opencode.json": trial.config_of_2(host)}

    def restore(self, environ: dict[str, str]) -> None:
        """See `planner.restore`."""
        self._module("planner").restore(environ)

    def pins(self, environ: Mapping[str, str]) -> bool:
        """By the state home of which it remembers the user's own."""
        return REAL_STATE_HOME in environ and "OPENCODE_CONFIG_CONTENT" in environ

    def ended_by(self, argv: Sequence[str]) -> str:
        """`service stop` ends the service, which serves every later start."""
        words = [word for word in argv if word in ("serve", "--service")]
        return f"{self.names[0]} service stop" if words == ["serve", "--service"] else ""

    def managed_files(self, facts: Facts) -> list[str]:
        """See `surroundings.MANAGED`."""
        return [config.path for config in facts.found.managed]


AGENT = OpenCode2Adapter()
