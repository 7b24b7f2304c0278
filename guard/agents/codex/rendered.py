"""Codex's files for administrators, rendered from the system policy. Cold. Pure.

`managed_config.toml` outranks `-c` and every other file; `requirements.toml` limits what may be
switched on. Each key was run on 0.171.0, see docs/managed.md. The key is a variable's name, or a
command whose output Codex sends as a bearer token: with `@slug` providers that is Portkey's own
documented form for Codex.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from guard.agents.behind import Route, bare_route, headers
from guard.agents.codex import Codex, settings
from guard.agents.codex.planner import PROVIDER
from guard.agents.managed import KEY_COMMAND, NOTE, Managed

if TYPE_CHECKING:
    from guard.agents.managed import Machine
    from guard.policy.values import CompiledPolicy

FOLDER = "/etc/codex"
"""On macOS, too (https://developers.openai.com/codex/enterprise/managed-configuration)."""

DOMAIN = "com.openai.codex"
"""The preferences that Codex reads on macOS: both files whole, in base64 (same page; not run)."""


def render(policy: CompiledPolicy, machine: Machine) -> Managed:
    """The files for `machine`."""
    route, notes = bare_route(policy, Codex())
    settled = toml(values(policy, machine, route))
    limits = requirements(policy)
    if policy.route_of(Codex.id).mcp:
        notes.append(
            "Codex takes an allow-list of MCP servers by name and address, and the policy has "
            "names alone: a start past routeguard takes any MCP server of the user's own"
        )
    limited = toml(limits)
    encoded = [base64.b64encode(text.encode()).decode() for text in (settled, limited)]
    values_of_domain = dict(
        zip(("config_toml_base64", "requirements_toml_base64"), encoded, strict=True)
    )
    return Managed(
        files=[
            (f"{FOLDER}/managed_config.toml", settled),
            (f"{FOLDER}/requirements.toml", limited),
        ],
        domains=[(DOMAIN, values_of_domain)],
        notes=notes,
    )


def provider(policy: CompiledPolicy, machine: Machine, route: Route) -> dict[str, Any]:
    """The provider's table."""
    entry = route.entry
    if entry.key_env:
        return settings.provider(policy.base_url, entry.key_env, headers(route))
    table = settings.provider(policy.base_url, "", headers(route))
    del table["env_http_headers"]
    return table | {"auth": {"command": machine.program, "args": [KEY_COMMAND]}}


def values(policy: CompiledPolicy, machine: Machine, route: Route) -> dict[str, Any]:
    """The content of `managed_config.toml`, by dotted keys."""
    name = PROVIDER + machine.suffix
    found: dict[str, Any] = {
        "model_provider": name,
        **settings.PINNED,
        "web_search": "disabled",
        f"model_providers.{name}": provider(policy, machine, route),
        **{f"features.{feature}": False for feature in settings.SWITCHES},
    }
    if route.model:
        found["model"] = route.model
    # a list would replace what a user hides, a table adds to it; a launch hides its own besides
    found["shell_environment_policy.set"] = dict.fromkeys(sorted(policy.gateway_keys), "")
    return found


def requirements(policy: CompiledPolicy) -> dict[str, Any]:
    """The content of `requirements.toml`."""
    limits: dict[str, Any] = {
        # an empty list of logins stops every start; "api" keeps a stored login of ChatGPT's from
        # use and leaves its file as it is
        "allowed_login_methods": ["api"],
        # of the model's provider, for which the gateway sees no call
        "allowed_web_search_modes": ["disabled"],
    }
    if not policy.route_of(Codex.id).mcp:
        limits["mcp_servers"] = {}
    return limits


def toml(content: dict[str, Any]) -> str:
    """`content`, by dotted keys, as a TOML file that says where it comes from."""
    lines = [f"# {NOTE}"]
    lines += [f"{key} = {settings.toml(value)}" for key, value in content.items()]
    return "\n".join(lines) + "\n"
