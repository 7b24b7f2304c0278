"""The adapter protocol: what an agent's folder provides, and the defaults.

An agent is one folder under `guard.agents`: the package says who it is (`guard.agents.Identity`),
its `adapter.py` holds a subclass of `Agent`. One line in `guard.agents.registry` makes it known.
Nothing outside that folder, its detectors in `guard.rules` and its data in `guard.catalog` names
it.

Hot-path module: every launch of an agent loads its adapter, which imports its planner inside its
methods.
"""

from __future__ import annotations

from guard.agents import Identity
from guard.agents.binary import parse_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from guard.agents.managed import Machine, Managed
    from guard.agents.plan import Plan
    from guard.agents.today import Today
    from guard.policy.values import CompiledPolicy

HARMLESS = "harmless"
"""Kind of a command that calls no model and opens no project: started with a clean environment."""
LOCAL = "local"
"""Kind of a command that calls no model, but opens the project, whose code may then run."""
GUARDED = "guarded"
"""Kind of a command that may call a model: pinned to the gateway."""
SERVER = "server"
"""Kind of a command that lets other programs call models."""
REMOTE = "remote"
"""Kind of a command that hands its calls to a server that was started elsewhere."""

LEFT_OUT = "left-out"
"""Kind of every command of an agent that the policy leaves alone."""

NO_MODEL = (HARMLESS, LOCAL)
"""The kinds that call no model."""

ENDPOINTS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}
"""Path of the gateway's endpoint for each `Agent.wire`."""


class Facts:
    """What an agent's `survey` found. Adapters extend it.

    `environ` is the user's own environment, with the traces of an outer launch taken back;
    `command` the agent's subcommand as the audit log names it; `version` the agent's, zeros if
    it is not known.
    """

    __slots__ = ()

    environ: dict[str, str]
    command: str
    version: tuple[int, int, int]

    def adapter(self, agent: Agent) -> Agent:
        """The adapter that made these facts, where that is another release's than `agent`."""
        return agent


class Agent(Identity):
    """A coding agent that routeguard plans launches of."""

    tested = ""
    """The release that the facts about it were taken from, and that `verify --fetch` gets."""
    authorization = ""
    """The Authorization header it sends beside the gateway's key: a constant, no credential."""
    vendors: tuple[str, ...] = ()
    """The providers whose models it can use behind the gateway, by Portkey's names; () is all."""
    wire = "chat"
    """Which endpoint of the gateway it calls, a key of `ENDPOINTS`."""

    sets: Mapping[str, str] = {}
    """Every variable that a launch may set, and why. The one list."""
    ca = ""
    """The one of `sets` that names certificates to trust as well: `[gateway] ca` goes there."""
    proxies: tuple[str, ...] = ()
    """Those of `sets` that name its HTTP proxy: `[gateway] proxy` goes there."""
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

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"npm install -g {self.packages[0]}"

    def kind(self, typed: Sequence[str]) -> str:
        """Which kind of command the arguments `typed` are, one of the constants above."""
        raise NotImplementedError

    def survey(
        self, typed: list[str], environ: Mapping[str, str], program: str, cwd: str, *, write: bool
    ) -> Facts:
        """Read the files that a launch of `program` with the arguments `typed` in `cwd` depends on.

        `write` False leaves no trace, for a plan that is only shown.
        """
        raise NotImplementedError

    def plan(self, policy: CompiledPolicy, facts: Any, program: str, now: float) -> Plan:
        """Decide what the launch becomes, from the `facts` of `survey`; `now` in Unix seconds.

        By `plan` of the module `planner` in the agent's folder.
        """
        made: Plan = self._module("planner").plan(policy, facts, program, now)
        return made

    def prepare(
        self, plan: Plan, policy: CompiledPolicy, facts: Any, shims: Mapping[str, str]
    ) -> list[str]:
        """Make what the environment of `plan` refers to; called just before the agent starts.

        The keys that a command prints are in that environment by now. `shims` are the texts of
        the PATH shims by name, for programs that the agent starts.
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
        return "nothing is pinned"

    def undone_by(self, name: str) -> bool:
        """Whether the variable `name`, set below a launch, undoes the pin."""
        return False

    def ended_by(self, argv: Sequence[str]) -> str:
        """What ends the process with the command line `argv` where that is a service, else ""."""
        return ""

    def managed_files(self, facts: Any) -> list[str]:
        """The files there are by which an administrator configures it, of those `facts` hold."""
        return []

    def managed(self, policy: CompiledPolicy, machine: Machine) -> Managed:
        """The same files as root writes them, so that every start follows the system `policy`.

        They hold no key: a variable's name, or the command of `machine` that prints it. By
        `render` of the module `rendered` in the agent's folder.
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
        """Where the launch would go without the guard: `unguarded` of the module `today`."""
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
