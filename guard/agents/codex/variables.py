"""The variables of Codex that a launch removes and sets, and why. Hot-path module."""

from __future__ import annotations

from guard.net import PROXY_VARIABLES

PREFIXES = ("CODEX_", "OPENAI_")
"""How the names begin that a launch removes unless they are kept.

Run on 0.171.0: `CODEX_API_KEY` sends a key to OpenAI, `CODEX_OSS_BASE_URL` the prompt to where it
says, `CODEX_EXEC_SERVER_URL` commands and their output; about 60 names of `CODEX_*` occur in the
binary, so what is not known to be harmless goes."""

KEY = "ROUTEGUARD_KEY_"
"""How the variable begins in which Codex finds the gateway key.

The rest of its name is made anew for each launch: an MCP server can ask for any variable by name
(`bearer_token_env_var`), and `$CODEX_HOME/.env` sets any (cases 16 and 27 of the facts)."""

CA = "CODEX_CA_CERTIFICATE"
"""What adds to the certificates that Codex trusts (run on 0.171.0: case 25 of the facts)."""

PROXIES = (*PROXY_VARIABLES, "ALL_PROXY", "all_proxy")
"""Where Codex looks for its HTTP proxy (case 24)."""

SETS = {
    KEY: "the gateway key; the rest of the name is new for each launch",
    "PATH": "a nested agent meets the guard",
    CA: "[gateway] ca of your policy",
    **dict.fromkeys(PROXIES, "[gateway] proxy of your policy"),
    "NO_PROXY": "a plain-http gateway, and this machine, are asked without a proxy in between",
    "no_proxy": "a plain-http gateway, and this machine, are asked without a proxy in between",
}
"""Every name that a launch sets, and why; some of them only where there is a reason to."""
