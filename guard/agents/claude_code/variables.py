"""The variables of Claude Code that a launch removes and sets, and why. Hot-path module."""

from __future__ import annotations

from guard.net import PROXY_VARIABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guard.policy.values import CompiledPolicy

PREFIXES = (
    "ANTHROPIC_",
    "ANT_",
    "BETA_TRACING",
    "CCR_",
    "CLAUDE_",
    "CLOUD_ML_",
    "GCE_METADATA_",
    "GRPC_",
    "MCP_",
    "OTEL_",
    "SELF_HOSTED_RUNNER_",
    "SESSION_INGRESS",
    "USE_LOCAL_OAUTH",
    "USE_STAGING_OAUTH",
    "VERTEX_",
    "VOICE_",
    "_CLAUDE_",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "RES_OPTIONS",
)
"""How the names begin that a launch removes unless they are kept.

About 900 names of `CLAUDE_*` and `ANTHROPIC_*` occur in the bundle of 2.1.332, so what is not
known to be harmless goes. Credentials of clouds (`AWS_*`, `GOOGLE_*`) stay for other tools: only
the switches that these prefixes cover make Claude Code use them."""

QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    # `/login`, typed into a session, would store a login that works without the gateway (run)
    "DISABLE_LOGIN_COMMAND": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_UPDATES": "1",
}
"""Switches that keep Claude Code from hosts other than the gateway, and its binary as it is.

A settings file can switch them off again, so `--settings` repeats them (case 103)."""

SWITCHES = {**QUIET, "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST": "1"}
"""What has the same value in every launch."""

TOKEN = "portkey"  # noqa: S105
"""What is sent as the provider's own credential: it must be set, and it opens nothing.

Without it 2.1.332 says "Not logged in"; the open-source gateway hands it on to a raw provider."""

CA = "NODE_EXTRA_CA_CERTS"
"""What adds to the certificates that Claude Code trusts. From the shell it does so with the host
switch, too (run on 2.1.332: case 90 of the facts); from a settings file it does not."""

PROXIES = PROXY_VARIABLES
"""Where Claude Code looks for its HTTP proxy (Bun's names; case 60)."""

SETS = {
    **dict.fromkeys(QUIET, "turns off telemetry, updates, /login and other hosts"),
    "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST": "settings files cannot move the route",
    "ANTHROPIC_BASE_URL": "the gateway",
    "ANTHROPIC_AUTH_TOKEN": "stands in for a provider's key; the gateway's is in a header",
    "ANTHROPIC_CUSTOM_HEADERS": "the gateway key, and the provider behind the gateway",
    "ANTHROPIC_MODEL": "the model of the policy",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL": "the small model of the policy",
    "PATH": "a nested agent meets the guard",
    CA: "[gateway] ca of your policy",
    **dict.fromkeys(PROXIES, "[gateway] proxy of your policy"),
    "NO_PROXY": "a plain-http gateway, and this machine, are asked without a proxy in between",
    "no_proxy": "a plain-http gateway, and this machine, are asked without a proxy in between",
}
"""Every name that a launch sets, and why; some of them only where there is a reason to."""


def base_url(policy: CompiledPolicy) -> str:
    """ANTHROPIC_BASE_URL: the gateway's without `/v1`, for the agent asks for /v1/messages."""
    return policy.base_url.removesuffix("/v1")
