"""What is found about one agent: a folder or a module for each."""

AGENT_FILES = frozenset(("opencode.json", "opencode.jsonc"))
"""Names of configuration files of agents, anywhere."""

AGENT_FOLDERS = frozenset((".claude", ".opencode", ".codex", ".gemini", ".qwen", ".aider"))
"""Folders in which agents keep their configuration."""
