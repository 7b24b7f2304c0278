"""Claude Code's `managed-settings.json`, rendered from the system policy. Cold. Pure.

It outranks every other settings file, `--settings` and the shell's variables; each key was run on
2.1.332, see docs/managed.md. Comments in it are refused, an unknown key is not. The helper's output
goes out as a bearer token and as `x-api-key`: no settings file can put it into another header.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from guard.agents.behind import Route, bare_route, headers
from guard.agents.claude_code import ClaudeCode
from guard.agents.claude_code.facts import MERGE, folder_of
from guard.agents.claude_code.settings import CODE, ENVIRONMENT, RESTRICTIONS, TRACES, limits
from guard.agents.claude_code.today import CLOUDS, CREDENTIALS
from guard.agents.claude_code.variables import CA, base_url
from guard.agents.managed import KEY_COMMAND, MACOS, NOTE, Managed

if TYPE_CHECKING:
    from guard.agents.managed import Machine
    from guard.policy.values import CompiledPolicy

DOMAIN = "com.anthropic.claudecode"
"""Preferences with the same keys (https://code.claude.com/docs/en/settings; not run)."""

CLOSED = (
    # a project's settings took the check of certificates away, or brought some of its own, and read
    # prompt and key (run; empty, both counted no longer, also where the shell had set them)
    "NODE_TLS_REJECT_UNAUTHORIZED",
    CA,
    # programs and code that it would choose, and where git would write the values of variables;
    # `PATH` and the like have a value of the user's own
    *CODE,
    *TRACES,
)
"""Variables that are emptied, because the `env` of a repository's settings can set them."""


def render(policy: CompiledPolicy, machine: Machine) -> Managed:
    """The file for `machine`."""
    route, notes = bare_route(policy, ClaudeCode())
    own = policy.route_of(ClaudeCode.id)
    if own.mcp or own.hooks:
        notes.append(
            f"{ClaudeCode.title}: this file cannot tell a user's MCP servers and hooks from a "
            "project's, and closes them all, for guarded launches as well"
        )
    content = values(policy, machine, route)
    text = json.dumps({"//": NOTE, **content}, indent=2) + "\n"
    folder = folder_of(macos=machine.platform == MACOS)
    return Managed([(f"{folder}/managed-settings.json", text)], [(DOMAIN, content)], notes)


def values(policy: CompiledPolicy, machine: Machine, route: Route) -> dict[str, Any]:
    """The settings."""
    return {
        "env": environment(policy, route),
        "apiKeyHelper": f"{shlex.quote(machine.program)} {KEY_COMMAND}",
        "skipWebFetchPreflight": True,
        **RESTRICTIONS,
        **limits(policy.route_of(ClaudeCode.id).models),
        # a launch's own restrictions count beside these
        MERGE: "merge",
    }


def environment(policy: CompiledPolicy, route: Route) -> dict[str, str]:
    """The variables: over those of the shell and of every other file.

    Empty ones take away what would choose another cloud, or be sent in the helper's place.
    """
    found = dict.fromkeys((*CREDENTIALS, *CLOUDS, *CLOSED), "")
    found["ANTHROPIC_BASE_URL"] = base_url(policy)
    found["ANTHROPIC_CUSTOM_HEADERS"] = "\n".join(
        f"{name}: {value}" for name, value in headers(route).items()
    )
    if route.model:
        found["ANTHROPIC_MODEL"] = route.model
    if route.small:
        found["ANTHROPIC_DEFAULT_HAIKU_MODEL"] = route.small
    if policy.gateway_ca:
        found[CA] = policy.gateway_ca
    if policy.gateway_proxy:
        found.update(dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), policy.gateway_proxy))
    return {**found, **ENVIRONMENT}
