"""Merged policy and catalogue in, compiled policy out. Cold: reached on a cache miss only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.net import address, host_of, is_loopback
from guard.policy.layers import candidates, read_all
from guard.policy.merge import Merged, Value, merge
from guard.policy.model import AGENT_TABLES, end_of
from guard.policy.problems import InvalidPolicyError, Problem
from guard.policy.values import CompiledPolicy, GatewayProvider, PolicyException, normal_subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.policy.layers import Layer
    from guard.policy.model import Exemption, KeySource, Provider

_GATEWAY: Final = "portkey"
_MODEL: Final = "gpt-4o"
_NOTES: Final = 30
"""Notes kept for one file: a repository must not be able to bury the others' in its own."""

_MAY_BECOME_KEY: Final = frozenset(
    ("", "ambient", "grey", "other_service", "provider_key", "provider_setting", "unknown_key")
)
"""Kinds that `keys.extra` may replace. The others are handled more strictly as they are."""


def compile_files(
    system: str, user: str, project: tuple[str, ...]
) -> tuple[CompiledPolicy, tuple[str, ...]]:
    """The policy of the layers at these paths, and the other files it depends on.

    Raises PolicyError (InvalidPolicyError with every problem) if there is no valid one.
    """
    from guard import catalog

    layers = read_all(candidates(system, user, project))
    policy = compile_layers(layers)
    return policy, (*catalog.data_files(), *filter(None, [policy.gateway_ca]))


def compile_layers(layers: Sequence[Layer]) -> CompiledPolicy:
    """The policy of `layers`, strongest first. Raises InvalidPolicyError."""
    return compile_merged(merge(layers), layers)


def compile_merged(merged: Merged, layers: Sequence[Layer]) -> CompiledPolicy:
    """The compiled form of `merged`, which came from `layers`. Raises InvalidPolicyError.

    Checks what no single file can show: that the default model's provider exists, that the
    gateway is not a model provider, that nothing removes the gateway's own key. Adds to
    `merged.dropped` what the catalogue forbids.
    """
    from guard import catalog
    from guard.catalog import local_proxies

    problems: list[Problem] = []
    values = merged.values
    base_url = values["gateway.base_url"]
    _not_a_provider(base_url, catalog.hosts(), problems)
    ca = _ca(merged, problems)
    gateway_providers = _providers(merged)
    default = _default_model(merged, gateway_providers, problems)
    small = values["gateway.small"]
    if small.value:
        _known_provider("gateway.small", small, gateway_providers, problems)
    gateway_keys = {provider.key_env for provider in gateway_providers if provider.key_env}
    variables = {
        name: (variable.kind, variable.owner) for name, variable in catalog.variables().items()
    }
    extra = _extra(merged, gateway_keys, variables, problems)
    remove = [
        item.value
        for item in merged.lists["environment.remove"]
        if not _is_gateway_key("environment.remove", item, gateway_keys, merged, problems)
    ]
    hold = _hold(merged, problems)
    if problems:
        raise InvalidPolicyError(problems)
    merged.sort_dropped(layers)
    programs, images, names = local_proxies.needles()
    # the compiled policy has room for the rules of one agent
    (agent,) = (f"agents.{name}" for name in AGENT_TABLES)
    reroute: Mapping[str, str] = values[f"{agent}.reroute"].value
    return CompiledPolicy(
        base_url=base_url.value,
        gateway_ca=ca,
        gateway_proxy=values["gateway.proxy"].value,
        providers=gateway_providers,
        default_model=default,
        small_model=small.value or default,
        keys_action=values["keys.action"].value,
        keys_extra=extra,
        keys_unknown=values["keys.unknown"].value,
        proxies_action=values["proxies.action"].value,
        proxies_prompt=values["proxies.prompt"].value,
        proxies_fence=values["proxies.fence"].value,
        proxies_hold=hold,
        proxy_ports=tuple(sorted(local_proxies.distinctive())),
        proxy_programs=programs,
        proxy_images=images,
        proxy_names=names,
        foreign_provider=values[f"{agent}.foreign_provider"].value,
        reroute={source: slug.removeprefix("@") for source, slug in reroute.items()},
        servers=values[f"{agent}.servers"].value,
        project_config=values[f"{agent}.project_config"].value,
        audit_required=values["audit.required"].value,
        remove=tuple(remove),
        exceptions=tuple(compile_exception(item.value) for item in merged.exceptions),
        variables=variables,
        harmless=frozenset(
            variable.name
            for variable in catalog.variables().values()
            if not variable.rule and variable.kind in catalog.KIND_RULES
        ),
        layers=tuple((layer.layer, layer.path) for layer in layers),
        notes=_notes(merged, layers),
    )


def compile_exception(exception: Exemption) -> PolicyException:
    """One [[exception]] as the hot path reads it."""
    return PolicyException(
        subject=normal_subject(exception.subject),
        reason=exception.reason.strip(),
        until=end_of(exception.until),
        sha256=exception.sha256.lower(),
    )


def _providers(merged: Merged) -> tuple[GatewayProvider, ...]:
    key: KeySource = merged.values["gateway.key"].value
    named: Mapping[str, Provider] = merged.values["gateway.providers"].value
    if not named:
        return (_provider(_GATEWAY, None, key),)
    return tuple(_provider(name, provider, key) for name, provider in named.items())


def _provider(name: str, provider: Provider | None, key: KeySource) -> GatewayProvider:
    title = "Portkey" if name == _GATEWAY else name
    models: tuple[str, ...] = (_MODEL,)
    slug = config = ""
    if provider is not None:
        title = provider.name or title
        models = tuple(dict.fromkeys(provider.models))
        slug = provider.slug.removeprefix("@")
        config = provider.config
        if "key" in provider.model_fields_set:
            key = provider.key
    return GatewayProvider(
        name=name,
        title=title,
        slug=slug,
        config=config,
        key_env=key.env,
        key_command=tuple(key.command),
        key_timeout=float(key.timeout),
        models=models,
    )


def _default_model(
    merged: Merged, providers: tuple[GatewayProvider, ...], problems: list[Problem]
) -> str:
    """gateway.default if a layer sets it, else a model of the providers there are."""
    given = merged.values["gateway.default"]
    if given.origin.layer != "default":
        _known_provider("gateway.default", given, providers, problems)
        return str(given.value)
    for provider in providers:
        if provider.name == _GATEWAY and (_MODEL in provider.models or not provider.models):
            return f"{_GATEWAY}/{_MODEL}"
    for provider in providers:
        if provider.models:
            return f"{provider.name}/{provider.models[0]}"
    source = merged.values["gateway.providers"]
    problems.append(
        _problem(
            source,
            "gateway.default",
            "is required, because no provider lists its models",
            fix=f'default = "{providers[0].name}/MODEL", or models = ["MODEL"] in a provider',
        )
    )
    return ""


def _known_provider(
    key: str, item: Value, providers: tuple[GatewayProvider, ...], problems: list[Problem]
) -> None:
    name = str(item.value).partition("/")[0]
    names = [provider.name for provider in providers]
    if name not in names:
        problems.append(
            _problem(
                item,
                key,
                "names a provider that is not in gateway.providers",
                found=f'"{name}"',
                accepted=", ".join(names),
                fix=f"add [gateway.providers.{name}], or name an existing provider",
            )
        )


def _not_a_provider(item: Value, hosts: frozenset[str], problems: list[Problem]) -> None:
    host = host_of(item.value)
    if host in hosts and not is_loopback(host):
        problems.append(
            _problem(
                item,
                "gateway.base_url",
                "is a model provider, not the gateway",
                found=host,
                accepted="your Portkey gateway",
                fix='base_url = "https://api.portkey.ai/v1"',
            )
        )


def _ca(merged: Merged, problems: list[Problem]) -> str:
    """gateway.ca, whose file has to be there and to be nobody else's to change."""
    from guard.policy.authority import unusable

    item = merged.values["gateway.ca"]
    message, fix = unusable(item.value) if item.value else ("", "")
    if message:
        problems.append(_problem(item, "gateway.ca", message, found=item.value, fix=fix))
    return str(item.value)


def _extra(
    merged: Merged,
    gateway_keys: set[str],
    variables: dict[str, tuple[str, str]],
    problems: list[Problem],
) -> tuple[str, ...]:
    from guard.catalog.classify import classify

    names = []
    for item in merged.lists["keys.extra"]:
        if _is_gateway_key("keys.extra", item, gateway_keys, merged, problems):
            continue
        kind, _ = classify(item.value, variables)
        if kind not in _MAY_BECOME_KEY:
            why = f"{item.value} is of the kind {kind}, which is handled more strictly than a key"
            _drop(merged, "keys.extra", item, why)
            continue
        names.append(item.value)
        if kind != "provider_key":
            variables[item.value] = ("provider_key", "your policy")
    return tuple(names)


def _is_gateway_key(
    key: str, item: Value, gateway_keys: set[str], merged: Merged, problems: list[Problem]
) -> bool:
    """Whether `item` names the gateway's own key: a mistake, or a repository's attempt."""
    if item.value not in gateway_keys:
        return False
    if item.origin.layer == "project":
        _drop(merged, key, item, "it names the gateway key's variable")
    else:
        problems.append(
            _problem(
                item,
                key,
                "names the variable of the gateway key, which every launch needs",
                found=item.value,
                fix=f"take {item.value} out of {key}",
            )
        )
    return True


def _hold(merged: Merged, problems: list[Problem]) -> tuple[int, ...]:
    """proxies.hold, sorted. The fence knows ports, not hosts: the way to the gateway stays open."""
    needed = {
        address(merged.values[f"gateway.{key}"].value)[1]: name
        for key, name in (("proxy", "gateway.proxy"), ("base_url", "the gateway"))
    }
    for item in merged.lists["proxies.hold"]:
        if item.value in needed:
            problems.append(
                _problem(
                    item,
                    "proxies.hold",
                    f"names the port of {needed[item.value]}, which a fenced agent could not reach"
                    " then",
                    found=str(item.value),
                    fix=f"take {item.value} out of proxies.hold",
                )
            )
    return tuple(sorted(item.value for item in merged.lists["proxies.hold"]))


def _drop(merged: Merged, key: str, item: Value, why: str) -> None:
    from guard.policy.layers import Dropped

    origin = item.origin
    if origin.layer != "default":
        merged.dropped.append(Dropped(origin.layer, origin.path, origin.line, key, why))


def _problem(
    item: Value, key: str, message: str, *, found: str = "", accepted: str = "", fix: str = ""
) -> Problem:
    origin = item.origin
    return Problem(origin.path, origin.line, origin.column, key, message, found, accepted, fix)


def _notes(merged: Merged, layers: Sequence[Layer]) -> tuple[str, ...]:
    notes = []
    for layer in layers:
        texts = [entry.text for entry in merged.dropped if entry.path == layer.path]
        notes.extend(texts[:_NOTES])
        if len(texts) > _NOTES:
            notes.append(f"{layer.layer} policy {layer.path}: {len(texts) - _NOTES} more dropped")
    return tuple(notes)
