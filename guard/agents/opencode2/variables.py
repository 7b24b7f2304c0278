"""The variables that a launch of opencode 2 sets, and why. Hot-path module."""

from __future__ import annotations

from guard.agents.opencode.variables import CA as CA
from guard.agents.opencode.variables import PROXIES as PROXIES
from guard.agents.opencode.variables import UNDOING as OLDER_UNDOING

SWITCHES = {
    "OPENCODE_CONFIG_PROJECT_DISABLE": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
}
"""Switches that close other ways out: the model list was run, the others read.

`OPENCODE_CONFIG_PROJECT_DISABLE` counts before the older name of the same switch, so both are
set (read in the source of the server at 02f41ddf)."""

REAL_STATE_HOME = "ROUTEGUARD_STATE_HOME"
"""Set below a launch, whose state home is ours: the user's own, empty if unset."""

LOOPBACK_REASON = "this machine is asked without a proxy: the agent talks to its own server"

SETS = {
    "OPENCODE_CONFIG_PROJECT_DISABLE": "keeps the project's configuration and code out",
    "OPENCODE_DISABLE_AUTOUPDATE": "the agent does not update itself below a launch",
    "OPENCODE_DISABLE_MODELS_FETCH": "keeps other hosts out",
    "OPENCODE_DISABLE_PROJECT_CONFIG": "keeps the project's configuration and code out",
    "OPENCODE_CONFIG_CONTENT": "pins providers and models a second time",
    "XDG_CONFIG_HOME": "a private one: the policy and the providers, and no plugins",
    "XDG_STATE_HOME": "a private one: no background service is found through it",
    "PATH": "a nested opencode meets the guard",
    "PWD": "it named another directory",
    "NO_PROXY": LOOPBACK_REASON,
    "no_proxy": LOOPBACK_REASON,
    CA: "[gateway] ca of your policy",
    **dict.fromkeys(PROXIES, "[gateway] proxy of your policy"),
}
"""Every name that a launch sets, and why; some of them only where there is a reason to."""

UNDOING = OLDER_UNDOING | {"OPENCODE_TEST_HOME", "OPENCODE_DB", "OPENCODE_SIMULATE"}
"""What a launch removes because it brings code or configuration of its own into opencode."""
