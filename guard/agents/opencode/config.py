"""The config that pins opencode 1.x to the gateway, and what of the user's own survives in it.

`OPENCODE_CONFIG_CONTENT` outranks every user and project file (run on 1.18.33). Objects of all
layers are merged deeply and arrays are replaced, so every key by which a lower layer could change
the route is set here, and the providers have ids that no other layer can name.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.behind import headers
from guard.agents.plan import LONGEST
from guard.files import quick_json
from guard.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

    from guard.agents.opencode.route import ProviderModel, Router
    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy, GatewayProvider

NPM = "@ai-sdk/openai-compatible"
"""The SDK bundled with opencode that speaks the gateway's dialect."""

MAX_CONTENT = LONGEST - len("OPENCODE_CONFIG_CONTENT=") - 1
"""Bytes that the value of the variable may hold."""

NOWHERE = "https://share.invalid"
"""Where transcripts would be uploaded: `.invalid` never resolves (RFC 2606)."""

BY_NAME = ("agent", "command", "default_agent", "mode", "permission", "tools")
"""Keys about agents, commands and what they may do: what of them is kept, `keeping` decides."""

FROM_USER = (
    "attachment",
    "compaction",
    "formatter",
    "instructions",
    "keybinds",
    "layout",
    "logLevel",
    "lsp",
    "mcp",
    "shell",
    "skills",
    "snapshot",
    "subagent_depth",
    "theme",
    "tool_output",
    "tui",
    "username",
    "watcher",
)
"""Further keys of the user's own global config that are kept: none of them chooses a route."""

FROM_INLINE = (
    "instructions",
    "keybinds",
    "layout",
    "snapshot",
    "theme",
    "tui",
    "username",
)
"""Keys of an inline config that are kept. Fewer: a directory's environment can set it."""

FROM_PROJECT = ("instructions",)
"""Keys of a project's config that are given back: words for the model, no route and no program."""

ALWAYS: dict[str, Any] = {
    "share": "disabled",
    "autoshare": False,
    "autoupdate": False,
    "enterprise": {"url": NOWHERE},
    "experimental": {"openTelemetry": False},
    "plugin": [],
}
"""What every pinned config says, whatever the policy: no transcripts, telemetry or plugins."""

_WHY = {
    **dict.fromkeys(("formatter", "lsp", "mcp", "shell"), "only your own config starts programs"),
    **dict.fromkeys(("keybinds", "layout", "theme", "tui", "username"), "your own config sets it"),
    **dict.fromkeys(
        ("attachment", "compaction", "logLevel", "snapshot", "subagent_depth", "tool_output"),
        "your own config sets how the agent works",
    ),
    "skills": "skills come from the folders .opencode, .claude and .agents",
    "watcher": "your own config sets how the agent works",
}
"""Why a key that another layer may set is not taken from this one."""

ROUTE_KEYS = (
    "autoshare",
    "disabled_providers",
    "enabled_providers",
    "enterprise",
    "experimental",
    "model",
    "plugin",
    "plugins",
    "policies",
    "provider",
    "providers",
    "reference",
    "references",
    "share",
    "small_model",
)
"""Top-level keys by which a config decides where prompts go or what code runs."""


def provider_ids(policy: CompiledPolicy, suffix: str) -> dict[str, str]:
    """The id each gateway provider has in the pinned config.

    The suffix is random per user: a repository that cannot name our provider cannot merge a
    header, a model or an SDK into it.
    """
    return {p.name: f"{p.name}-{suffix}" for p in policy.providers}


def pinned(
    policy: CompiledPolicy,
    ids: Mapping[str, str],
    key_variables: Mapping[str, str],
    default: ProviderModel,
    routes: list[ProviderModel],
    hidden: Collection[str] = (),
) -> dict[str, Any]:
    """The part of the config that holds the route.

    `key_variables` maps a provider's name to the variable that holds its key at launch;
    `routes` are further models to declare, since opencode accepts declared models only. `hidden`
    are the ids of all other providers: without them opencode starts with what it has of them,
    renews their logins and hands their keys on to programs, and only then leaves them out of its
    list, for which the allow-list alone would do (read in the source of 1.18.33, and run).
    """
    small = _split(policy.small_model)
    wanted: dict[str, list[str]] = {p.name: list(p.models) for p in policy.providers}
    for name, model in (
        _split(policy.default_model),
        small,
        (default.provider, default.model),
        *((route.provider, route.model) for route in routes),
    ):
        if name in wanted and model not in wanted[name]:
            wanted[name].append(model)
    return {
        "model": f"{ids[default.provider]}/{default.model}",
        "small_model": f"{ids[small[0]]}/{small[1]}",
        "enabled_providers": [ids[p.name] for p in policy.providers],
        "disabled_providers": sorted(hidden),
        **ALWAYS,
        "provider": {
            ids[p.name]: _provider(p, policy.base_url, key_variables[p.name], wanted[p.name])
            for p in policy.providers
        },
    }


def _provider(
    entry: GatewayProvider, base_url: str, key_variable: str, models: list[str]
) -> dict[str, Any]:
    # the key goes only into x-portkey-api-key: in Authorization, beside a raw provider name,
    # Portkey forwards it to that provider (docs: api-reference/inference-api/headers)
    sent = {"x-portkey-api-key": f"{{env:{key_variable}}}", **headers(entry)}
    return {
        "npm": NPM,
        "name": entry.title,
        "api": base_url,
        "env": [],
        # an empty one, or a key that is stored under our id would go into Authorization (run)
        "options": {"baseURL": base_url, "apiKey": "", "headers": sent},
        "whitelist": models,
        "blacklist": [],
        "models": {
            model: {
                "id": model,
                "name": model,
                "status": "active",
                "provider": {"npm": NPM, "api": base_url},
            }
            for model in models
        },
    }


def note(subject: str, message: str, where: str) -> Finding:
    """The note on what a launch makes of `subject` in the configuration at `where`."""
    return Finding("RG302", subject, message, where=where, severity="note")


def left_out(subject: str, why: str, where: str) -> Finding:
    """The note on `subject` in the configuration at `where`, which a launch leaves out."""
    return note(subject, f"left out: {why}", where)


def kept_from(
    config: Mapping[str, Any],
    keys: tuple[str, ...],
    *,
    where: str,
    environ: Mapping[str, str],
    instructions: list[str],
    substitutes: bool = True,
    withheld: Collection[str] = (),
) -> tuple[dict[str, Any], list[Finding]]:
    """What of a config goes into ours besides agents and permissions, and notes on the rest.

    `where` names the layer in the notes; `instructions` are the files its `instructions` mean.
    Without `substitutes` nothing that holds `{env:…}` is kept: a repository must not choose which
    variable goes into a prompt.
    """
    kept: dict[str, Any] = {}
    notes: list[Finding] = []
    dropped: dict[str, list[str]] = {}
    for key in sorted(config):
        if key not in keys and key not in BY_NAME and key != "$schema":
            dropped.setdefault(_why_not(key), []).append(key)
    for reason, names in dropped.items():
        notes.append(left_out(", ".join(names), reason, where))
    for key in keys:
        if key not in config:
            continue
        value = config[key]
        if key == "instructions":
            value = instructions
        elif key == "skills" and isinstance(value, dict) and "urls" in value:
            value = {k: v for k, v in value.items() if k != "urls"}
            notes.append(left_out("skills.urls", "they are fetched at every start", where))
        for name, entry in _entries(key, value):
            reason = unsafe_substitution(entry, environ, withheld=withheld)
            if not substitutes and reads_variables(entry):
                reason = "it reads a variable with {env:…}"
            if not reason:
                continue
            subject = f"{key}.{name}" if name else key
            notes.append(left_out(subject, reason, where))
            if not name or not isinstance(value, dict):
                break
            value = {n: e for n, e in value.items() if n != name}
        else:
            kept[key] = value
    return kept, notes


def _why_not(key: str) -> str:
    if key in ROUTE_KEYS or key in ("autoupdate", "server"):
        return "the pinned config decides these"
    return _WHY.get(key, "not a key that routeguard knows")


def _entries(key: str, value: object) -> list[tuple[str, object]]:
    """What of `value` can be left out by itself: each agent, each server, or all of it."""
    if key == "mcp" and isinstance(value, dict):
        return [(name, {name: entry}) for name, entry in value.items()]
    return [("", value)]


def with_our_model(
    name: str,
    entry: dict[str, Any],
    router: Router,
    ids: Mapping[str, str],
    routes: list[ProviderModel],
    notes: list[Finding],
) -> dict[str, Any]:
    """An agent or command with the model it names in the pinned form, or without it."""
    if "model" not in entry:
        return entry
    entry = dict(entry)
    typed = entry.pop("model")
    route = router.resolve(typed, None) if isinstance(typed, str) else None
    if isinstance(route, Finding) or route is None:
        notes.append(
            Finding(
                "RG201",
                f"{name}.model",
                f"left out: {route.message if route else 'it is not a string'}",
                fix=route.fix if route else "",
                severity="note",
            )
        )
    else:
        routes.append(route)
        entry["model"] = f"{ids[route.provider]}/{route.model}"
    return entry


_SET_BY_LAUNCH = ("OPENCODE_", "ROUTEGUARD_", "XDG_CONFIG_HOME", "NO_PROXY", "no_proxy")
"""Beginnings of the names whose values the agent sees are not the user's."""


def unsafe_substitution(
    value: object,
    environ: Mapping[str, str],
    *,
    files: bool = False,
    withheld: Collection[str] = (),
) -> str:
    """Why `value` must not stand in a config that opencode substitutes as raw text, or "".

    `{env:NAME}` is replaced before parsing: a quote or a backslash in the variable ends the
    string it stands in, and what follows is read as config; where that is no JSON, the error
    prints the whole config with the gateway key in it (run on 1.18.33). `files` tells that
    `{file:…}` may stand: opencode escapes what it reads from a file. `withheld` are the gateway's
    keys, which go into no header and no prompt but the pinned one.
    """
    for text in _strings(value):
        if "{file:" in text and not files:
            return "it reads a file with {file:…}, which a pinned config would look up elsewhere"
        rest = text
        while "{env:" in rest:
            name, closed, rest = rest.partition("{env:")[2].partition("}")
            if not closed:
                return "it holds an unclosed {env:"
            if name.startswith(_SET_BY_LAUNCH) or name in withheld:
                return f"it reads {name}, which this config may not read"
            if any(c in '"\\' or not c.isprintable() for c in environ.get(name, "")):
                return f"the value of {name} would break the config's JSON"
    return ""


def reads_variables(value: object) -> bool:
    """Whether `{env:…}` stands anywhere in `value`."""
    return any("{env:" in text for text in _strings(value))


def _strings(value: object) -> list[str]:
    found: list[str] = []
    below = [value]
    while below:
        item = below.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            found.extend(item)
            below.extend(item.values())
        elif isinstance(item, list):
            below.extend(item)
    return found


def render(
    route: dict[str, Any], kept: list[dict[str, Any]], instructions: list[str]
) -> tuple[str, list[str]]:
    """The text of `OPENCODE_CONFIG_CONTENT`, and the kept keys that did not fit.

    Later parts of `kept` win over earlier ones; ours wins over all. Kept keys but those about
    agents are left out, largest first, until the text fits into one environment string.
    """
    merged: dict[str, Any] = {}
    for part in kept:
        files = [*merged.get("instructions", []), *part.get("instructions", [])]
        merged = merge(merged, part)
        if files:
            merged["instructions"] = files
    if instructions:
        merged["instructions"] = [*instructions, *merged.get("instructions", [])]
    dropped: list[str] = []
    while True:
        text = quick_json.dumps({**merged, **route}, ",", ":")
        optional = [key for key in merged if key not in BY_NAME and key != "subagent_depth"]
        if len(text) <= MAX_CONTENT or not optional:
            return text, dropped
        largest = max(optional, key=lambda key: len(quick_json.dumps(merged[key])))
        del merged[largest]
        dropped.append(largest)


def judge_size(result: Plan, text: str) -> None:
    """Refuse a config that one environment variable does not hold."""
    if len(text) > MAX_CONTENT:
        result.report(
            "RG501",
            "gateway.providers",
            f"the models of the policy and the agents of the configs take {len(text)} bytes, "
            f"and one environment variable holds {MAX_CONTENT}",
            where="policy",
            fix="declare fewer models (others can still be named with -m), or move agents "
            "from opencode.json into Markdown files",
        )


def providers_in(configs: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The ids of the providers that `configs` define, in either syntax."""
    return frozenset(
        name
        for content in configs
        for group in ("provider", "providers")
        if isinstance(content.get(group), dict)
        for name in content[group]
    )


def merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two layers as opencode merges them: objects deeply, everything else replaced."""
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        out[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out


def _split(model: str) -> tuple[str, str]:
    provider, _, rest = model.partition("/")
    return provider, rest
