"""What one launch becomes: a plain record, made by an agent's planner, shown or carried out.

Hot-path module. Holds names and reasons; the only values in it are those of the environment that
the child gets, and they are never rendered.
"""

from __future__ import annotations

from guard.agents import environment
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.agents.environment import Change
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy, GatewayProvider
    from guard.proxies.found import Found


class Plan(Record):
    """One launch: what would be started, with what, and what forbids it.

    `program` is the absolute path of the real binary, `argv` its arguments without the program
    name, `environ` the child's whole environment. `findings` of severity "error" forbid the
    launch. `route` is `provider/model` in the policy's words, "" where no model is called.
    `rewritten` tells in words what became of the arguments. `keys` are (variable, provider) pairs
    whose key is fetched by a command at launch. `directory` is where the process starts, ""
    for where we are. `stops` are the local proxies that the launch ends before it starts.
    `unproved` says why the binary `on_trial` has to prove its route before this launch, "" if it
    need not.
    """

    agent: str
    kind: str
    program: str
    typed: list[str]
    argv: list[str]
    environ: dict[str, str]
    changes: list[Change] = []  # noqa: RUF012
    findings: list[Finding] = []  # noqa: RUF012
    keys: list[tuple[str, GatewayProvider]] = []  # noqa: RUF012
    route: str = ""
    rewritten: str = ""
    guarded: bool = False
    directory: str = ""
    stops: list[Found] = []  # noqa: RUF012
    unproved: str = ""
    on_trial: str = ""

    @property
    def forbidden_by(self) -> list[Finding]:
        """The findings that forbid the launch."""
        return [f for f in self.findings if f.severity == "error"]

    def removed(self) -> list[str]:
        """Names of the variables that the launch removes."""
        return [change.name for change in self.changes if change.action == "removed"]


def begin(
    agent: str,
    kind: str,
    program: str,
    typed: Sequence[str],
    environ: Mapping[str, str],
    policy: CompiledPolicy,
    now: float,
    *,
    keeps: frozenset[str],
    prefixes: tuple[str, ...] = (),
) -> Plan:
    """A new plan of `agent`: the arguments as typed, the environment cleaned."""
    clean, changes, findings = environment.clean(
        environ, policy, now, keeps=keeps, agent=True, prefixes=prefixes
    )
    return Plan(
        agent=agent,
        kind=kind,
        program=program,
        typed=list(typed),
        argv=list(typed),
        environ=clean,
        changes=changes,
        findings=findings,
    )
