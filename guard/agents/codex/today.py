"""Where a launch of Codex would go without routeguard.

The order is the one of the facts (0.171.0): an administrator's file over the arguments, those over
a profile, that over the user's settings, those over the system's. A project's settings move no
route. Without any, the calls go to OpenAI, by a stored login or a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.agents.codex import facts as read
from guard.agents.codex import settings
from guard.agents.codex.facts import Settings
from guard.agents.today import Say, Today

if TYPE_CHECKING:
    from guard.agents.codex.facts import Facts

_BUILT_IN = {"ollama": "localhost:11434", "lmstudio": "localhost:1234"}
"""Addresses of providers that need no table (run: case 21 for the first)."""


def unguarded(facts: Facts) -> Today:
    """Work out where the launch would go today. Names and addresses only, never a secret."""
    today = Today()
    invocation = facts.invocation
    arguments: dict[str, object] = {}
    for key, text in settings.typed(invocation.values("--config")):
        arguments[key] = settings.typed_value(text)
    layers = [
        *facts.of(*read.OWN),
        Settings("arguments", "command line", arguments),
        *facts.of(read.MANAGED),
    ]
    chosen = "openai"
    addresses = dict(_BUILT_IN)
    address = "api.openai.com"
    for layer in layers:
        for name, entry in layer.table("model_providers").items():
            if isinstance(entry, dict) and isinstance(entry.get("base_url"), str):
                addresses[name] = entry["base_url"]
        for key, value in layer.content.items():
            first, _, rest = key.partition(".")
            if first == "model_providers" and rest.endswith(".base_url"):
                addresses[rest.removesuffix(".base_url")] = str(value)
        named = layer.content.get("model_provider")
        if isinstance(named, str):
            chosen = named
            today.says.append(Say(layer.layer, layer.path, f"model provider {named}"))
        moved = layer.content.get("openai_base_url")
        if isinstance(moved, str):
            address = moved
            today.says.append(Say(layer.layer, layer.path, f"openai_base_url {moved}"))
    if invocation.named("--oss", "--local-provider"):
        chosen = next(iter(invocation.values("--local-provider")), "ollama")
        today.says.append(Say("arguments", "command line", f"--oss: {chosen} on this machine"))
    for name in ("CODEX_API_KEY", "CODEX_ACCESS_TOKEN"):
        if facts.environ.get(name):
            today.says.append(Say("environment", name, "is sent as the credential"))
    if facts.login:
        today.says.append(Say("stored login", f"{facts.home}/auth.json", "is used"))
    today.route = f"{address if chosen == 'openai' else addresses.get(chosen, chosen)}, directly"
    today.says.reverse()
    return today
