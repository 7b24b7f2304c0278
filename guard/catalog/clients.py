"""Clients of model providers that need no address, from clients.toml. Cold path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from guard import catalog


@dataclass(frozen=True, slots=True)
class Client:
    """What is called of some modules; `owner` is whom it reaches when it is given no address."""

    owner: str
    python: tuple[str, ...]
    javascript: tuple[str, ...]
    names: frozenset[str]


@cache
def clients() -> tuple[Client, ...]:
    """Every client."""
    return tuple(
        Client(
            row["owner"], tuple(row["python"]), tuple(row["javascript"]), frozenset(row["names"])
        )
        for row in catalog.data("clients.toml")["client"]
    )


@cache
def address_arguments() -> frozenset[str]:
    """Arguments that give an address or something that holds one, letters alone, lower case."""
    return frozenset(catalog.data("clients.toml")["common"]["address"])
