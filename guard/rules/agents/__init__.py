"""What is found about one agent: a folder or a module for each; here, which files are whose."""

from __future__ import annotations

import re

from guard.late import late

AGENT_FILES = frozenset(("opencode.json", "opencode.jsonc"))
"""Names of configuration files of agents, anywhere."""

AGENT_FOLDERS = frozenset((".claude", ".opencode", ".codex", ".gemini", ".qwen", ".aider"))
"""Folders in which agents keep their configuration."""

CLAUDE_CODE = "Claude Code"
CODEX = "Codex"
GEMINI = "Gemini CLI"
SERVICE = "opencode 2's background service"
AIDER = "aider"
MCP = "MCP servers"
OTHER = "another agent"

_SETTINGS = {
    CLAUDE_CODE: (
        r"\.claude/settings[^/]*\.json",
        r"\.claude\.json",
        r"managed-settings\.json",
        r"managed-settings\.d/[^/]+\.json",
    ),
    CODEX: (
        r"\.?codex/(?:[^/]+\.)?config\.toml",
        r"\.?codex/(?:managed_config|requirements)\.toml",
        r"\.?codex/auth\.json",
    ),
    GEMINI: (
        r"\.(?:gemini|qwen)/settings\.json",
        r"gemini-cli/(?:settings|system-defaults)\.json",
        r"gemini-extension\.json",
    ),
    # what its environment is, beside its port and password (facts: opencode 2, section 4)
    SERVICE: (r"opencode/service\.json",),
    AIDER: (r"\.aider\.conf\.ya?ml",),
    # modelcontextprotocol.io, "Connect to local servers", and the pages of the editors
    MCP: (
        r"\.?mcp\.json",
        r"mcp_config\.json",
        r"(?:cline_)?mcp_settings\.json",
        r"claude_desktop_config\.json",
        r"\.claude-plugin/plugin\.json",
        r"\.continue/mcpservers/[^/]+\.(?:json|ya?ml)",
        r"\.vscode/mcp\.json",
    ),
    OTHER: (
        r"\.?crush\.json",
        r"\.?zed/settings\.json",
        r"\.continue/config\.(?:json|ya?ml)",
        r"\.pi/agent/models\.json",
        r"(?:\.config/)?goose/config\.yaml",
    ),
}
"""The ends of the paths at which an agent, or an editor with one, keeps its settings."""

_OWNERS = [
    (owner, late(rf"(?:.*/)?(?:{'|'.join(ends)})", re.I | re.S))
    for owner, ends in _SETTINGS.items()
]

_CODEX_HOME = late(
    r"(?:.*/)?\.?codex/(?:\.env|(?:environments|managed_config|requirements)\.toml)", re.I | re.S
)


def settings_of(path: str) -> str:
    """Whose settings lie at `path`, one of the names above; "" if it is no such file."""
    if not path.lower().endswith((".json", ".toml", ".yml", ".yaml")):
        return ""
    return next((owner for owner, pattern in _OWNERS if pattern.fullmatch(path)), "")


def is_of_codex_home(path: str) -> bool:
    """Whether a launch of Codex reads `path` and cannot override it: `.env` and
    `environments.toml` of CODEX_HOME, and an administrator's settings."""
    return path.lower().endswith((".env", ".toml")) and _CODEX_HOME.fullmatch(path) is not None
