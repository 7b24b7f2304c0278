"""What the layers say and what results from them, with who set each value: all that
`routeguard policy show` says, as plain values, which are kept beside the compiled policy."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from guard.paths import SYSTEM_POLICY
from guard.policy.layers import candidates, read_all
from guard.policy.merge import Origin
from guard.policy.places import project_files, user_policy
from guard.policy.problems import set_values, toml_value
from guard.policy.spans import end_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guard.policy.layers import Candidate, Dropped, Layer
    from guard.policy.merge import Merged, Value
    from guard.policy.values import CompiledPolicy, GatewayProvider


def as_plain(
    places: Sequence[Candidate],
    layers: Sequence[Layer],
    merged: Merged,
    compiled: CompiledPolicy,
) -> dict[str, Any]:
    """All of it, in values that `marshal` and JSON can write.

    `layers` is `layers_said`. `values` are rows (key, TOML, layer, `file:line`), `dropped` lines of
    text. `json` is the document of `--effective`; each of its exceptions has the moment it `ends`
    in Unix seconds, from which whoever shows it tells whether it is `expired`.
    """
    return {
        "layers": layers_said(places, layers),
        "values": [
            (key, toml_value(value), origin.layer, origin.where)
            for key, value, origin in _rows(merged, compiled, layers)
        ],
        "dropped": [entry.text for entry in merged.dropped],
        "json": _document(merged, compiled, layers),
    }


def layers_at(cwd: str, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """`layers_said` of the layers of `cwd`, though they may forbid each other what they say.

    Raises PolicyError if one by itself cannot be read, understood or trusted.
    """
    places = candidates(SYSTEM_POLICY, user_policy(environ), project_files(cwd))
    return layers_said(places, read_all(places))


def layers_said(places: Sequence[Candidate], layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """What is at each of `places`, as the JSON of `policy show` has it, and as text: `rows` of
    line and text, and for a place without a layer what is there instead (`state`).

    The file of `allow` is told of where there is one.
    """
    found = {layer.path: layer for layer in layers}
    return [
        _layer_said(place, found.get(place.path))
        for place in places
        if not place.managed or place.path in found
    ]


def _layer_said(place: Candidate, layer: Layer | None) -> dict[str, Any]:
    said: dict[str, Any] = {"layer": place.layer, "path": place.path, "read": layer is not None}
    if layer is None:
        there = os.path.lexists(place.path)
        state = "no [tool.routeguard] table" if there else "absent"
        return {**said, "policy": {}, "dropped": [], "state": state, "rows": []}
    rows = [
        (layer.find(path).line, f"{key} = {toml_value(value)}")
        for (path, key), value in set_values(layer.policy)
    ]
    rows += [(entry.line, f"{entry.key}: dropped: {entry.why}") for entry in layer.dropped]
    return {
        **said,
        "policy": layer.policy.model_dump(
            mode="json", by_alias=True, exclude_unset=True, warnings=False
        ),
        "dropped": list(map(_dropped_json, layer.dropped)),
        "state": "",
        "rows": rows,
    }


def _single_values(merged: Merged, compiled: CompiledPolicy) -> list[tuple[str, Any, Value]]:
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


def _list_values(merged: Merged, compiled: CompiledPolicy) -> Iterator[tuple[str, Value]]:
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


def _rows(
    merged: Merged, compiled: CompiledPolicy, layers: Sequence[Layer]
) -> Iterator[tuple[str, Any, Origin]]:
    """Every value key by key, tables of providers too, each with where it was set.

    A key that a table does not set has the place of its table.
    """
    for key, value, item in _single_values(merged, compiled):
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
    for key, item in _list_values(merged, compiled):
        yield f"{key}[]", item.value, item.origin


def _origin_json(item: Value) -> dict[str, Any]:
    return {"layer": item.origin.layer, "file": item.origin.path, "line": item.origin.line}


def _dropped_json(entry: Dropped) -> dict[str, Any]:
    fields = asdict(entry)
    return {"layer": fields.pop("layer"), "file": fields.pop("path"), **fields}


def _document(merged: Merged, compiled: CompiledPolicy, layers: Sequence[Layer]) -> dict[str, Any]:
    """The policy that results, as `as_plain` says."""
    lists: dict[str, list[dict[str, Any]]] = {key: [] for key in merged.lists}
    for key, item in _list_values(merged, compiled):
        lists[key].append({"value": item.value, **_origin_json(item)})
    return {
        "layers": [{"layer": layer.layer, "path": layer.path} for layer in layers],
        "values": {
            key: {"value": value, **_origin_json(item)}
            for key, value, item in _single_values(merged, compiled)
        },
        "lists": lists,
        "exceptions": [
            {
                "subject": item.value.subject,
                "reason": item.value.reason,
                "until": item.value.until.isoformat(),
                "sha256": item.value.sha256,
                "ends": end_of(item.value.until),
                **_origin_json(item),
            }
            for item in merged.exceptions
        ],
        "dropped": list(map(_dropped_json, merged.dropped)),
    }
