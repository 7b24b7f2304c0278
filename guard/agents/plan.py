"""What one launch becomes: a record that `guard.agents.adapter.Agent.plan` makes, shown or carried
out.

Hot-path module. Holds names and reasons; the only values in it are those of the environment that
the child gets, and they are never rendered.
"""

from __future__ import annotations

import os

from guard import paths
from guard.agents.environment import Change
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy, GatewayProvider
    from guard.proxies.found import Found

LONGEST = 128 * 1024
"""What Linux takes as one argument or one variable, in bytes, its end included (MAX_ARG_STRLEN);
macOS takes more."""


def is_too_long(words: Iterable[str]) -> bool:
    """Whether one of the arguments `words` is longer than the system takes."""
    return any(len(word.encode()) >= LONGEST for word in words)


class Plan(Record):
    """One launch: what would be started, with what, and what forbids it.

    `program` is the absolute path of the real binary, `argv` its arguments without the program
    name, `environ` the child's whole environment. `findings` of severity "error" forbid the
    launch. `route` is `provider/model` in the policy's words, "" where no model is called.
    `rewritten` tells in words what became of the arguments. `keys` are (variable, provider) pairs
    whose key is fetched by a command at launch. `directory` is where the process starts, ""
    for where we are. `stops` are the local proxies that the launch ends before it starts.
    `unproved` says why the binary `on_trial` has to prove its route before this launch, "" if it
    need not. `name` is what was typed to start it, without a directory; "" where nothing was.
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
    name: str = ""

    @property
    def forbidden_by(self) -> list[Finding]:
        """The findings that forbid the launch."""
        return [f for f in self.findings if f.severity == "error"]

    def removed(self) -> list[str]:
        """Names of the variables that the launch removes."""
        return [change.name for change in self.changes if change.action == "removed"]

    def report(
        self,
        rule: str,
        subject: str,
        message: str,
        *,
        where: str = "command line",
        fix: str = "",
        severity: str = "",
    ) -> None:
        """Add a finding, of its rule's severity unless another is given."""
        from guard.findings import Finding

        self.findings.append(Finding(rule, subject, message, where, fix, severity))

    def remove(self, name: str, reason: str) -> None:
        """Take the variable `name` away, if it is there; `reason` says why."""
        if self.environ.pop(name, None) is not None:
            self.changes.append(Change("removed", name, "", reason))

    def set(self, values: Mapping[str, str], reasons: Mapping[str, str]) -> None:
        """Set variables. People are told of those that `reasons` has a reason for, by name."""
        self.environ.update(values)
        self.changes += [
            Change("set", name, "", reasons[name]) for name in values if name in reasons
        ]


def shims_first(result: Plan, shims: str) -> dict[str, str]:
    """PATH with the directory `shims` in front, so that a nested agent meets the guard; nothing
    where there is none."""
    if not shims:
        return {}
    return {"PATH": paths.behind_shims(result.environ.get("PATH", os.defpath), shims)}


def asked_directly(
    policy: CompiledPolicy, environ: Mapping[str, str], *others: str
) -> dict[str, str]:
    """NO_PROXY with the hosts that no proxy may be in between: `others`, and a plain-http gateway,
    unless it is another machine and the policy names the proxy to it. Nothing without a host."""
    from guard import net

    hosts = list(others)
    gateway = net.host_of(policy.base_url)
    if policy.base_url.startswith("http://") and (
        not policy.gateway_proxy or net.is_loopback(gateway)
    ):
        hosts.append(gateway)
    return net.without_proxy(environ, *hosts) if hosts else {}
