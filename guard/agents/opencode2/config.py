"""The configuration that pins opencode 2.x to the gateway.

It is written twice: into private global files, whose policies no repository outranks (run on a
build of July 2026), and into `OPENCODE_CONFIG_CONTENT`, whose values outrank every file (read, for
later builds). Policies of all layers are read in reverse order and the last match decides, so the
denial of everything comes last but for the allowances of ours.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.behind import headers
from guard.agents.opencode.config import MAX_CONTENT as MAX_CONTENT
from guard.agents.opencode.config import NPM
from guard.files import quick_json
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from guard.agents.opencode.route import ProviderModel
    from guard.policy.values import CompiledPolicy, GatewayProvider

EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
"""Variants that can be asked for with `#NAME`: each is declared as an effort of that name."""

QUIET: dict[str, Any] = {"share": "disabled", "autoupdate": False, "update": "disable"}
"""No transcripts and no update check: the first is not implemented in 2.x, the last counts in the
global file alone (read)."""

PERMISSION = ("permission", "tool.use")
"""The action by which a policy forbids a tool: the second name from about 2.0.30 on (read)."""


def split(model: str) -> tuple[str, str]:
    """`MODEL#VARIANT` as (model, variant), "" for no variant."""
    name, _, variant = model.partition("#")
    return name, variant


def pinned(
    policy: CompiledPolicy,
    ids: Mapping[str, str],
    key_variables: Mapping[str, str],
    default: ProviderModel,
    routes: list[ProviderModel],
) -> dict[str, Any]:
    """The part of the configuration that holds the route.

    `key_variables` maps a provider's name to the variable that holds its key at launch; `routes`
    are models to declare beside those of `policy`, since opencode knows declared ones only.
    """
    wanted: dict[str, dict[str, list[str]]] = {
        p.name: {model: [] for model in p.models} for p in policy.providers
    }
    small, _, small_model = policy.small_model.partition("/")
    first, _, first_model = policy.default_model.partition("/")
    asked = [(r.provider, r.model) for r in (default, *routes)]
    for name, typed in ((small, small_model), (first, first_model), *asked):
        model, variant = split(typed)
        if name in wanted:
            variants = wanted[name].setdefault(model, [])
            if variant and variant not in variants:
                variants.append(variant)
    return {
        "model": f"{ids[default.provider]}/{split(default.model)[0]}",
        **QUIET,
        "providers": {
            ids[p.name]: _provider(p, policy.base_url, key_variables[p.name], wanted[p.name])
            for p in policy.providers
        },
        "agents": {"title": {"model": f"{ids[small]}/{small_model}"}},
    }


def _provider(
    entry: GatewayProvider, base_url: str, key_variable: str, models: Mapping[str, list[str]]
) -> dict[str, Any]:
    # no apiKey: then there is no Authorization header (run)
    sent = {"x-portkey-api-key": f"{{env:{key_variable}}}", **headers(entry)}
    declared: dict[str, Any] = {}
    for model, variants in models.items():
        declared[model] = {"modelID": model, "name": model}
        if variants:
            declared[model]["variants"] = [
                {"id": each, "settings": {"reasoningEffort": each}} for each in variants
            ]
    return {
        "name": entry.title,
        "package": f"aisdk:{NPM}",
        "settings": {"baseURL": base_url},
        "headers": sent,
        "models": declared,
    }


def routes_only(ids: Mapping[str, str]) -> list[dict[str, str]]:
    """The statements that hold the route: every provider is denied but ours."""
    found = [_statement("deny", "provider.use", "*")]
    return found + [_statement("allow", "provider.use", name) for name in ids.values()]


def others(
    servers: Collection[str], user: list[dict[str, str]], project: list[dict[str, str]]
) -> list[dict[str, str]]:
    """The statements about everything else, weakest first: the project's, the user's own, ours.

    `servers` are the user's own MCP servers: everything else that would be started is denied, in
    other directories as well (`integration.use`, from 2.0.30 on, read). What the others say about
    that comes last: it holds denials only.
    """
    ours = [_statement("deny", "integration.use", f"{kind}:*") for kind in ("plugin", "mcp")]
    ours += [_statement("allow", "integration.use", f"mcp:{name}") for name in servers]
    last = [each for each in (*project, *user) if each["action"] == "integration.use"]
    return [*project, *user, *ours, *last]


def _statement(effect: str, action: str, resource: str) -> dict[str, str]:
    return {"effect": effect, "action": action, "resource": resource}


class Texts(Record):
    """The configuration as it is written.

    `route` and `rest` are two files of the global directory, `inline` is the variable. A build
    drops a document whole where it does not know the action of a policy in it (run on the preview
    1.18.18 of the core), and may where it does not like a value. So the first file holds the route
    and nothing else; the variable holds no statement about anything else, and with it the user's
    values hold where the second file is dropped.
    """

    route: str
    rest: str
    inline: str


def render(
    route: Mapping[str, Any],
    kept: Mapping[str, Any],
    uses: list[dict[str, str]],
    rest: list[dict[str, str]],
) -> Texts:
    """The texts for the `route` with the statements `uses`, and for what is `kept` of the user's
    with the statements `rest`.

    Policies stand under both of their names: the second counts from 2.0.30 on, and where it does
    the first is still read (documentation of policies, read).
    """
    from guard.agents.opencode.config import merge

    own = {key: value for key, value in kept.items() if key != "experimental"}
    own["agents"] = merge(own.get("agents", {}), route["agents"])
    experimental = kept.get("experimental", {})
    return Texts(
        route=_text({**route, "plugins": []}, {}, uses),
        rest=_text(own, experimental, rest),
        inline=_text({**merge(own, route), "plugins": []}, experimental, uses),
    )


def _text(
    values: Mapping[str, Any], experimental: Mapping[str, Any], said: list[dict[str, str]]
) -> str:
    whole = {
        # a file without it gets it from opencode
        "$schema": "https://opencode.ai/config.json",
        **values,
        "experimental": {**experimental, "policies": said},
        "policies": said,
    }
    return quick_json.dumps(whole, ",", ":")
