"""The environment that a launch starts with: what is removed and why.

By the kind that the catalogue gives each name. An agent hands its own environment to the shells,
MCP servers and agents it starts, so credentials that other tools need (`GITHUB_TOKEN`, `AWS_*`)
stay: the pin makes them harmless (tried with all names of the catalogue set).

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.catalog.classify import classify, rule_of_kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy

_UNJUDGED = frozenset(("", "gateway_key", "gateway_setting", "grey", "other_service"))
"""The kinds that `judge` has nothing against, whatever the value: it need not be loaded."""


class Change:
    """One variable that the launch removes or sets, and why. Holds the name only.

    `advice` ends the reason, and a person is told it once: how the policy keeps for good what a
    company needs of it. It holds the path of a file, or host and port of a proxy.
    """

    __slots__ = ("action", "advice", "name", "reason", "rule")

    def __init__(self, action: str, name: str, rule: str, reason: str, advice: str = "") -> None:
        self.action = action
        self.advice = advice
        self.name = name
        self.rule = rule
        self.reason = f"{reason}; {advice}".replace("\n", " ") if advice else reason

    def as_dict(self) -> dict[str, str]:
        """The change as the JSON output carries it."""
        return {
            "action": self.action,
            "name": self.name,
            "rule": self.rule,
            "reason": self.reason,
        }

    def __repr__(self) -> str:
        return f"Change({self.action!r}, {self.name!r})"


def clean(
    environ: Mapping[str, str],
    policy: CompiledPolicy,
    now: float,
    *,
    keeps: frozenset[str],
    agent: bool,
    prefixes: tuple[str, ...] = (),
) -> tuple[dict[str, str], list[Change], list[Finding]]:
    """`environ` without what leaves the gateway; the changes; and what the reader should know.

    `keeps` are names, or `NAME=VALUE`, that stay although the catalogue calls them a redirection;
    `prefixes` those of names that go unless they are kept, whatever the catalogue knows of them.
    `agent` is False for a command that is no agent: then only what would take an agent below it
    elsewhere is removed, and variables of the runtime (`NODE_*`, `LD_*`) and HTTP proxies stay.
    """
    keep: dict[str, str] = {}
    changes: list[Change] = []
    findings: list[Finding] = []
    gateway_keys = policy.gateway_keys
    remove = frozenset(policy.remove)
    for name, value in environ.items():
        kind, owner = classify(name, policy.variables, gateway_keys)
        if name in remove:
            changes.append(Change("removed", name, "", "listed under [environment] remove"))
            continue
        if kind in _UNJUDGED and not name.startswith(prefixes):
            keep[name] = value
            continue
        from guard.variables import judge

        verdict = judge(name, kind, owner, value, policy, keeps=keeps)
        bare = not verdict.removed and name not in keeps and name.startswith(prefixes)
        if bare and policy.excepted(f"env:{name}", now) is None:
            changes.append(Change("removed", name, "", "the agent may read its route from it"))
            continue
        if kind == "ambient":
            from guard.findings import Finding

            findings.append(Finding(verdict.rule, name, verdict.words, where="environment"))
        if (
            not verdict.removed
            or (kind in ("runtime", "http_proxy") and not agent)
            or policy.excepted(verdict.subject, now) is not None
        ):
            keep[name] = value
        else:
            rule = rule_of_kind(kind) if kind != "http_proxy" else ""
            changes.append(Change("removed", name, rule, verdict.words, verdict.advice))
    return keep, changes, findings


def proxies(
    environ: Mapping[str, str],
    policy: CompiledPolicy,
    now: float,
    names: tuple[str, ...] = (),
) -> list[Finding]:
    """A finding for each HTTP proxy on this machine that the policy does not except.

    `names` are the variables in which the agent looks for one, by default those of every agent.

    A proxy on loopback sees the prompt and the gateway key of a plain-http gateway, and of an
    https one whenever its certificate is trusted (run on 1.18.33).
    """
    from guard.errors import either
    from guard.findings import Finding, allow
    from guard.net import PROXY_VARIABLES
    from guard.variables import judge

    findings = []
    for name in names or PROXY_VARIABLES:
        # the value is judged, as that of a variable that every agent reads
        verdict = judge(PROXY_VARIABLES[0], "http_proxy", "", environ.get(name, ""), policy)
        if not verdict.rule or policy.excepted(verdict.subject, now) is not None:
            continue
        from guard import shells

        findings.append(
            Finding(
                verdict.rule,
                name,
                f"{name} {verdict.words}",
                where="environment",
                fix=either(shells.unset(name), allow("proxy", verdict.place))
                + (f"\nor, {verdict.advice}" if verdict.advice else ""),
                severity="warning" if policy.proxies_action == "flag" else "error",
            )
        )
    return findings
