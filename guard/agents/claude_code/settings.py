"""What a launch gives Claude Code as `--settings` and `--managed-settings`.

Each key was tried on 2.1.332; the numbers are the cases of the facts. Hot-path module; `json` is
imported on first use. Pure.
"""

from __future__ import annotations

from guard.agents.claude_code.variables import QUIET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENVIRONMENT = {
    # further body fields, a model among them (64), and prompts to a telemetry collector (33)
    "CLAUDE_CODE_EXTRA_BODY": "",
    "CLAUDE_CODE_ENABLE_TELEMETRY": "0",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_LOG_USER_PROMPTS": "0",
    "OTEL_LOG_RAW_API_BODIES": "0",
    **QUIET,
}
"""The `env` of `--settings`: what the host switch does not cover, over every file but an
administrator's."""

RESTRICTIONS: dict[str, Any] = {
    # code: hooks (18, 19, 20), plugins (25), shell in skills (26, 27)
    "allowManagedHooksOnly": True,
    "disableAllHooks": True,
    "allowedHttpHookUrls": [],
    "httpHookAllowedEnvVars": [],
    "strictKnownMarketplaces": [],
    "strictPluginOnlyCustomization": ["hooks", "mcp"],
    "disableSkillShellExecution": True,
    "disableSideloadFlags": True,
    # other servers: MCP (22, 23, 24, 61), remote control, connectors
    "allowedMcpServers": [],
    "allowManagedMcpServersOnly": True,
    "disableRemoteControl": True,
    "disableAgentView": True,
    "disableClaudeAiConnectors": True,
    "disableArtifact": True,
}
"""`--managed-settings`: only what restricts counts there, over every settings file.

It holds with all of an administrator's file or with none of it, see `planner`."""


def settings(own: dict[str, Any]) -> str:
    """The text for `--settings`: `own`, which the user gave as one, with ours over it."""
    import json

    environment = own.get("env")
    kept = environment if isinstance(environment, dict) else {}
    return json.dumps(
        {**own, "skipWebFetchPreflight": True, "env": {**kept, **ENVIRONMENT}},
        separators=(",", ":"),
    )


def restrictions() -> str:
    """The text for `--managed-settings`."""
    import json

    return json.dumps(RESTRICTIONS, separators=(",", ":"))
