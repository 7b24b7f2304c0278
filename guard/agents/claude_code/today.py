"""Where a launch of Claude Code would go without routeguard.

The order is the one of the facts (2.1.332): the `env` of a settings file overrides the shell, and
of the files the later of user, project, local, `--settings` and an administrator's wins; without
a terminal a project's file counts in a folder that nobody trusted, too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from guard.agents.claude_code.own import config_directory
from guard.agents.today import Say, Today
from guard.files import jsonc

if TYPE_CHECKING:
    from guard.agents.claude_code.facts import Facts

CLOUDS = {
    "CLAUDE_CODE_USE_ANTHROPIC_AWS": "Anthropic on AWS",
    "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD": "Anthropic on Google Cloud",
    "CLAUDE_CODE_USE_BEDROCK": "Amazon Bedrock",
    "CLAUDE_CODE_USE_FOUNDRY": "Microsoft Foundry",
    "CLAUDE_CODE_USE_GATEWAY": "a gateway of its own settings",
    "CLAUDE_CODE_USE_MANTLE": "Mantle",
    "CLAUDE_CODE_USE_VERTEX": "Google Vertex AI",
}
CREDENTIALS = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN")


def unguarded(facts: Facts) -> Today:
    """Work out where the launch would go today. Names only, never a value that is a secret."""
    today = Today()
    route = "api.anthropic.com"
    layers = [("environment", "", dict(facts.environ))]
    layers += [(layer, path, env) for layer, path, env in _files(facts)]
    for layer, path, env in layers:
        for name, cloud in CLOUDS.items():
            if env.get(name, "0").strip().lower() not in ("", "0", "false", "no", "off"):
                route = cloud
                today.says.append(Say(layer, path or name, f"{name} turns on {cloud}"))
        address = env.get("ANTHROPIC_BASE_URL", "")
        if address and route not in CLOUDS.values():
            route = address
            today.says.append(Say(layer, path or "ANTHROPIC_BASE_URL", f"base URL {address}"))
    named = [name for name in CREDENTIALS if facts.environ.get(name)]
    for name in named:
        today.says.append(Say("environment", name, "is sent as the credential"))
    login = os.path.join(config_directory(facts.environ), ".credentials.json")
    stored = os.path.exists(login)
    if stored:
        today.says.append(Say("stored login", login, "is used where no variable is set"))
    if not named and not stored and route == "api.anthropic.com":
        today.route = "nowhere: the agent asks for a login"
    else:
        today.route = f"{route}, directly"
    today.says.reverse()
    return today


def _files(facts: Facts) -> list[tuple[str, str, dict[str, str]]]:
    directory = facts.working_directory
    found = []
    for layer, path in (
        ("user settings", os.path.join(config_directory(facts.environ), "settings.json")),
        ("project settings", os.path.join(directory, ".claude", "settings.json")),
        ("local settings", os.path.join(directory, ".claude", "settings.local.json")),
    ):
        try:
            content = jsonc.read(path) or {}
        except jsonc.UnreadableError:
            continue
        found.append((layer, path, _texts(content.get("env"))))
    found.append(("--settings", "command line", _texts(facts.given.get("env"))))
    for one in facts.managed:
        found.append(("managed settings", one.path, _texts(one.content.get("env"))))
    return found


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str)}
