"""Merges the layers: the strongest that sets a value decides, the others may only tighten it.

Pure: layers in, values with their origin out, and what was dropped and why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from guard.policy.layers import Dropped, Layer
from guard.policy.model import (
    AGENT_TABLES,
    PROVED_TABLES,
    ROUTED_TABLES,
    Exemption,
    Policy,
    Provider,
    Section,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import BaseModel

    from guard.policy.locate import Path


@dataclass(frozen=True, slots=True)
class Origin:
    """Who set a value: a layer, its file and the line; the layer "default" has neither."""

    layer: Literal["default", "system", "user", "project"] = "default"
    path: str = ""
    line: int = 0
    column: int = 0

    @property
    def where(self) -> str:
        """`file:line`, or "" for a default."""
        return f"{self.path}:{self.line}" if self.path else ""


@dataclass(frozen=True, slots=True)
class Value:
    """One value and who set it."""

    value: Any
    origin: Origin = Origin()


@dataclass(slots=True)
class Merged:
    """The merged policy: single values by dotted key, lists item by item."""

    values: dict[str, Value] = field(default_factory=dict)
    lists: dict[str, list[Value]] = field(default_factory=dict)
    exceptions: list[Value] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)

    def sort_dropped(self, layers: Sequence[Layer]) -> None:
        """Put `dropped` in the order of `layers`, and of the lines in each."""
        order = {layer.path: index for index, layer in enumerate(layers)}
        self.dropped.sort(key=lambda entry: (order[entry.path], entry.line))


def _orders(section: type[BaseModel] = Policy, prefix: str = "") -> dict[str, tuple[str, ...]]:
    """Every choice of the policy by its dotted key, from the loosest to the strictest."""
    found: dict[str, tuple[str, ...]] = {}
    for name, info in section.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            found.update(_orders(kind, f"{prefix}{info.alias or name}."))
        elif get_origin(kind) is Literal and not info.alias:
            found[prefix + name] = get_args(kind)
    return found


ORDERS: Final = _orders()
"""Choices by dotted key, from the loosest to the strictest."""

SINGLE: Final = (
    "gateway.base_url",
    "gateway.ca",
    "gateway.proxy",
    "gateway.key",
    "gateway.default",
    "gateway.small",
    "gateway.providers",
    *(f"agents.{name}.reroute" for name in AGENT_TABLES),
    *(f"agents.{name}.{key}" for name, keys in ROUTED_TABLES.items() for key in keys),
    "agents.guard",
)
"""Values that are not stricter or looser: the strongest layer that sets one keeps it."""

LISTS: Final = ("keys.extra", "proxies.hold", "environment.remove")
"""Lists that only tighten: the items of every layer count."""

_SYSTEM_LOOSENS: Final = tuple(f"agents.{name}.prove" for name in PROVED_TABLES)
"""Choices of which only the system policy may take a looser value than the default."""

_PROJECT_CEILING: Final = {
    "proxies.action": ("refuse", "a project cannot have processes stopped"),
}
"""How strict a project may make a choice, where the strictest value reaches beyond the launch."""


def merge(layers: Sequence[Layer]) -> Merged:
    """The merged policy of `layers`, strongest first."""
    merged = Merged()
    for layer in layers:
        merged.dropped.extend(layer.dropped)
    for key, order in ORDERS.items():
        merged.values[key] = _choose(key, order, layers, merged.dropped)
    for key in SINGLE:
        merged.values[key] = _first(key, layers, merged.dropped)
    for key in LISTS:
        merged.lists[key] = list(_union(key, layers))
    _hold_the_key(merged)
    _exceptions(layers, merged)
    merged.sort_dropped(layers)
    return merged


def _get(policy: Policy, key: str) -> tuple[bool, Any]:
    """Whether `policy` sets the dotted `key`, and the value, which is the default if not."""
    node: Any = policy
    is_set = True
    for name in key.replace("-", "_").split("."):
        is_set = is_set and name in node.model_fields_set
        node = getattr(node, name)
    return is_set, node


def _path(key: str) -> Path:
    return tuple(key.split("."))


def _origin(layer: Layer, key: Path) -> Origin:
    line, column = layer.find(key)
    return Origin(layer.layer, layer.path, line, column)


def _drop(layer: Layer, key: Path, shown: str, why: str, dropped: list[Dropped]) -> None:
    dropped.append(Dropped(layer.layer, layer.path, layer.find(key).line, shown, why))


def _choose(
    key: str, order: tuple[str, ...], layers: Sequence[Layer], dropped: list[Dropped]
) -> Value:
    """A choice: a user may loosen most defaults; no layer loosens what a stronger one set."""
    current = Value(_get(Policy(), key)[1])
    for layer in layers:
        is_set, value = _get(layer.policy, key)
        if not is_set:
            continue
        if layer.layer == "project" and key in _PROJECT_CEILING:
            ceiling, why = _PROJECT_CEILING[key]
            if order.index(value) > max(order.index(ceiling), order.index(current.value)):
                why = f'"{value}" counts as "{ceiling}": {why}'
                _drop(layer, _path(key), key, why, dropped)
                value = max(ceiling, current.value, key=order.index)
        bound = current.origin.layer != "default" or layer.layer == "project"
        bound = bound or (key in _SYSTEM_LOOSENS and layer.layer != "system")
        if bound and order.index(value) < order.index(current.value):
            holder = current.origin.layer
            whose = "the default" if holder == "default" else f"the {holder} policy"
            why = f'"{value}" is looser than "{current.value}", which {whose} sets'
            _drop(layer, _path(key), key, why, dropped)
        elif not bound or value != current.value:
            current = Value(value, _origin(layer, _path(key)))
    return current


def _first(key: str, layers: Sequence[Layer], dropped: list[Dropped]) -> Value:
    current = Value(_get(Policy(), key)[1])
    for layer in layers:
        is_set, value = _get(layer.policy, key)
        if not is_set:
            continue
        if current.origin.layer == "default":
            current = Value(value, _origin(layer, _path(key)))
        elif value != current.value:
            why = f"the {current.origin.layer} policy sets it"
            _drop(layer, _path(key), key, why, dropped)
    return current


def _union(key: str, layers: Iterable[Layer]) -> Iterable[Value]:
    seen = set()
    for layer in layers:
        is_set, names = _get(layer.policy, key)
        for index, name in enumerate(names if is_set else ()):
            if name not in seen:
                seen.add(name)
                yield Value(name, _origin(layer, (*_path(key), index)))


def _hold_the_key(merged: Merged) -> None:
    """A weaker layer's providers use the key that a stronger layer set, not one of their own."""
    key, providers = merged.values["gateway.key"], merged.values["gateway.providers"]
    if key.origin.layer != "system" or providers.origin.layer != "user":
        return
    kept: dict[str, Provider] = {}
    for name, provider in providers.value.items():
        kept[name] = provider
        if "key" in provider.model_fields_set and provider.key != key.value:
            kept[name] = provider.model_copy(
                update={"key": Provider().key},
            )
            kept[name].model_fields_set.discard("key")
            merged.dropped.append(
                Dropped(
                    "user",
                    providers.origin.path,
                    providers.origin.line,
                    f"gateway.providers.{name}.key",
                    "the system policy sets gateway.key",
                )
            )
    merged.values["gateway.providers"] = Value(kept, providers.origin)


def _exceptions(layers: Sequence[Layer], merged: Merged) -> None:
    choice = merged.values["user_exceptions"]
    for layer in layers:
        exceptions: list[Exemption] = layer.policy.exception
        for index, exception in enumerate(exceptions):
            key = ("exception", index)
            if layer.layer == "user" and choice.value == "refuse":
                why = f"the {choice.origin.layer} policy refuses exceptions of the user"
                _drop(layer, key, f"exception[{index}]", why, merged.dropped)
            else:
                merged.exceptions.append(Value(exception, _origin(layer, key)))
