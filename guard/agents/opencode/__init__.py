"""opencode 1.x: its names, and the variables that stay as they are. Hot-path module."""

from __future__ import annotations

from guard.agents import Identity

NO_GITLAB = "https://gitlab.invalid"
"""What GITLAB_INSTANCE_URL is set to where a login is stored; `.invalid` never resolves (RFC 2606).

Whatever command it runs, opencode renews an expired GitLab login of its store for the instance that
this variable names, without being asked: a module that it imports does (run on 1.18.33)."""

KEEPS = frozenset(
    (
        f"GITLAB_INSTANCE_URL={NO_GITLAB}",  # set by an outer launch
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

`OPENCODE_PERMISSION` is among them: what it forbids is put into the pinned config."""


class OpenCode(Identity):
    """The data of opencode; `adapter.py` adds what is done with it."""

    id = "opencode"
    title = "opencode"
    # early releases of opencode 2 installed the second name
    # (github.com/rjwalters/loom/issues/8438)
    names = ("opencode", "opencode2")
    example = 'opencode run "hi"'
    logout = "opencode auth logout PROVIDER"
    packages = ("opencode-ai", "@opencode/cli", "opencode")
    keeps = KEEPS
