"""Where a launch of opencode would go without routeguard.

The order of layers is the one read in the source of opencode 1.18.33: the administrator's files
over inline config over `.opencode` folders over project files over the user's files; any one
variable of a provider opens it; the maker's hosted free models are always open, and answer when
nothing else does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from guard.agents.today import Say, Today
from guard.catalog import entries
from guard.files import jsonc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.opencode.facts import Facts
    from guard.catalog.entries import Provider

HOSTED = "a hosted free model of the agent's maker (provider opencode, opencode.ai)"
"""Where a call goes when no provider is open; run on 1.18.33."""

_HOSTED_ID = "opencode"


def unguarded(facts: Facts) -> Today:
    """Work out where the launch would go today. Names only, never a value of a variable."""
    providers = entries.providers()
    today = Today()
    model = ""
    typed = [o.value for o in facts.invocation.named("model", "m") if o.value]
    if typed:
        model = typed[-1]
        today.says.append(Say("command line", "", f"asks for {model}"))
    for layer, where, content in _layers(facts):
        said = _said(content)
        if said:
            today.says.append(Say(layer, where, said))
        if not model and isinstance(content.get("model"), str):
            model = content["model"]
    opened = _opened(facts.environ, providers)
    for name, ids in opened.items():
        today.says.append(Say("environment", name, f"opens {', '.join(ids)}"))
    direct = [provider for provider, kind in facts.found.credentials if kind != "wellknown"]
    if direct:
        today.says.append(
            Say("credential store", facts.found.credentials_file, f"opens {', '.join(direct)}")
        )
    open_ids = [i for ids in opened.values() for i in ids] + direct
    provider = model.partition("/")[0]
    if model and (provider in (*open_ids, _HOSTED_ID) or _defines(facts, provider)):
        today.route = f"{model}, straight to {_place(facts, provider, providers)}"
    elif model:
        today.route = f"{model} is not available: the agent would stop with an error"
    elif open_ids:
        today.route = (
            f"a model of {open_ids[0]}, straight to {_place(facts, open_ids[0], providers)}"
        )
    else:
        today.route = HOSTED
    return today


def _layers(facts: Facts) -> list[tuple[str, str, dict[str, Any]]]:
    layers = [("managed config", c.path, c.content) for c in reversed(facts.found.managed)]
    inline = facts.environ.get("OPENCODE_CONFIG_CONTENT", "")
    if inline.strip():
        try:
            layers.append(("inline config", "OPENCODE_CONFIG_CONTENT", jsonc.parse(inline)))
        except jsonc.UnreadableError:
            pass
    # folders over files, whatever the distance
    project = sorted(
        facts.found.project, key=lambda c: not os.path.dirname(c.path).endswith("/.opencode")
    )
    layers += [("project config", c.path, c.content) for c in project]
    layers += [("user config", c.path, c.content) for c in reversed(facts.found.user)]
    return layers


def _said(content: Mapping[str, Any]) -> str:
    said = []
    if isinstance(content.get("model"), str):
        said.append(f"sets the model {content['model']}")
    for key in ("provider", "providers"):
        if isinstance(content.get(key), dict) and content[key]:
            said.append(f"defines {', '.join(content[key])}")
    for key in ("enabled_providers", "disabled_providers"):
        if key in content:
            said.append(f"sets {key}")
    return "; ".join(said)


def _opened(environ: Mapping[str, str], providers: Mapping[str, Provider]) -> dict[str, list[str]]:
    opened: dict[str, list[str]] = {}
    for provider in providers.values():
        for name in provider.env:
            if environ.get(name):
                opened.setdefault(name, []).append(provider.id)
    return opened


def _defines(facts: Facts, provider: str) -> bool:
    for _, _, content in _layers(facts):
        for key in ("provider", "providers"):
            if isinstance(content.get(key), dict) and provider in content[key]:
                return True
    return False


def _place(facts: Facts, provider: str, providers: Mapping[str, Provider]) -> str:
    """Where calls to `provider` go: a base URL in a config is named by its file, never shown."""
    for _, path, content in _layers(facts):
        found: Any = content
        for key in ("provider", provider, "options", "baseURL"):
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str):
            return f"the baseURL in {path}"
    entry = providers.get(provider)
    return entry.host or entry.name if entry is not None else "the place its config names"
