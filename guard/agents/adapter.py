"""The adapter protocol: what an agent's folder provides, and the defaults.

An agent is one folder under `guard.agents`, and one line in `guard.agents.registry` makes it known:

- the package says who it is (`guard.agents.Identity`);
- `adapter.py` holds a subclass of `Agent` with its data, and `AGENT`, an instance;
- `grammar.py` has `read(typed)`, which makes a `CommandLine` of the arguments;
- `planner.py` has `survey`, which reads, and what `Agent.plan` calls to judge and to pin:
  `judge_arguments`, `judge_files`, `pin`, and `open_project` where a command is of the kind LOCAL;
- `inside.py` has `unpinned`: whether a process is a guarded launch;
- `today.py` has `unguarded`, for `explain`;
- `rendered.py` has `render`, for `managed`.

The methods of `Agent` ask these modules, each with the arguments of the function of its name, so an
adapter overrides what it says in another way. Nothing outside of that folder, its detectors in
`guard.rules` and its data in `guard.catalog` names the agent.

Hot-path module: every launch of an agent loads its adapter, and what a method needs when it is
called.
"""

from __future__ import annotations

from guard.agents import Identity
from guard.agents.binary import NO_VERSION, parse_version
from guard.agents.kinds import GUARDED, HARMLESS, LOCAL
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from guard.agents.command_line import CommandLine
    from guard.agents.managed import Machine, Managed
    from guard.agents.plan import Plan
    from guard.agents.today import Today
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy

ENDPOINTS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}
"""Path of the gateway's endpoint for each `Agent.wire`."""


class Facts(Record):
    """What an agent's `survey` found. Adapters extend it.

    `invocation` is the command line as the agent reads it; `environ` the user's own environment,
    with the traces of an outer launch taken back; `version` the agent's, zeros if it is not known.
    """

    invocation: Any
    environ: dict[str, str]
    version: tuple[int, int, int]

    @property
    def command(self) -> str:
        """The agent's subcommand as the audit log names it, "" for none."""
        name: str = self.invocation.command.name
        return name

    def adapter(self, agent: Agent) -> Agent:
        """The adapter that made these facts, where that is another release's than `agent`."""
        return agent


class Agent(Identity):
    """A coding agent that routeguard plans launches of."""

    tested = ""
    """The release that the facts about it were taken from, and that `verify --fetch` gets."""
    oldest = ""
    """The oldest release that starts, "" for `tested`."""
    outdated = "is older than the restrictions that hold it ({oldest})"
    """Why an older one does not start, to follow its version."""
    authorization = ""
    """The Authorization header it sends beside the gateway's key: a constant, no credential."""
    vendors: tuple[str, ...] = ()
    """The providers whose models it can use behind the gateway, by Portkey's names; () is all."""
    wire = "chat"
    """Which endpoint of the gateway it calls, a key of `ENDPOINTS`."""

    pinned_kinds: tuple[str, ...] = (GUARDED,)
    """The kinds of commands that are pinned to the gateway; no other gets its key."""

    prefixes: tuple[str, ...] = ()
    """How the variables begin that a launch removes, unless they are kept."""
    undoing: frozenset[str] = frozenset()
    """Further variables which undo the pin where they are set below a launch."""
    sets: Mapping[str, str] = {}
    """Every variable that a launch may set, and why. The one list."""
    ca = ""
    """The one of `sets` that names certificates to trust as well: `[gateway] ca` goes there."""
    proxies: tuple[str, ...] = ()
    """Those of `sets` in which it looks for its HTTP proxy: `[gateway] proxy` goes there."""
    switches: Mapping[str, str] = {}
    """Those of `sets` that have the same value in every launch."""

    def adapter(self) -> Agent:
        """The agent itself: it is loaded."""
        return self

    def of_release(self, typed: Sequence[str], program: str, environ: Mapping[str, str]) -> Agent:
        """The adapter for the release at `program`, started with the arguments `typed`.

        Another one than this where releases of one agent have to be held in different ways.
        """
        return self

    def of_launch(self, environ: Mapping[str, str]) -> Agent:
        """The adapter whose launch `environ` claims to come from: of this agent, some release."""
        return self

    def tried(self, version: tuple[int, int, int]) -> bool:
        """Whether the facts about it are known to hold in this `version`, which is no older than
        the oldest that starts. Any other proves its route on this machine first."""
        return version <= parse_version(self.tested)

    def is_proved(self, version: tuple[int, int, int], policy: CompiledPolicy) -> bool:
        """Whether a launch of this `version` needs no proof of its route; `proved.judge` tells of
        any other."""
        return self.tried(version) and policy.prove.get(self.id) != "always"

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"npm install -g {self.packages[0]}"

    @property
    def upgrade(self) -> str:
        """The command that gets a release which starts."""
        return f"{self.install}@{self.tested}"

    def read(self, typed: Sequence[str]) -> CommandLine:
        """The arguments `typed` as it reads them."""
        found: CommandLine = self._module("grammar").read(typed)
        return found

    def kind(self, typed: Sequence[str]) -> str:
        """Which kind of command the arguments `typed` are, a constant of `guard.agents.kinds`."""
        return self.read(typed).kind

    def survey(
        self, typed: list[str], environ: Mapping[str, str], program: str, cwd: str, *, write: bool
    ) -> Facts:
        """Read the files that a launch of `program` with the arguments `typed` in `cwd` depends on.

        `write` False leaves no trace, for a plan that is only shown. For a harmless command nothing
        is read: it is not judged, and waits for none of it.
        """
        invocation = self.read(typed)
        if invocation.kind == HARMLESS:
            return Facts(invocation, dict(environ), NO_VERSION)
        found: Facts = self._module("planner").survey(typed, environ, program, cwd, write=write)
        return found

    def plan(self, policy: CompiledPolicy, facts: Any, program: str, now: float) -> Plan:
        """What the launch of `program` becomes by the `facts` of `survey`; `now` in Unix seconds.

        Every kind starts with a cleaned environment, and what is not pinned without the gateway's
        key. A harmless command is not judged. Of the others the version, the arguments, the HTTP
        proxies and the files around are judged, in this order: the first refusal is the one that
        is shown whole. What changes only from agent to agent is in the methods below.
        """
        from guard.agents import environment
        from guard.agents.keys import without_gateway_keys
        from guard.agents.plan import Plan

        clean, changes, findings = environment.clean(
            facts.environ, policy, now, keeps=self.keeps, agent=True, prefixes=self.prefixes
        )
        invocation = facts.invocation
        words = list(invocation.argv)
        result = Plan(
            agent=self.id, kind=invocation.kind, program=program, typed=words, argv=list(words),
            environ=clean, changes=changes, findings=findings,
        )  # fmt: skip
        pinned = result.kind in self.pinned_kinds
        if not pinned:
            without_gateway_keys(result, policy)
        self.begin(result, facts)
        if result.kind == HARMLESS:
            result.findings = []
            return result
        if result.kind == LOCAL and not pinned:
            self.open_project(result, policy, facts, now)
            return result
        result.findings += self.judge_version(facts.version, program)
        result.findings += self.judge_arguments(invocation, policy, now)
        result.findings += environment.proxies(facts.environ, policy, now, self.proxies)
        self.judge_files(result, policy, facts, now)
        if pinned:
            result.guarded = True
            self.pin(result, policy, facts)
        return result

    def judge_version(self, found: tuple[int, int, int], program: str) -> list[Finding]:
        """A finding if `found` is an older version than any that starts, or not known.

        A newer one than those that were tried proves its route first, see `guard.agents.proved`.
        """
        from guard.findings import Finding

        oldest = self.oldest or self.tested
        if found == NO_VERSION:
            message = "its version is unknown"
        elif found < parse_version(oldest):
            shown = ".".join(map(str, found))
            message = f"version {shown} {self.outdated.format(oldest=oldest)}"
        else:
            return []
        return [Finding("RG204", program, message, where=program, fix=self.upgrade)]

    def begin(self, result: Plan, facts: Any) -> None:
        """Change what a launch of any kind starts with."""

    def open_project(self, result: Plan, policy: CompiledPolicy, facts: Any, now: float) -> None:
        """Judge and change what a launch starts with that calls no model and opens the project."""
        self._module("planner").open_project(result, policy, facts, now)

    def judge_arguments(self, invocation: Any, policy: CompiledPolicy, now: float) -> list[Finding]:
        """What a launch refuses of a command line; `check` says the same of those in files."""
        found: list[Finding] = self._module("planner").judge_arguments(invocation, policy, now)
        return found

    def judge_files(self, result: Plan, policy: CompiledPolicy, facts: Any, now: float) -> None:
        """Add to `result` what a launch refuses of the files around, and notes on them."""
        self._module("planner").judge_files(result, policy, facts, now)

    def pin(self, result: Plan, policy: CompiledPolicy, facts: Any) -> None:
        """Pin `result` to the gateway: its arguments and its environment."""
        self._module("planner").pin(result, policy, facts)

    def prepare(
        self, result: Plan, policy: CompiledPolicy, facts: Any, shim: Callable[[str], str]
    ) -> list[str]:
        """Make what `result` refers to; called just before the agent starts.

        The keys that a command prints are in that environment by now. `shim` makes the text of
        the PATH shim for a name, for programs that the agent starts.
        Returns a sentence for each thing the user has to know. Raises GuardError.
        """
        return []

    def pinned_size(self, policy: CompiledPolicy) -> tuple[int, int]:
        """Bytes that providers and models of `policy` take of what pins a launch, and the most."""
        raise NotImplementedError

    def restore(self, environ: dict[str, str]) -> None:
        """Undo in `environ` what a guarded launch of this agent set, if it was one."""

    def pins(self, environ: Mapping[str, str]) -> bool:
        """Whether `environ` claims to be that of a pinned launch of this agent."""
        return False

    def unpinned(
        self, environ: Mapping[str, str], policy: CompiledPolicy, argv: Sequence[str] = ()
    ) -> str:
        """Why what claims to be pinned is not pinned to the gateway, "" if it is.

        `argv` are the words that it was started with, its name first.
        """
        found: str = self._module("inside").unpinned(environ, policy, argv)
        return found

    def undone_by(self, name: str) -> bool:
        """Whether the variable `name`, set below a launch, undoes the pin."""
        removed = name.startswith(self.prefixes) and name not in (*self.keeps, *self.sets)
        return removed or name in self.undoing

    def ended_by(self, argv: Sequence[str]) -> str:
        """What ends the process with the command line `argv` where that is a service, else ""."""
        return ""

    def managed_files(self, facts: Any) -> list[str]:
        """The files there are by which an administrator configures it, of those `facts` hold."""
        return []

    def managed(self, policy: CompiledPolicy, machine: Machine) -> Managed:
        """The same files as root writes them, so that every start follows the system `policy`.

        They hold no key: a variable's name, or the command of `machine` that prints it.
        """
        made: Managed = self._module("rendered").render(policy, machine)
        return made

    def managed_by_user(
        self, policy: CompiledPolicy, environ: Mapping[str, str], *, create: bool
    ) -> Managed:
        """Files of the user's own that hold where no administrator's would: mostly none.

        `create` makes the random suffix of this user's provider ids.
        """
        from guard.agents.managed import Managed

        return Managed([], [])

    def unfit_for_user(self, program: str, environ: Mapping[str, str]) -> tuple[str, str]:
        """Why those files must not be where `program` is started, and the fix; "" if they may."""
        return "", ""

    def today(self, facts: Any) -> Today:
        """Where the launch would go without the guard."""
        told: Today = self._module("today").unguarded(facts)
        return told

    def _module(self, name: str) -> Any:
        """The module `name` of the agent's folder, loaded when it is first asked for."""
        folder = type(self).__module__.rpartition(".")[0]
        return __import__(f"{folder}.{name}", fromlist=[name])

    def proof_policy(self, model: str, small: str) -> str:
        """Its own part, as TOML, of the policy with which `verify` asks for `model` and `small`."""
        return ""

    def hostile_project(self, host: str) -> Mapping[str, str]:
        """Files of a project that would move its route to `http://HOST`, by relative path.

        Of what the guard holds, not of what it refuses: the proof of a binary starts among them.
        """
        return {}

    def one_call(self, prompt: str, version: str) -> list[str]:
        """Arguments for one answer to `prompt` without a terminal, for `verify`.

        `version` is the agent's own, "" for a start through the guard.
        """
        raise NotImplementedError
