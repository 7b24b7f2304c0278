"""Clients of model providers that need no address, from clients.toml. Cold path."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from guard.catalog import entries


class ModelClient(NamedTuple):
    """What is called of some modules; `owner` is whom it reaches when it is given no address."""

    owner: str
    python: tuple[str, ...]
    javascript: tuple[str, ...]
    names: frozenset[str]


@cache
def clients() -> tuple[ModelClient, ...]:
    """Every client."""
    return tuple(
        ModelClient(
            row["owner"], tuple(row["python"]), tuple(row["javascript"]), frozenset(row["names"])
        )
        for row in entries.data("clients.toml")["client"]
    )


@cache
def address_arguments() -> frozenset[str]:
    """Arguments that give an address or something that holds one, letters alone, lower case."""
    return frozenset(entries.data("clients.toml")["common"]["address"])
