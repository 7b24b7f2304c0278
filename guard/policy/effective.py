"""The policy that results, with who set each value: the content of `policy show --effective`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from guard.policy.exceptions import is_over
from guard.policy.merge import Origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.policy.layers import Dropped, Layer
    from guard.policy.merge import Merged, Value
    from guard.policy.values import CompiledPolicy, GatewayProvider


def single_values(merged: Merged, compiled: CompiledPolicy) -> list[tuple[str, Any, Value]]:
    """Every key that has one value: the key, the value that holds, and who set it.

    Not those of the agents that cannot be guarded and that nobody mentions.
    """
    rows = []
    for key, item in sorted(merged.values.items()):
        value = item.value
        if value == "leave" and item.origin.layer == "default":
            continue
        if key == "gateway.default":
            value = compiled.default_model
        elif key == "gateway.small":
            value = compiled.small_model
        elif key == "gateway.key":
            value = {name: getattr(value, name) for name in sorted(value.model_fields_set)}
        elif key == "gateway.providers":
            value = {provider.name: _provider(provider) for provider in compiled.providers}
        rows.append((key, value, item))
    return rows


def list_values(merged: Merged, compiled: CompiledPolicy) -> Iterator[tuple[str, Value]]:
    """Every item of the lists that holds, with the list's key."""
    for key, kept in (
        ("keys.extra", compiled.keys_extra),
        ("proxies.hold", compiled.proxies_hold),
        ("environment.remove", compiled.remove),
    ):
        for item in merged.lists[key]:
            if item.value in kept:
                yield key, item


def _provider(provider: GatewayProvider) -> dict[str, Any]:
    out: dict[str, Any] = {"name": provider.title}
    for name in ("slug", "config"):
        if getattr(provider, name):
            out[name] = getattr(provider, name)
    if provider.key_env:
        out["key"] = {"env": provider.key_env}
    else:
        out["key"] = {"command": list(provider.key_command), "timeout": provider.key_timeout}
    out["models"] = list(provider.models)
    return out


def rows(
    merged: Merged, compiled: CompiledPolicy, layers: Sequence[Layer]
) -> Iterator[tuple[str, Any, Origin]]:
    """Every value key by key, tables of providers too, each with where it was set.

    A key that a table does not set has the place of its table.
    """
    for key, value, item in single_values(merged, compiled):
        if key != "gateway.providers":
            yield key, value, item.origin
            continue
        said = [layer for layer in layers if layer.path == item.origin.path]
        for name, provider in value.items():
            for inner, inner_value in provider.items():
                origin = item.origin
                for layer in said:
                    line, column = layer.find(("gateway", "providers", name, inner))
                    origin = Origin(layer.layer, layer.path, line, column)
                yield f"{key}.{name}.{inner}", inner_value, origin
    for key, item in list_values(merged, compiled):
        yield f"{key}[]", item.value, item.origin


def _origin_json(item: Value) -> dict[str, Any]:
    return {"layer": item.origin.layer, "file": item.origin.path, "line": item.origin.line}


def dropped_json(entry: Dropped) -> dict[str, Any]:
    """A dropped key as the JSON output carries it."""
    fields = asdict(entry)
    return {"layer": fields.pop("layer"), "file": fields.pop("path"), **fields}


def as_json(merged: Merged, compiled: CompiledPolicy, layers: Sequence[Layer]) -> dict[str, Any]:
    """The policy that results, as the JSON output carries it."""
    lists: dict[str, list[dict[str, Any]]] = {key: [] for key in merged.lists}
    for key, item in list_values(merged, compiled):
        lists[key].append({"value": item.value, **_origin_json(item)})
    return {
        "layers": [{"layer": layer.layer, "path": layer.path} for layer in layers],
        "values": {
            key: {"value": value, **_origin_json(item)}
            for key, value, item in single_values(merged, compiled)
        },
        "lists": lists,
        "exceptions": [
            {
                "subject": item.value.subject,
                "reason": item.value.reason,
                "until": item.value.until.isoformat(),
                "sha256": item.value.sha256,
                "expired": is_over(item),
                **_origin_json(item),
            }
            for item in merged.exceptions
        ],
        "dropped": [dropped_json(entry) for entry in merged.dropped],
    }
