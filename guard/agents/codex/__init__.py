"""Codex: its names, and the variables that stay as they are. Hot-path module."""

from __future__ import annotations

from guard.agents import Identity

DIRECTORIES = ("CODEX_HOME", "CODEX_SQLITE_HOME")
"""Settings and login, and the store of sessions; `facts` looks into them."""

KEEPS = frozenset((*DIRECTORIES, "CODEX_TUI_DISABLE_KEYBOARD_ENHANCEMENT", "CODEX_TUI_ROUNDED"))
"""Names with the prefixes of `variables` that change neither route, nor credentials, nor code."""


class Codex(Identity):
    """The data of Codex; `adapter.py` adds what is done with it."""

    id = "codex"
    title = "Codex"
    names = ("codex",)
    packages = ("@openai/codex",)
    example = 'codex exec "hi"'
    logout = "codex logout"
    directories = DIRECTORIES
    keeps = KEEPS
