"""Calls of Claude Code in files, read with the launch's own grammar."""

from __future__ import annotations

from guard.agents.claude_code.adapter import AGENT
from guard.rules.agents.addressed import AddressedCalls

CALLS = AddressedCalls(
    AGENT,
    vendor="api.anthropic.com",
    addresses=("ANTHROPIC_BASE_URL", "apiKeyHelper"),
    # github.com/anthropics/claude-code-action, "Setup"
    actions=r"anthropics/claude-code(?:-base)?-action@",
    fix="set ANTHROPIC_BASE_URL={} and ANTHROPIC_CUSTOM_HEADERS with the gateway's key",
    inline={"--settings": ".claude/settings.json", "--mcp-config": ".mcp.json"},
)
