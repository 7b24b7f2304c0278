"""What the settings of agents have in common: a base URL, and how it is said that it leaves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guard import variables
from guard.catalog.endpoints import is_provider_url
from guard.net import is_within, read_url
from guard.rules.files.scope import Placed, Scope
from guard.rules.files.variables import references
from guard.sources.positions.nodes import SCALAR, Node

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy

_BASE_URL_KEYS = frozenset(
    (
        "baseurl",
        "base_url",
        "base-url",
        "api_base",
        "apibase",
        "api_url",
        "apiurl",
        "api",
        "openai_base_url",
        "openai-api-base",
        "openai_api_base",
        "openai_host",
        "anthropic_host",
        "endpoint",
    )
)


def leads_away(
    scope: Scope, place: Placed, subject: str, url: str, sends: str, fix: str
) -> Finding:
    """The finding for the base URL `url`; `sends` is what goes there ("calls go to")."""
    message = f"{sends} {variables.shown(url)}, not to the gateway"
    return scope.finding("RG302", place, subject, message, fix=fix)


def base_urls(node: Node) -> list[tuple[Node, Node]]:
    """(key, value) of every base URL in `node`."""
    pairs = [pair for below in node.walk() for pair in below.pairs]
    return [(key, value) for key, value in pairs if is_base_url(key.value, value)]


def is_base_url(key: str, value: Node) -> bool:
    """Whether `value` is where calls go: by its key, or because it is the API of a provider."""
    if value.kind != SCALAR:
        return False
    if key.lower() in _BASE_URL_KEYS:
        return "://" in value.value or "{env:" in value.value or "$" in value.value
    found = read_url(value.value) if "://" in value.value else None
    return found is not None and is_provider_url(found.host, found.path)


def is_gateway(url: str, policy: CompiledPolicy) -> bool:
    if "{env:" in url or "$" in url:
        names = re.findall(r"\{env:(\w+)\}", url) + references(url)
        return bool(names) and all("PORTKEY" in name.upper() for name in names)
    return is_within(url, policy.base_url)
