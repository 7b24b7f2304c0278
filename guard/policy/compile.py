"""Merged policy and catalogue in, compiled policy out. Cold: reached on a cache miss only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guard.net import address, host_of, is_loopback
from guard.paths import SYSTEM_POLICY
from guard.policy import effective
from guard.policy.accepted import OTHERS
from guard.policy.layers import Dropped, candidates, read_all
from guard.policy.merge import Merged, Value, merge
from guard.policy.model import (
    AGENT_TABLES,
    GUARDED,
    PROVED_TABLES,
    ROUTED_TABLES,
    Provable,
)
from guard.policy.places import user_policy
from guard.policy.problems import InvalidPolicyError, Problem
from guard.policy.spans import end_of
from guard.policy.values import (
    AgentRoute,
    CompiledPolicy,
    GatewayProvider,
    OtherAgent,
    PolicyException,
    normal_subject,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
) -> tuple[CompiledPolicy, tuple[str, ...], dict[str, Any]]:
    """The policy of the layers at these paths, the other files it depends on, and what `policy
    show` says of it.

    Raises PolicyError (InvalidPolicyError with every problem) if there is no valid one.
    """
    from guard.catalog import entries

    places = candidates(system, user, project)
    layers = read_all(places)
    merged = merge(layers)
    policy = compile_merged(merged, layers)
    data_files = (*entries.data_files(), *filter(None, [policy.gateway_ca]))
    return policy, data_files, effective.as_plain(places, layers, merged, policy)


def compile_user(environ: Mapping[str, str]) -> CompiledPolicy:
    """The policy of the system and of the user of `environ`, whatever project there is.

    Nothing is written, as loading it through the cache would do. Raises PolicyError.
    """
    return compile_files(SYSTEM_POLICY, user_policy(environ), ())[0]


def compile_layers(layers: Sequence[Layer]) -> CompiledPolicy:
    """The policy of `layers`, strongest first. Raises InvalidPolicyError."""
    return compile_merged(merge(layers), layers)


def compile_merged(merged: Merged, layers: Sequence[Layer]) -> CompiledPolicy:
    """The compiled form of `merged`, which came from `layers`. Raises InvalidPolicyError.

    Checks what no single file can show: that the default model's provider exists, that the
    gateway is not a model provider, that nothing removes the gateway's own key. Adds to
    `merged.dropped` what the catalogue forbids.
    """
    from guard.catalog import classify, entries, local_proxies

    values = merged.values
    variables = {
        name: (variable.kind, variable.owner) for name, variable in entries.variables().items()
    }
    whole = _Whole(merged)
    whole.check_base_url(entries.hosts())
    whole.check_ca()
    default = whole.default_model()
    small = values["gateway.small"]
    if small.value:
        whole.check_provider("gateway.small", small)
    extra = whole.extra_keys(variables)
    remove = [item.value for item in whole.without_gateway_key("environment.remove")]
    hold = whole.hold()
    whole.check_models()
    if whole.problems:
        raise InvalidPolicyError(whole.problems)
    merged.sort_dropped(layers)
    programs, images, names = local_proxies.needles()
    # the compiled policy has room for the rules of one agent
    (agent,) = (f"agents.{name}" for name in AGENT_TABLES)
    reroute: Mapping[str, str] = values[f"{agent}.reroute"].value
    users_exceptions = values["user_exceptions"]
    return CompiledPolicy(
        base_url=values["gateway.base_url"].value,
        gateway_ca=values["gateway.ca"].value,
        gateway_proxy=values["gateway.proxy"].value,
        providers=whole.providers,
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
        unguarded=tuple(name for name in GUARDED if name not in values["agents.guard"].value),
        routes=tuple(filter(None, (_route(name, values) for name in ROUTED_TABLES))),
        prove={
            name: values[f"agents.{name}.prove"].value
            for name in PROVED_TABLES
            if values[f"agents.{name}.prove"].value != Provable().prove
        },
        others=tuple(
            _other(name, values)
            for name in OTHERS
            if values[f"agents.{name}.launch"].value != "leave"
        ),
        audit_required=values["audit.required"].value,
        remove=tuple(remove),
        exceptions=tuple(compile_exception(item.value) for item in merged.exceptions),
        exceptions_refused_by=users_exceptions.origin.layer
        if users_exceptions.value == "refuse"
        else "",
        variables=variables,
        harmless=frozenset(
            variable.name
            for variable in entries.variables().values()
            if not variable.rule and variable.kind in classify.KIND_RULES
        ),
        layers=tuple((layer.layer, layer.path) for layer in layers),
        notes=_notes(merged, layers),
    )


def _route(agent: str, values: Mapping[str, Value]) -> AgentRoute | None:
    said = {key: values[f"agents.{agent}.{key}"].value for key in ROUTED_TABLES[agent]}
    models = tuple(said.get("models", ()))
    if not any(said.values()):
        return None
    return AgentRoute(
        agent=agent,
        provider=said["provider"].removeprefix("@"),
        model=said["model"],
        # the agent's own for small tasks may be another one
        small=said.get("small", "") or next(iter(models), ""),
        models=models,
        mcp=tuple(said.get("mcp", ())),
        hooks=tuple(said.get("hooks", ())),
    )


def _other(name: str, values: Mapping[str, Value]) -> OtherAgent:
    agent, said = OTHERS[name], values[f"agents.{name}.launch"]
    return OtherAgent(
        agent=name,
        title=agent.name,
        launch=said.value,
        layer=said.origin.layer,
        names=agent.typed,
        scripts=tuple(sorted(agent.scripts)),
        commands=tuple(sorted(agent.commands)),
        paths=tuple(pattern.pattern for pattern in agent.paths),
        packages=tuple(sorted(agent.packages)),
        only=tuple(sorted(agent.only)),
        unless=tuple(sorted(agent.unless)),
        unpinned=agent.unpinned,
        vendor=agent.vendor,
        sets=agent.sets,
        still=agent.still,
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


class _Whole:
    """The merged policy while it is checked for what no single file shows."""

    def __init__(self, merged: Merged) -> None:
        self.merged = merged
        self.providers = _providers(merged)
        self.gateway_keys = {provider.key_env for provider in self.providers if provider.key_env}
        self.problems: list[Problem] = []

    def refuse(
        self, key: str, item: Value, message: str, *, found: str = "", accepted: str = "", fix: str
    ) -> None:
        """Note what is wrong with `item` of `key`."""
        at = item.origin
        self.problems.append(
            Problem(at.path, at.line, at.column, key, message, found, accepted, fix)
        )

    def drop(self, key: str, item: Value, why: str) -> None:
        """Note that `item` of `key` does not count."""
        at = item.origin
        if at.layer != "default":
            self.merged.dropped.append(Dropped(at.layer, at.path, at.line, key, why))

    def default_model(self) -> str:
        """gateway.default if a layer sets it, else a model of the providers there are."""
        given = self.merged.values["gateway.default"]
        if given.origin.layer != "default":
            self.check_provider("gateway.default", given)
            return str(given.value)
        for provider in self.providers:
            if provider.name == _GATEWAY and (_MODEL in provider.models or not provider.models):
                return f"{_GATEWAY}/{_MODEL}"
        for provider in self.providers:
            if provider.models:
                return f"{provider.name}/{provider.models[0]}"
        self.refuse(
            "gateway.default",
            self.merged.values["gateway.providers"],
            "is required, because no provider lists its models",
            fix=f'default = "{self.providers[0].name}/MODEL", or models = ["MODEL"] in a provider',
        )
        return ""

    def check_provider(self, key: str, item: Value) -> None:
        """Whether the provider of a model is there."""
        name = str(item.value).partition("/")[0]
        names = [provider.name for provider in self.providers]
        if name not in names:
            self.refuse(
                key,
                item,
                "names a provider that is not in gateway.providers",
                found=f'"{name}"',
                accepted=", ".join(names),
                fix=f"add [gateway.providers.{name}], or name an existing provider",
            )

    def check_models(self) -> None:
        """The models of an agent are among those that it may ask for.

        One of the user's beside a list of the system's is dropped, anything else is a mistake.
        """
        for agent, keys in ROUTED_TABLES.items():
            if "models" not in keys:
                continue
            allowed = self.merged.values[f"agents.{agent}.models"]
            for name in ("model", "small"):
                key = f"agents.{agent}.{name}"
                item = self.merged.values[key]
                if not allowed.value or not item.value or item.value in allowed.value:
                    continue
                named = ", ".join(allowed.value)
                if (item.origin.layer, allowed.origin.layer) == ("user", "system"):
                    self.drop(key, item, f"the system policy allows only {named}")
                    self.merged.values[key] = Value("", allowed.origin)
                    continue
                if item.origin.path != allowed.origin.path:
                    # the user's list beside a model of the system's
                    message = f"lacks {item.value}, which is {name} in the system policy"
                    self.refuse(f"agents.{agent}.models", allowed, message, fix="add it")
                    continue
                self.refuse(
                    key,
                    item,
                    f"is not one of agents.{agent}.models",
                    found=f'"{item.value}"',
                    accepted=named,
                    fix="add it there, or name another model",
                )

    def check_base_url(self, hosts: frozenset[str]) -> None:
        """Whether the gateway is none of the model providers at `hosts`."""
        item = self.merged.values["gateway.base_url"]
        host = host_of(item.value)
        if host in hosts and not is_loopback(host):
            self.refuse(
                "gateway.base_url",
                item,
                "is a model provider, not the gateway",
                found=host,
                accepted="your Portkey gateway",
                fix='base_url = "https://api.portkey.ai/v1"',
            )

    def check_ca(self) -> None:
        """Whether the file of gateway.ca is there, and nobody else's to change."""
        from guard.policy.authority import unusable

        item = self.merged.values["gateway.ca"]
        message, fix = unusable(item.value) if item.value else ("", "")
        if message:
            self.refuse("gateway.ca", item, message, found=item.value, fix=fix)

    def extra_keys(self, variables: dict[str, tuple[str, str]]) -> tuple[str, ...]:
        """keys.extra, as far as it holds; each of them is a provider's key in `variables`."""
        from guard.catalog.classify import classify

        names = []
        for item in self.without_gateway_key("keys.extra"):
            kind, _ = classify(item.value, variables)
            if kind not in _MAY_BECOME_KEY:
                why = f"{item.value} is of the kind {kind}, which is stricter than a key"
                self.drop("keys.extra", item, why)
                continue
            names.append(item.value)
            if kind != "provider_key":
                variables[item.value] = ("provider_key", "your policy")
        return tuple(names)

    def without_gateway_key(self, key: str) -> Iterator[Value]:
        """The items of the list `key`; the gateway's own key is a mistake, or an attempt."""
        for item in self.merged.lists[key]:
            if item.value not in self.gateway_keys:
                yield item
            elif item.origin.layer == "project":
                self.drop(key, item, "it names the gateway key's variable")
            else:
                self.refuse(
                    key,
                    item,
                    "names the variable of the gateway key, which every launch needs",
                    found=item.value,
                    fix=f"take {item.value} out of {key}",
                )

    def hold(self) -> tuple[int, ...]:
        """proxies.hold, sorted. The fence knows ports alone: the way to the gateway stays open."""
        needed = {
            address(self.merged.values[f"gateway.{key}"].value)[1]: name
            for key, name in (("proxy", "gateway.proxy"), ("base_url", "the gateway"))
        }
        items = self.merged.lists["proxies.hold"]
        for item in items:
            if item.value in needed:
                self.refuse(
                    "proxies.hold",
                    item,
                    f"names the port of {needed[item.value]}, which a fenced agent has to reach",
                    found=str(item.value),
                    fix=f"take {item.value} out of proxies.hold",
                )
        return tuple(sorted(item.value for item in items))


def _notes(merged: Merged, layers: Sequence[Layer]) -> tuple[str, ...]:
    notes = []
    for layer in layers:
        texts = [entry.text for entry in merged.dropped if entry.path == layer.path]
        notes.extend(texts[:_NOTES])
        if len(texts) > _NOTES:
            notes.append(f"{layer.layer} policy {layer.path}: {len(texts) - _NOTES} more dropped")
    return tuple(notes)
