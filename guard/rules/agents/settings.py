"""What the settings of agents have in common: a base URL, and how it is said that it leaves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guard.net import same_place
from guard.rules.files.location import at
from guard.rules.files.variables import references
from guard.sources.positions.nodes import SCALAR, Node

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

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


def unreadable(file: SourceFile, offset: int, why: str) -> Finding:
    return at(
        file,
        "RG303",
        offset,
        offset,
        file.path,
        UNREADABLE + why,
        fix="repair it or remove it",
    )


def leaves(file: SourceFile, start: int, end: int, subject: str, message: str, fix: str) -> Finding:
    return at(file, "RG302", start, end, subject, message, fix=fix)


def is_base_url(key: str, value: Node) -> bool:
    if value.kind != SCALAR or key.lower() not in _BASE_URL_KEYS:
        return False
    return "://" in value.value or "{env:" in value.value or "$" in value.value


def is_gateway(url: str, policy: CompiledPolicy) -> bool:
    if "{env:" in url or "$" in url:
        names = re.findall(r"\{env:(\w+)\}", url) + references(url)
        return bool(names) and all("PORTKEY" in name.upper() for name in names)
    return same_place(url, policy.base_url)
