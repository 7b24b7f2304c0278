"""Clients of model providers that need no address, from clients.toml. Cold path."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from guard.catalog import entries


class Constructor(NamedTuple):
    """What makes a client in a language whose options are calls, or stand behind it in a chain.

    `arguments` is a regex for one that holds no address, `needs` for one that there has to be, ""
    for none, `ends` what ends the chain, "" for none. `kept` is true of options, which count where
    they are given to a name.
    """

    owner: str
    language: str
    modules: tuple[str, ...]
    package: str
    calls: tuple[str, ...]
    arguments: str
    needs: str
    ends: str
    kept: bool


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
def constructors() -> tuple[Constructor, ...]:
    """Every client of the languages other than Python and JavaScript."""
    return tuple(
        Constructor(
            row["owner"],
            row["language"],
            tuple(row["modules"]),
            row.get("package", ""),
            tuple(row["calls"]),
            row.get("arguments", ""),
            row.get("needs", ""),
            row.get("ends", ""),
            row.get("kept", False),
        )
        for row in entries.data("clients.toml")["constructor"]
    )


@cache
def address_arguments() -> frozenset[str]:
    """Arguments that give an address or something that holds one, letters alone, lower case."""
    return frozenset(entries.data("clients.toml")["common"]["address"])
