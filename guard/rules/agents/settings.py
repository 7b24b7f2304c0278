"""What the settings of agents have in common: a base URL, and how it is said that it leaves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guard.net import host_of, same_place
from guard.rules.files.scope import Placed, Scope, Span
from guard.rules.files.variables import references
from guard.sources.positions.nodes import SCALAR, Node

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy

UNREADABLE = "the agent will read this file, and it cannot be checked: "

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


def unreadable(scope: Scope, offset: int, why: str) -> Finding:
    """The finding for a file that the agent reads and the check cannot."""
    place = Span(offset, offset)
    fix = "repair it or remove it"
    return scope.finding("RG303", place, scope.file.path, UNREADABLE + why, fix=fix)


def leads_away(
    scope: Scope, place: Placed, subject: str, url: str, sends: str, fix: str
) -> Finding:
    """The finding for the base URL `url`; `sends` is what goes there ("calls go to")."""
    message = f"{sends} {host_of(url) or 'another host'}, not to the gateway"
    return scope.finding("RG302", place, subject, message, fix=fix)


def base_urls(node: Node) -> list[tuple[Node, Node]]:
    """(key, value) of every base URL in `node`."""
    pairs = [pair for below in node.walk() for pair in below.pairs]
    return [(key, value) for key, value in pairs if is_base_url(key.value, value)]


def is_base_url(key: str, value: Node) -> bool:
    if value.kind != SCALAR or key.lower() not in _BASE_URL_KEYS:
        return False
    return "://" in value.value or "{env:" in value.value or "$" in value.value


def is_gateway(url: str, policy: CompiledPolicy) -> bool:
    if "{env:" in url or "$" in url:
        names = re.findall(r"\{env:(\w+)\}", url) + references(url)
        return bool(names) and all("PORTKEY" in name.upper() for name in names)
    return same_place(url, policy.base_url)
