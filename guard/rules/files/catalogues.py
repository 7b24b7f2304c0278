"""Data that lists model providers: their addresses in entries beside each other, and who calls
which of them is said elsewhere.

Taken for one only where everything says so: what the entries are called, that they are alike, and
that nothing in the file holds a key, says which entry is used, or which model it is asked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from guard.catalog.key_shapes import looks_like_key
from guard.files.read import MalformedError
from guard.late import late
from guard.sources.positions.formats import documents
from guard.sources.positions.nodes import LIST, MAP, SCALAR, Node

if TYPE_CHECKING:
    from guard.rules.files.scope import Placed
    from guard.sources.file import SourceFile

_LARGEST = 200_000
"""Characters of YAML that are parsed, about two seconds' worth."""

_LEAST = 4
"""Providers of whom a list has to hold addresses."""

_LISTS = late(
    r"providers?|vendors?|models?|llms?|catalog(?:ue)?s?|registry|pric(?:es?|ing)|costs?|known"
    r"|allow(?:ed|list)?|den(?:y|ied)|block(?:ed|list)?|presets?|supported|available|directory"
)
"""Words of the name of what lists providers: of the file, or of a key above the entries."""

_CONFIGURES = late(
    r"conf(?:ig(?:uration|s)?|\.d)?|settings?|options?|application|bootstrap|values?|env(?:ironments?)?"
    r"|profiles?|deploy(?:ments?)?|compose|pyproject|cargo|package|test(?:s|ing)?|prod(?:uction)?|dev"
    r"|staging|local|rc|gateway|router|proxy|litellm"
)
"""Words of the name of a file that configures something."""

_RUNS = frozenset(
    (
        *("services", "jobs", "stages", "steps", "apiVersion", "kind", "pipelines", "tasks"),
        *("prompts", "routes", "router", "routers", "upstreams", "clusters", "static_resources"),
        *("endpoints", "backends", "deployments", "litellm_settings", "general_settings"),
    )
)
"""What stands at the top of files that start something, or send something somewhere."""

_CHOICE = late(
    r"(?:(?:default|active|current|selected|main|primary|preferred|fallback)[_-]?)?"
    r"(?:models?|(?:model[_-]?)?provider|llm|backend|client|profile|agent|engine)(?:[_-]?(?:id|name))?"
    r"|default|active|current|selected|primary|preferred|fallback|use",
)
"""Names, in lower case, by which a configuration says which of its providers is used."""

_ASKED = frozenset(
    ("model", "modelname", "modelid", "deployment", "deploymentname", "engine", "litellmparams")
)
"""Names in an entry that is a model to call, as letters alone."""

_ON = frozenset(("enabled", "default", "isdefault", "active", "primary", "selected", "use", "main"))
"""Names, as letters alone, that say of an entry that it is used."""

_CREDENTIAL = late(
    r"(?:.*[_-])?(?:api[_-]?keys?|secrets?(?:[_-]?keys?)?|authorization|credentials?|passwords?"
    r"|(?:auth|access|api|bearer)[_-]?tokens?|key[_-]?(?:file|path|cmd|command|ref))"
)
_KEY = late(r"(?:.*[_-])?(?:keys?|tokens?|auth|headers?|x-api-key)")
_VALUE = late(
    # a reference, and what is written out
    r".*(?:\$\{|\{\{|\$[A-Za-z_]|\{env:|os\.environ|secrets\.|process\.env|!(?:env|secret)).*"
    r"|(?:.*\bbearer )?[A-Za-z0-9_.-]{16,}",
    re.IGNORECASE,
)
_SAYS_NOTHING = late(
    r"[A-Z][A-Z0-9_]*|[0-9.e+-]*|(?i:true|false|yes|no|null|none|required|optional|header|bearer|basic"
    r"|query|x-api-key|authorization)"
)
"""The name of a variable, a number, whether there has to be a key or where it goes."""

_PLAIN = late(r"https?://[^\s@?#$<>{}%]+", re.IGNORECASE)
_VARIABLE = late(r"[A-Z][A-Z0-9_]+|value")
_SETTING = late(r".*(?:url|uri|base|host|endpoint|api|server|value)", re.IGNORECASE)
"""The name of a setting, not of a provider."""

_ID = frozenset(("id", "name", "slug", "key", "provider"))


class _Address(NamedTuple):
    """An address in the data: the containers above it, the outermost first, each with what of it
    leads there; and the names of those."""

    node: Node
    above: tuple[tuple[Node, str, Node], ...]


def places(file: SourceFile) -> list[Placed]:
    """Where the addresses stand that `file`, data in YAML, JSON or TOML, only lists. Nowhere for
    what may be a configuration, or cannot be read."""
    name = file.name.lower()
    if name.endswith((".yml", ".yaml")) and len(file.text) > _LARGEST:
        return []
    if name[0] == "." or any(_CONFIGURES.fullmatch(word) for word in _words(_stem(name))):
        return []
    try:
        roots = documents(name, file.text)
    except MalformedError:
        return []
    if any(_runs(root) for root in roots):
        return []
    found: list[Placed] = []
    for root in roots:
        for listed in _lists(root, _stem(name)):
            if any(_chooses(one, listed) for one in roots):
                return []
            found += [one.node for one in listed.addresses]
    return found


class _List(NamedTuple):
    """Entries beside each other that hold an address at the same place each."""

    entries: list[Node]
    names: frozenset[str]
    addresses: list[_Address]


def _lists(root: Node, stem: str) -> list[_List]:
    """The lists of providers in `root`, the content of a file whose name is `stem`."""
    groups: dict[tuple[int, tuple[str, ...]], list[tuple[_Address, int]]] = {}
    for address in _addresses(root):
        path = tuple("" if node.kind == LIST else key for node, key, _ in address.above)
        for level, (node, _, _) in enumerate(address.above):
            groups.setdefault((id(node), path[level + 1 :]), []).append((address, level))
    found = []
    for group in groups.values():
        first, level = group[0]
        names = [stem, *(key for _, key, _ in first.above[:level])]
        hosts = {one.node.value.strip().split("/")[2].lower() for one, _ in group}
        entries = [one.above[level][2] for one, _ in group]
        if first.above[level][0].kind == LIST:
            # one without an address is none the less an entry
            entries = [item for item in first.above[level][0].items if item.kind == MAP] or entries
        if (
            len(hosts) >= _LEAST
            and any(_LISTS.fullmatch(word) for name in names for word in _words(name))
            and not _are_settings(group)
            and not any(_is_asked(entry) for entry in entries)
        ):
            found.append(_List(entries, _names(group), [one for one, _ in group]))
    return found


def _are_settings(group: list[tuple[_Address, int]]) -> bool:
    """Whether it is variables, or settings, that are beside each other."""
    for one, level in group:
        node, key, _ = one.above[-1]
        if node.kind == MAP and _VARIABLE.fullmatch(key):
            return True
        if node.kind == MAP and level == len(one.above) - 1 and _SETTING.fullmatch(key):
            return True
    return False


def _names(group: list[tuple[_Address, int]]) -> frozenset[str]:
    """What the entries are called, in lower case."""
    names = set()
    for one, level in group:
        node, key, entry = one.above[level]
        if node.kind == MAP:
            names.add(key.lower())
        names |= {
            value.value.strip().lower()
            for name, value in entry.pairs
            if value.kind == SCALAR and name.value.lower() in _ID
        }
    return frozenset(names - {""})


def _addresses(root: Node) -> list[_Address]:
    """Each address in `root` that is nothing else, once."""
    found: list[_Address] = []
    seen: set[int] = set()
    open_: list[_Address] = [_Address(root, ())]
    while open_:
        one = open_.pop()
        node = one.node
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.kind == SCALAR:
            if _PLAIN.fullmatch(node.value.strip()):
                found.append(one)
            continue
        below = [("", item) for item in node.items] + [(k.value, v) for k, v in node.pairs]
        open_ += [
            _Address(value, (*one.above, (node, key, value))) for key, value in reversed(below)
        ]
    return found


def _runs(root: Node) -> bool:
    """Whether the document starts something, or holds a key."""
    if any(key.value in _RUNS for key, _ in root.pairs):
        return True
    for node in root.walk():
        if node.kind == SCALAR and looks_like_key(node.value):
            return True
        for key, value in node.pairs:
            name = key.value.lower()
            of_key, credential = _KEY.fullmatch(name), _CREDENTIAL.fullmatch(name)
            if not of_key and not credential:
                continue
            for said in (one.value.strip() for one in value.walk() if one.kind == SCALAR):
                if _SAYS_NOTHING.fullmatch(said):
                    continue
                if credential or _VALUE.fullmatch(said):
                    return True
    return False


def _is_asked(entry: Node) -> bool:
    """Whether `entry` says that it is used, or for which model it is asked."""
    for node in entry.walk():
        for key, value in node.pairs:
            plain = re.sub(r"[^a-z]", "", key.value.lower())
            if plain in _ASKED or (
                plain in _ON and value.value.lower() in ("true", "yes", "on", "1")
            ):
                return True
    return False


def _chooses(root: Node, listed: _List) -> bool:
    """Whether something outside of the entries says which of them is used."""
    seen = {id(entry) for entry in listed.entries}
    open_ = [root]
    while open_:
        node = open_.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.kind == SCALAR:
            first = re.split(r"[/,:\s]", node.value.strip().lower(), maxsplit=1)[0]
            if first in listed.names:
                return True
        if any(
            value.kind == SCALAR and _CHOICE.fullmatch(key.value.lower())
            for key, value in node.pairs
        ):
            return True
        open_ += node.items
        open_ += (value for _, value in node.pairs)
    return False


def _stem(name: str) -> str:
    return name.lstrip(".").rpartition(".")[0]


def _words(name: str) -> list[str]:
    """The words of a name, in lower case: `modelList`, `allowed_hosts`."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.sub(r"[_.-]", " ", apart).lower().split()
