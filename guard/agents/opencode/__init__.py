"""opencode 1.x: its names, its variables, which of them a launch sets, and why. Hot-path module."""

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

SWITCHES = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
    "OPENCODE_DISABLE_SHARE": "1",
}
"""Switches of opencode that close other ways out; each was tried on 1.18.33."""

SETS = {
    **dict.fromkeys(SWITCHES, "turns off another way to code, configuration or another host"),
    "GITLAB_INSTANCE_URL": "keeps opencode from renewing a stored login",
    "OPENCODE_CONFIG_CONTENT": "pins providers, models and sharing",
    "OPENCODE_CONFIG_DIR": "gives back agents, commands and skills of the project",
    "OPENCODE_PERMISSION": "what it forbids is in the pinned config, and what it allows is not",
    "OPENCODE_TEST_HOME": "closes ~/.opencode, whose plugins the agent would import",
    "XDG_CONFIG_HOME": "a private one: everything linked, but no plugins and no tools",
    "PATH": "a nested opencode meets the guard",
    "PWD": "opencode starts from it, and it named another directory",
    "NO_PROXY": "a plain-http gateway is asked without a proxy in between",
    "no_proxy": "a plain-http gateway is asked without a proxy in between",
}
"""Every name that a launch sets, and why; some of them only where there is a reason to."""


class OpenCode(Identity):
    """The data of opencode; `adapter.py` adds what is done with it."""

    id = "opencode"
    title = "opencode"
    # early releases of opencode 2 installed the second name
    # (github.com/rjwalters/loom/issues/8438)
    names = ("opencode", "opencode2")
    packages = ("opencode-ai", "@opencode/cli", "opencode")
    keeps = KEEPS
    switches = SWITCHES
    sets = SETS
