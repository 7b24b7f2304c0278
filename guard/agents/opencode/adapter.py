"""opencode 1.x as the rest of the house sees it. Hot-path module."""

from __future__ import annotations

from guard.agents.adapter import Agent
from guard.agents.binary import NO_VERSION, TOLD, version
from guard.agents.kinds import GUARDED, HARMLESS, SERVER
from guard.agents.opencode import NO_GITLAB, OpenCode
from guard.agents.opencode.variables import CA, PROXIES, SETS, SWITCHES, UNDOING
from guard.agents.opencode2 import variables as later
from guard.paths import REAL_CONFIG_HOME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guard.agents import adapter
    from guard.agents.managed import Managed
    from guard.agents.opencode.facts import Facts
    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy


class OpenCodeAdapter(Agent, OpenCode):
    """opencode 1.x: pinned by an inline config with a random provider id."""

    tested = "1.18.33"
    # older ones let `.opencode` override the inline config
    # (github.com/anomalyco/opencode/issues/11628)
    oldest = "1.18.0"
    outdated = "lets a repository override the pinned config"
    pinned_kinds = (GUARDED, SERVER)
    undoing = UNDOING
    # of both releases: an environment does not say which release will read it
    switches = later.SWITCHES | SWITCHES
    sets = later.SETS | SETS
    ca = CA
    proxies = PROXIES

    def of_release(self, typed: Sequence[str], program: str, environ: Mapping[str, str]) -> Agent:
        """That of opencode 2 where the binary says that it is one, or does not say what it is.

        A command that calls no model in either is not asked for its version.
        """
        TOLD.clear()
        if not program:
            return self
        harmless = self.kind(typed) == HARMLESS
        # what calls no model in one may be the name of a directory to the other
        if harmless and self._later().kind(typed) == HARMLESS:
            return self
        found = TOLD[program] = version(program, environ, self)
        return self._later() if found[0] >= 2 or (found == NO_VERSION and harmless) else self

    def _later(self) -> Agent:
        """That of opencode 2, which most launches need not load."""
        from guard.agents.opencode2.adapter import AGENT

        return AGENT

    def of_launch(self, environ: Mapping[str, str]) -> Agent:
        """That of opencode 2 where its launch has pinned `environ`."""
        later = self._later()
        return later if later.pins(environ) else self

    def survey(
        self, typed: list[str], environ: Mapping[str, str], program: str, cwd: str, *, write: bool
    ) -> adapter.Facts:
        """See `planner.survey`."""
        told = TOLD.pop(program, None)
        if self.kind(typed) == HARMLESS:
            return super().survey(typed, environ, program, cwd, write=write)
        found: Facts = self._module("planner").survey(
            typed, environ, program, cwd, write=write, version=told
        )
        return found

    def begin(self, result: Plan, facts: Facts) -> None:
        """Keep every command from crashing, and from renewing logins."""
        # with both ids and no token every command of opencode crashes, allow-list or not (run)
        ids = ("CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_GATEWAY_ID")
        if all(i in result.environ for i in ids) and "CLOUDFLARE_API_TOKEN" not in result.environ:
            result.remove(ids[1], "crashes opencode without a token")
        harmless = result.kind == HARMLESS
        if harmless:
            result.directory = "/"
        invocation = facts.invocation
        if invocation.asks_for_help() or invocation.command.name == "providers login":
            return
        # of a command that opens no project, nothing was looked at
        if harmless or self._module("planner").renews_logins(facts):
            result.set({"GITLAB_INSTANCE_URL": NO_GITLAB}, SETS)

    def prepare(
        self, result: Plan, policy: CompiledPolicy, facts: Facts, shim: Callable[[str], str]
    ) -> list[str]:
        """See `planner.prepare`."""
        kept: list[str] = self._module("planner").prepare(policy, facts, shim(self.names[0]))
        return kept

    def pinned_size(self, policy: CompiledPolicy) -> tuple[int, int]:
        """Of the inline config, with providers and models alone."""
        from guard.agents.opencode import config
        from guard.agents.opencode.route import Router

        ids = config.provider_ids(policy, "0" * 10)
        keys = {each.name: each.key_env or "ROUTEGUARD_GATEWAY_KEY_1" for each in policy.providers}
        route = Router(policy, ids, frozenset()).default()
        text, _ = config.render(config.pinned(policy, ids, keys, route, []), [], [])
        return len(text), config.MAX_CONTENT

    def restore(self, environ: dict[str, str]) -> None:
        """See `planner.restore`, of either release."""
        if later.REAL_STATE_HOME in environ:
            self._later().restore(environ)
            environ.pop(later.REAL_STATE_HOME, None)
        if REAL_CONFIG_HOME in environ:
            self._module("planner").restore(environ)

    def pins(self, environ: Mapping[str, str]) -> bool:
        """By the inline config."""
        return "OPENCODE_CONFIG_CONTENT" in environ

    def ended_by(self, argv: Sequence[str]) -> str:
        """That of opencode 2, which alone has a service."""
        return self._later().ended_by(argv)

    def managed_files(self, facts: Facts) -> list[str]:
        """See `surroundings.MANAGED`."""
        return [config.path for config in facts.found.managed]

    def managed_by_user(
        self, policy: CompiledPolicy, environ: Mapping[str, str], *, create: bool
    ) -> Managed:
        """The global file of opencode 2, see `guard.agents.opencode2.rendered`."""
        from guard.agents.opencode.directories import suffix
        from guard.agents.opencode2 import rendered

        return rendered.render(policy, environ, suffix(environ, create=create))

    def unfit_for_user(self, program: str, environ: Mapping[str, str]) -> tuple[str, str]:
        """See `guard.agents.opencode2.rendered.unfit`."""
        from guard.agents.opencode2 import rendered

        return rendered.unfit(version(program, environ, self))

    def hostile_project(self, host: str) -> Mapping[str, str]:
        """A provider of its own, as default and under the gateway's name."""
        from guard.agents.opencode import trial

        return {"opencode.json": trial.config(host)}

    def one_call(self, prompt: str, version: str) -> list[str]:
        """`run`; version 2 hands calls to a background server that would outlive the run unless
        `--standalone` is given (opencode.ai/v2/docs/cli.md)."""
        major = version.partition(".")[0]
        standalone = ["--standalone"] if major.isdigit() and int(major) >= 2 else []
        return ["run", *standalone, prompt]


AGENT = OpenCodeAdapter()
