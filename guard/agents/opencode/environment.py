"""The environment a guarded opencode starts with.

What is removed and why, by the kind the catalogue gives each name. opencode hands its own
environment to the shells, MCP servers and agents it starts, so credentials that other tools need
(`GITHUB_TOKEN`, `AWS_*`) stay: the pinned allow-list of providers makes them harmless (run on
1.18.33 with all 221 catalogue names set).

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.catalog.classify import classify
from guard.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.policy.compiled import CompiledPolicy

KEPT_AGENT_VARIABLES = frozenset(
    (
        "OPENCODE_CALLER",
        "OPENCODE_CLIENT",
        "OPENCODE_DISABLE_AUTOCOMPACT",
        "OPENCODE_DISABLE_CLAUDE_CODE",
        "OPENCODE_DISABLE_CLAUDE_CODE_PROMPT",
        "OPENCODE_DISABLE_CLAUDE_CODE_SKILLS",
        "OPENCODE_DISABLE_EXTERNAL_SKILLS",
        "OPENCODE_DISABLE_MOUSE",
        "OPENCODE_DISABLE_PRUNE",
        "OPENCODE_DISABLE_TERMINAL_TITLE",
        "OPENCODE_LOG_LEVEL",
        "OPENCODE_PERMISSION",
        "OPENCODE_PRINT_LOGS",
    )
)
"""The `OPENCODE_*` names that change neither route, nor credentials, nor code (1.18.33).

`OPENCODE_PERMISSION` is among them: taking away what a user set there could only loosen it."""

SWITCHES = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
    "OPENCODE_DISABLE_SHARE": "1",
}
"""Switches of opencode that close other ways out; each was tried on 1.18.33."""

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
"""The proxy variables opencode honours; it ignores `ALL_PROXY` (run on 1.18.33)."""

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
    environ: Mapping[str, str], policy: CompiledPolicy, now: float, *, agent: bool
) -> tuple[dict[str, str], list[Change], list[Finding]]:
    """`environ` without what leaves the gateway; the changes; and what the reader should know.

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
        if not rule or name in KEPT_AGENT_VARIABLES or (kind == "runtime" and not agent):
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


def host_of(url: str) -> str:
    """The host of an http or https URL, in lower case, without brackets and port."""
    return proxy_address(url)[0]


def proxies(environ: Mapping[str, str], policy: CompiledPolicy, now: float) -> list[Finding]:
    """A finding for each HTTP proxy on this machine that the policy does not except.

    A proxy on loopback sees the prompt and the gateway key of a plain-http gateway, and of an
    https one whenever its certificate is trusted (run on 1.18.33).
    """
    findings = []
    for name in PROXY_VARIABLES:
        value = environ.get(name, "")
        host, port = proxy_address(value)
        if not host or not is_loopback(host):
            continue
        address = authority(host, port)
        if policy.excepted(f"proxy:{address}", now) is not None:
            continue
        findings.append(
            Finding(
                "RG104",
                name,
                f"{name} sends the agent through a proxy on this machine ({address})",
                where="environment",
                fix=f'unset {name}\nor routeguard allow proxy {address} --for 2h --reason "…"',
                severity="warning" if policy.proxies_action == "flag" else "error",
            )
        )
    return findings


def authority(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def proxy_address(value: str) -> tuple[str, int]:
    """Host and port of a proxy URL; ("", 0) if there is none.

    Read as the WHATWG URL standard reads http and https: slashes and backslashes after the scheme
    in any number, the authority up to the next of `/ \\ ? #`, the host percent-decoded. A missing
    scheme is tolerated.
    """
    text = "".join(c for c in value.strip() if c.isprintable())
    scheme, rest = "http", text
    lowered = text.lower()
    if lowered.startswith(("http:", "https:")):
        scheme, _, rest = lowered.partition(":")
        rest = rest.lstrip("/\\")
    elif "://" in lowered:
        scheme, _, rest = lowered.partition("://")
    end = min((at for at in map(rest.find, "/\\?#") if at >= 0), default=len(rest))
    authority = rest[:end].rpartition("@")[2]
    if authority.startswith("["):
        host, _, tail = authority[1:].partition("]")
        port = tail.removeprefix(":")
    else:
        host, _, port = authority.partition(":")
    if "%" in host:
        from urllib.parse import unquote

        host = unquote(host)
    if not host:
        return "", 0
    default = 443 if scheme == "https" else 80
    return host.lower(), int(port) if port.isascii() and port.isdigit() and len(
        port
    ) < 6 else default


_NAMES_OF_THIS_MACHINE = frozenset(
    (
        "localhost",
        "localhost.localdomain",
        "localhost6",
        "localhost6.localdomain6",
        "ip6-localhost",
        "ip6-loopback",
    )
)
"""Names that the hosts files of Debian, Fedora and macOS give to this machine."""


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine: loopback, unspecified, or a spelling of them."""
    host = host.lower().rstrip(".")
    if host in _NAMES_OF_THIS_MACHINE or host.endswith(".localhost") or host.startswith("127."):
        return True
    import socket

    # inet_aton reads what connect() reads: 127.1, 0x7f000001, 2130706433
    try:
        packed = socket.inet_aton(host)
        return packed[0] == 127 or packed == b"\0\0\0\0"
    except OSError:
        pass
    try:
        six = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except (OSError, ValueError):
        return False
    if six[:12] == b"\0" * 10 + b"\xff\xff":
        return six[12] == 127 or six[12:] == b"\0\0\0\0"
    return six in (b"\0" * 15 + b"\x01", b"\0" * 16)


def without_proxy(environ: Mapping[str, str], host: str) -> dict[str, str]:
    """`NO_PROXY` in both spellings, extended by `host`: a plain-http gateway is asked directly."""
    current = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    hosts = [h.strip() for h in current.split(",") if h.strip()]
    # an IPv6 literal is compared with its brackets (run on 1.18.33), or without by other programs
    for spelling in [host, f"[{host}]"] if ":" in host else [host]:
        if spelling not in hosts:
            hosts.append(spelling)
    joined = ",".join(hosts)
    return {"NO_PROXY": joined, "no_proxy": joined}
