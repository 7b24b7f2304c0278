"""What the checks look at, gathered once: environment, policy, key, the plan of a launch."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from guard import paths
from guard.agents.registry import without_guard
from guard.errors import GuardError
from guard.launch import resolve
from guard.launch.agent import plan_launch
from guard.policy import cache

if TYPE_CHECKING:
    from guard.agents.adapter import Agent, Facts
    from guard.agents.plan import Plan
    from guard.findings import Finding
    from guard.install.shims import ShimStatus
    from guard.launch.keys import Key
    from guard.policy.values import CompiledPolicy


class Context:
    """The machine as one run of `doctor` sees it.

    `given` is the environment of the shell that asks, `environ` the user's own: without what an
    outer launch or a project put into it; `misplaced` says what a project did. `offline` leaves
    the network out. `root` stands for `/` in the paths of the system's start files, `system` is
    the path of the system's policy. Raises PolicyError if the user has no directories left.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        cwd: str,
        *,
        offline: bool = False,
        root: str = "/",
        system: str = paths.SYSTEM_POLICY,
    ) -> None:
        self.given = environ
        self.cwd = cwd
        self.offline = offline
        self.root = root
        self.system = system
        self.now = time.time()
        self._planning = threading.Lock()
        self._plans: dict[str, tuple[Plan, Facts]] = {}
        own = without_guard(environ)
        self.misplaced = paths.misplaced(own, cwd)
        self.environ = paths.without_misplaced(own, self.misplaced)

    @functools.cached_property
    def loaded(self) -> CompiledPolicy | GuardError:
        """The policy, or why there is none."""
        try:
            return cache.load(self.cwd, self.environ, system=self.system)
        except GuardError as error:
            return error

    @property
    def policy(self) -> CompiledPolicy:
        """The policy. Raises GuardError if there is none."""
        if isinstance(self.loaded, GuardError):
            raise self.loaded
        return self.loaded

    @functools.cached_property
    def key(self) -> Key | GuardError:
        """The key that most calls use, or why there is none. May run the policy's key command."""
        from guard.launch.keys import find_key

        try:
            return find_key(self.policy, self.environ)
        except GuardError as error:
            return error

    @functools.cached_property
    def shims(self) -> ShimStatus:
        """What the shims cover in the shell that asks."""
        from guard.install import shims

        return shims.status(self.given, root=self.root)

    def program(self, agent: Agent) -> str:
        """The program that a launch of `agent` means, "" if there is none."""
        found = (resolve.find_program(name, self.environ) for name in agent.names)
        return next(filter(None, found), "")

    def launch(self, agent: Agent) -> tuple[Plan, Facts]:
        """The plan of a bare launch of `agent` from here, and what it was made of.

        Raises GuardError if it cannot be planned.
        """
        with self._planning:  # several checks ask at once
            if agent.id not in self._plans:
                self._plans[agent.id] = self._plan(agent)
            return self._plans[agent.id]

    def _plan(self, agent: Agent) -> tuple[Plan, Facts]:
        return plan_launch(
            agent, [], self.environ, self.misplaced, self.program(agent), self.policy, self.cwd,
            self.now, write=False,
        )  # fmt: skip

    def findings(self, agent: Agent, *rules: str) -> list[Finding]:
        """The findings under `rules` about a bare launch of `agent` from here."""
        return [one for one in self.launch(agent)[0].findings if one.rule in rules]
