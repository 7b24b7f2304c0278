"""The environment that a launch starts with: what is removed and why.

By the kind that the catalogue gives each name. An agent hands its own environment to the shells,
MCP servers and agents it starts, so credentials that other tools need (`GITHUB_TOKEN`, `AWS_*`)
stay: the pin makes them harmless (opencode 1.18.33 run with all 221 catalogue names set).

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.catalog.classify import classify
from guard.findings import Finding
from guard.net import PROXY_VARIABLES, address, authority, host_of, is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.policy.compiled import CompiledPolicy

_REMOVED_KINDS = {
    "provider_key": ("RG101", "reaches a model provider directly"),
    "provider_setting": ("RG101", "alone opens a model provider"),
    "base_url": ("RG103", "points an agent away from the gateway"),
    "agent_redirect": ("RG105", "redirects the agent"),
    "runtime": ("RG108", "can load code into the agent or weaken its TLS"),
}


class Change:
    """One variable that the launch removes or sets, and why. Holds the name only."""

    __slots__ = ("action", "name", "reason", "rule")

    def __init__(self, action: str, name: str, rule: str, reason: str) -> None:
        self.action = action
        self.name = name
        self.rule = rule
        self.reason = reason

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
) -> tuple[dict[str, str], list[Change], list[Finding]]:
    """`environ` without what leaves the gateway; the changes; and what the reader should know.

    `keeps` are names, or `NAME=VALUE`, that stay although the catalogue calls them a redirection.
    `agent` is False for a command that is no agent: then only what would take an agent below it
    elsewhere is removed, and variables of the runtime (`NODE_*`, `LD_*`) stay.
    """
    keep: dict[str, str] = {}
    changes: list[Change] = []
    findings: list[Finding] = []
    gateway_keys = {p.key_env for p in policy.providers if p.key_env}
    remove = frozenset(policy.remove)
    for name, value in environ.items():
        kind, owner = classify(name, policy.variables, gateway_keys)
        if name in remove:
            changes.append(Change("removed", name, "", "listed under [environment] remove"))
            continue
        if kind == "ambient":
            findings.append(
                Finding(
                    "RG107",
                    name,
                    f"kept: other tools need it; the pinned providers make it harmless ({owner})",
                    where="environment",
                )
            )
        rule, reason = _REMOVED_KINDS.get(kind, ("", ""))
        if (
            not rule
            or name in keeps
            or f"{name}={value}" in keeps
            or (kind == "runtime" and not agent)
        ):
            keep[name] = value
            continue
        if kind == "base_url" and _same_host(value, policy.base_url):
            keep[name] = value
            continue
        allowance = policy.excepted(f"env:{name}", now)
        if allowance is not None:
            keep[name] = value
            continue
        if owner and kind in ("provider_key", "provider_setting"):
            reason = f"{reason} ({owner})"
        changes.append(Change("removed", name, rule, reason))
    return keep, changes, findings


def _same_host(url: str, other: str) -> bool:
    # spelled exactly: what a URL parser makes of anything else is its own choice
    plain = f"https://{host_of(other)}"
    return url == plain or url.startswith((f"{plain}/", f"{plain}:443/"))


def proxies(environ: Mapping[str, str], policy: CompiledPolicy, now: float) -> list[Finding]:
    """A finding for each HTTP proxy on this machine that the policy does not except.

    A proxy on loopback sees the prompt and the gateway key of a plain-http gateway, and of an
    https one whenever its certificate is trusted (run on 1.18.33).
    """
    findings = []
    for name in PROXY_VARIABLES:
        value = environ.get(name, "")
        host, port = address(value)
        if not host or not is_loopback(host):
            continue
        place = authority(host, port)
        if policy.excepted(f"proxy:{place}", now) is not None:
            continue
        findings.append(
            Finding(
                "RG104",
                name,
                f"{name} sends the agent through a proxy on this machine ({place})",
                where="environment",
                fix=f'unset {name}\nor routeguard allow proxy {place} --for 2h --reason "…"',
                severity="warning" if policy.proxies_action == "flag" else "error",
            )
        )
    return findings
