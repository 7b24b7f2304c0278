"""The data of the catalogue, as it is asked for: providers, variables, hosts, and whole files.

Nothing is read before a function is called.
"""

from __future__ import annotations

import os

from guard.catalog.classify import KIND_RULES
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KINDS = (
    "provider_key",
    "provider_setting",
    "ambient",
    "base_url",
    "agent_redirect",
    "runtime",
    "http_proxy",
    "gateway_key",
    "gateway_setting",
    "other_service",
    "grey",
    "unknown_key",
    "",
)
"""Every kind of variable; the empty one is a name that is known and means nothing to us."""

_HERE = os.path.dirname(os.path.abspath(__file__))
_PATIENCE = 0.5
"""Seconds: what is not kept is parsed again by the next process, which takes a tenth of that."""
_FILES = ("agents.toml", "providers.json", "variables.toml", "hosts.toml", "local_proxies.json")


class Provider(Record):
    """One model provider of the catalogue (`provenance` says whose).

    `env` are the variables any one of which opens it, `api` its base URL (empty if the SDK's
    default; may hold `${NAME}`), `host` the host that requests go to (empty if it depends on a
    variable, an account or a region).
    """

    id: str
    name: str
    env: tuple[str, ...]
    api: str
    host: str


class Variable(Record):
    """One environment variable that the catalogue names.

    `kind` is one of KINDS, `owner` whom it belongs to, `note` a remark for a reader, `providers`
    the ids of the providers it opens in an unguarded agent, `rule` the rule for which a set
    value counts ("" for none), `source` and `sure` where that is known from and how well.
    """

    name: str
    kind: str
    owner: str
    note: str = ""
    providers: tuple[str, ...] = ()
    rule: str = ""
    source: str = ""
    sure: str = ""


_cache: dict[str, Any] = {}


def data_files() -> tuple[str, ...]:
    """Absolute paths of the data, for whoever caches something derived from it."""
    return tuple(os.path.join(_HERE, name) for name in _FILES)


def providers() -> dict[str, Provider]:
    """Every provider of the catalogue by its id."""
    if "providers" not in _cache:
        _cache["providers"] = _read_providers()
    return dict(_cache["providers"])


def variables() -> dict[str, Variable]:
    """Every variable that the catalogue names, by its name."""
    if "variables" not in _cache:
        _cache["variables"] = _read_variables()
    return dict(_cache["variables"])


def hosts() -> frozenset[str]:
    """Hosts that serve models: no loopback host, none that also serves much else."""
    from guard.net import is_loopback

    shared = data("hosts.toml")["shared"]["hosts"]
    own = {found.host for found in providers().values() if found.host}
    return frozenset(host for host in own if not is_loopback(host)) - set(shared)


def provenance() -> str:
    """Where the provider list comes from, with version and date."""
    return str(data("providers.json")["_source"])


def describe(name: str, kind: str, owner: str) -> Variable:
    """The variable `name` as classified: the catalogue's entry, or one made from its pattern.

    `kind` and `owner` come from `classify`, which also knows the policy; where they differ from
    the catalogue they win, and the catalogue's note and rule, which are about another kind, go.
    """
    known = variables().get(name)
    if known is not None and known.kind == kind:
        return known
    opens = known.providers if known is not None else ()
    if known is None:
        for pattern in data("variables.toml")["pattern"]:
            if pattern["kind"] == kind and _matches(name, pattern):
                return Variable(
                    name, kind=kind, owner=owner, note=pattern["note"], rule=pattern["rule"]
                )
    return Variable(name, kind=kind, owner=owner, providers=opens, rule=KIND_RULES.get(kind, ""))


def _matches(name: str, pattern: dict[str, str]) -> bool:
    if "prefix" in pattern:
        return name.startswith(pattern["prefix"])
    return name.endswith(pattern["suffix"]) and len(name) > len(pattern["suffix"])


def _read_providers() -> dict[str, Provider]:
    from guard.net import host_of

    defaults = data("hosts.toml")["sdk_default"]
    found = {}
    for key, entry in data("providers.json").items():
        if key.startswith("_"):
            continue
        api = entry["api"] or ""
        host = host_of(api) if api else defaults.get(key, "")
        found[key] = Provider(
            key,
            name=entry["name"],
            env=tuple(entry["env"]),
            api=api,
            host="" if "$" in host else host,
        )
    return found


def _read_variables() -> dict[str, Variable]:
    opened_by: dict[str, list[str]] = {}
    known = providers()
    for provider in known.values():
        for name in provider.env:
            opened_by.setdefault(name, []).append(provider.id)
    source = provenance()
    found = {}
    for name, ids in opened_by.items():
        # of providers that share a name, the one with the shortest id is the one people know;
        # what its name says in brackets tells it from the others: "MiniMax (minimax.io)"
        owner = known[min(ids, key=lambda id_: (len(id_), id_))].name
        if len(ids) > 1:
            owner = owner.partition(" (")[0]
        found[name] = Variable(
            name,
            kind="provider_key",
            owner=owner,
            providers=tuple(ids),
            rule=KIND_RULES["provider_key"],
            source=source,
            sure="run",
        )
    for group in data("variables.toml")["group"]:
        owners = group.get("owners") or dict.fromkeys(group["names"], group["owner"])
        for name, owner in owners.items():
            ids = opened_by.get(name, []) + group.get("opens", [])
            found[name] = Variable(
                name,
                kind=group["kind"],
                owner=owner,
                note=group.get("note", ""),
                providers=tuple(ids),
                rule=group.get("rule", KIND_RULES.get(group["kind"], "")),
                source=group["source"],
                sure=group["sure"],
            )
    return found


def data(name: str) -> dict[str, Any]:
    """What the data file `name` here holds, JSON or TOML: read once, not to be changed.

    TOML is parsed once and then kept where Python keeps what it compiled, for as long as the source
    is the same file: parsing takes as long as the start of Python. One file holds all tables, by
    the name that the bytecode of `tables` would have.
    """
    if name not in _cache:
        path = os.path.join(_HERE, name)
        _cache[name] = _json(path) if name.endswith(".json") else _toml(path)
    content: dict[str, Any] = _cache[name]
    return content


def _json(path: str) -> Any:
    from guard.files import quick_json

    with open(path, "rb") as file:
        return quick_json.loads(file.read().decode())


def _toml(path: str) -> dict[str, Any]:
    import sys

    # as `importlib.util` has it, which takes 5 ms to load
    from _frozen_importlib_external import cache_from_source

    found = os.stat(path)
    state = [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]
    file = cache_from_source(os.path.join(_HERE, "tables.py"))
    name = os.path.basename(path)
    if "" not in _cache:
        _cache[""] = _tables(file)
    content: dict[str, Any]
    of, content = _cache[""].get(name, ([], {}))
    if of == state:
        return content
    import tomllib

    with open(path, "rb") as source:
        content = tomllib.load(source)
    if not sys.dont_write_bytecode:
        _keep(file, name, (state, content))
    return content


def _keep(file: str, name: str, table: tuple[list[int], dict[str, Any]]) -> None:
    """Add `table` to those that `file` holds, one process at a time: of two that read and then
    write, the second would take away what the first added."""
    from guard.files import quick_json, write
    from guard.files.lock import lock

    try:
        with lock(os.path.dirname(file), _PATIENCE, directory=True):
            write.write(file, quick_json.dumps({**_tables(file), name: table}).encode(), 0o644)
    except OSError:
        pass  # not ours to write, as in an installation of root's


def _tables(file: str) -> dict[str, tuple[list[int], dict[str, Any]]]:
    """By name the state of each source and what it holds, as `file` has them."""
    found: dict[str, tuple[list[int], dict[str, Any]]] = {}
    try:
        for name, (state, content) in _json(file).items():
            if isinstance(state, list) and isinstance(content, dict):
                found[name] = state, content
    except (OSError, ValueError, TypeError, AttributeError):
        pass
    return found
