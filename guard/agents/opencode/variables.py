"""The variables that a launch of opencode sets, and why. Hot-path module."""

from __future__ import annotations

from guard.net import PROXY_VARIABLES

SWITCHES = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
    "OPENCODE_DISABLE_SHARE": "1",
}
"""Switches of opencode that close other ways out; each was tried on 1.18.33."""

CA = "NODE_EXTRA_CA_CERTS"
"""What adds to the certificates that opencode trusts.

Run on 1.18.33, whose npm package holds the compiled binary and no other form, against a server
whose authority nobody knows: with nothing set it trusts Bun's own list and, on Linux, the system's
(/etc/ssl/certs/ca-certificates.crt). This variable adds a file of PEM to both; text between the
certificates is skipped; for DER or a missing file it prints a warning and goes on without.
SSL_CERT_FILE and SSL_CERT_DIR take the place of the system's list. NODE_USE_SYSTEM_CA=1 changes
nothing."""

PROXIES = PROXY_VARIABLES
"""Where opencode looks for its HTTP proxy.

Run on 1.18.33: an https gateway is asked through https_proxy, and without it through HTTPS_PROXY,
by CONNECT; HTTP_PROXY and ALL_PROXY are not used for it. A value without http:// in front works,
user and password in it go out as Proxy-Authorization, and hosts in NO_PROXY are asked directly."""

SETS = {
    **dict.fromkeys(SWITCHES, "keeps other code, configuration and hosts out"),
    "GITLAB_INSTANCE_URL": "keeps opencode from renewing a stored login",
    "OPENCODE_CONFIG_CONTENT": "pins providers, models and sharing",
    "OPENCODE_CONFIG_DIR": "gives back agents, commands and skills of the project",
    "OPENCODE_PERMISSION": "what it forbids is in the pinned config, and what it allows is not",
    "OPENCODE_TEST_HOME": "closes ~/.opencode, whose plugins the agent would import",
    "XDG_CONFIG_HOME": "a private one: everything linked, but no plugins and no tools",
    "PATH": "a nested opencode meets the guard",
    "PWD": "opencode starts from it, and it named another directory",
    "NO_PROXY": "a plain-http gateway, and this machine, are asked without a proxy in between",
    "no_proxy": "a plain-http gateway, and this machine, are asked without a proxy in between",
    CA: "[gateway] ca of your policy",
    **dict.fromkeys(PROXIES, "[gateway] proxy of your policy"),
}
"""Every name that a launch sets, and why; some of them only where there is a reason to."""

UNDOING = frozenset(
    (
        *("OPENCODE_CONFIG", "OPENCODE_CONFIG_DIR", "OPENCODE_PLUGIN_META_FILE"),
        *("OPENCODE_TEST_MANAGED_CONFIG_DIR", "BUN_OPTIONS", "BUN_INSPECT_PRELOAD", "BUN_BE_BUN"),
        *("LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES"),
    )
)
"""What a launch removes because it brings code or configuration of its own into opencode, past
the pinned one. Of the rest that a launch removes, a wrapper script or opencode itself may set some
for its children (`NODE_PATH` by pnpm, `OPENCODE_PID`): that undoes nothing."""
