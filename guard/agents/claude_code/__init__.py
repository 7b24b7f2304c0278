"""Claude Code: its names, and the variables that stay as they are. Hot-path module."""

from __future__ import annotations

from guard.agents import Identity

DIRECTORIES = ("CLAUDE_CONFIG_DIR",)
"""The user's settings, login and sessions. A hostile one did not move the pinned route (run, case
35 of the facts), but the hooks and servers that the policy names are taken from it (`own`)."""

KEEPS = frozenset(
    (
        *DIRECTORIES,
        "CLAUDE_BASH_MAINTAIN_PROJECT_WORKING_DIR",
        "CLAUDE_CODE_DISABLE_AUTO_MEMORY",
        "CLAUDE_CODE_DISABLE_TERMINAL_TITLE",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
        "CLAUDE_CODE_MAX_RETRIES",
        "CLAUDE_CODE_NO_FLICKER",
        "CLAUDE_CODE_TMUX_TRUECOLOR",
        "MCP_TIMEOUT",
        "MCP_TOOL_TIMEOUT",
    )
)
"""Names with the prefixes of `variables` that change neither route, nor credentials, nor code."""


class ClaudeCode(Identity):
    """The data of Claude Code; `adapter.py` adds what is done with it."""

    id = "claude-code"
    title = "Claude Code"
    names = ("claude",)
    packages = ("@anthropic-ai/claude-code",)
    example = 'claude -p "hi"'
    directories = DIRECTORIES
    keeps = KEEPS
