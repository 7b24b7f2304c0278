"""The rules: declared once, named the same in a refused launch, a failed commit and the docs.

Hot-path module: the declarations are plain objects. Ids are stable from the first release.
"""

from __future__ import annotations


class Rule:
    """One rule: a stable id, a short name, the severity of its findings, a one-line title."""

    __slots__ = ("id", "name", "severity", "title")

    def __init__(self, id: str, name: str, severity: str, title: str) -> None:  # noqa: A002
        self.id = id
        self.name = name
        self.severity = severity
        self.title = title


_DECLARED = (
    # environment
    Rule("RG101", "direct-provider-key", "error", "a key that reaches a model provider directly"),
    Rule("RG102", "unknown-api-key", "warning", "an API key of an unknown service"),
    Rule("RG103", "foreign-base-url", "error", "a base URL that is not the gateway's"),
    Rule("RG104", "loopback-http-proxy", "error", "an HTTP proxy on this machine"),
    Rule("RG105", "agent-redirect-variable", "error", "a variable that redirects the agent"),
    Rule("RG106", "gateway-key", "error", "the gateway key is missing or cannot be the gateway's"),
    Rule("RG107", "ambient-credential", "note", "another tool's credential that opens a provider"),
    Rule("RG108", "weakened-tls", "error", "TLS verification is switched off or redirected"),
    Rule("RG111", "literal-provider-key", "error", "a provider's key written out in a file"),
    Rule("RG112", "key-handed-to-ci", "error", "a CI job that hands a direct key to a step"),
    Rule("RG113", "client-without-gateway", "warning", "a client that calls its provider directly"),
    # command line
    Rule("RG201", "foreign-provider", "error", "a model provider other than the gateway"),
    Rule("RG202", "foreign-server", "error", "another agent server decides the route"),
    Rule("RG203", "agent-server", "error", "an agent server that other programs can drive"),
    Rule("RG204", "unsupported-agent-version", "error", "a version whose route cannot be held"),
    Rule("RG205", "ambiguous-arguments", "error", "arguments that can be read in two ways"),
    Rule("RG206", "unnamed-provider", "warning", "a call that leaves the provider to chance"),
    Rule("RG207", "unguardable-agent", "error", "an agent that cannot be held to the gateway"),
    # the agent's own files
    Rule("RG301", "code-loading-config", "error", "files that load code into the agent"),
    Rule("RG302", "config-leaves-gateway", "error", "configuration that overrides the route"),
    Rule("RG303", "unreadable-agent-config", "error", "configuration that cannot be read"),
    Rule("RG304", "stored-direct-credential", "note", "a provider credential in the agent's store"),
    Rule("RG305", "remote-config-login", "error", "a login that fetches configuration remotely"),
    Rule("RG306", "program-from-project", "error", "the project brings the agent's program"),
    # local proxies
    Rule("RG401", "local-proxy-service", "error", "a service that runs a model proxy locally"),
    Rule("RG402", "local-proxy-listening", "error", "a model proxy listens on this machine"),
    Rule("RG403", "local-proxy-started", "error", "a command that starts a model proxy"),
    Rule("RG404", "fence-unavailable", "error", "the launch cannot be fenced off on this machine"),
    Rule("RG405", "unguarded-agent", "error", "an agent that is not guarded"),
    # routeguard itself
    Rule("RG501", "policy-invalid", "error", "the policy cannot be read or trusted"),
    Rule("RG502", "agent-not-found", "error", "the agent is not installed"),
    Rule("RG503", "guard-damaged", "error", "routeguard's own files are missing or not safe"),
    Rule("RG504", "directory-from-project", "error", "the project chooses your own directories"),
    # `check` itself
    Rule("RG901", "suppression-without-reason", "warning", "a finding silenced without a reason"),
    Rule("RG902", "unused-suppression", "note", "a suppression that silences nothing"),
    Rule("RG903", "file-not-checked", "note", "a file that could not be checked"),
)

RULES = {rule.id: rule for rule in _DECLARED}
"""Every rule by its id."""
