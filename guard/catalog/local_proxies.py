"""Which programs and container images are model proxies that run on one's own machine."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "local_proxies.json")
_SERVERS = frozenset(("uvicorn", "gunicorn", "hypercorn", "granian", "daphne"))
_INFORMS = frozenset(("--version", "-v", "-V", "--help", "-h", "version", "help"))


class Proxy:
    """One local proxy or model server: its id, its name, the ports it listens on by default."""

    __slots__ = ("id", "name", "ports")

    def __init__(self, id: str, name: str, ports: tuple[int, ...]) -> None:  # noqa: A002
        self.id = id
        self.name = name
        self.ports = ports

    def __repr__(self) -> str:
        return f"Proxy({self.id!r})"


class _Catalogue:
    """The data, indexed by what a start command begins with."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self.programs: dict[str, list[tuple[Proxy, frozenset[str], frozenset[str]]]] = {}
        self.modules: dict[str, Proxy] = {}
        self.packages: dict[str, Proxy] = {}
        self.applications: list[tuple[re.Pattern[str], Proxy]] = []
        self.images: list[tuple[re.Pattern[str], Proxy]] = []
        words: set[str] = set()
        for entry in entries:
            proxy = Proxy(entry["id"], entry["name"], tuple(entry["ports"]))
            for form in entry.get("programs", ()):
                rule = (proxy, frozenset(form.get("sub", ())), frozenset(form.get("flags", ())))
                for name in form["names"]:
                    self.programs.setdefault(name, []).append(rule)
                    words.add(name)
            for module in entry.get("modules", ()):
                self.modules[module] = proxy
                words.add(module.partition(".")[0])
            for package in entry.get("packages", ()):
                self.packages[package] = proxy
                words.add(package)
            for pattern in entry.get("asgi", ()):
                self.applications.append((re.compile(pattern), proxy))
            for pattern in entry.get("images", ()):
                self.images.append((re.compile(f"(?:.*/)?(?:{pattern})"), proxy))
                # the longest run of plain characters in the pattern is in every image it matches
                plain = re.sub(r"\[.*?\][*+]?|\(.*?\)\??|.[?*]|\\.", " ", pattern)
                words.add(max(re.split(r"[ /]", plain), key=len))
        self.words = frozenset(word.lower() for word in words if len(word) > 1)


@cache
def _catalogue() -> _Catalogue:
    with open(_FILE, encoding="utf-8") as file:
        return _Catalogue(json.load(file)["proxies"])


def words() -> frozenset[str]:
    """Lower-case words of which a start command or image name of any proxy holds one."""
    return _catalogue().words


def started(program: str, arguments: Sequence[str], *, package: bool = False) -> Proxy | None:
    """The proxy that this command starts, None if it starts none.

    `program` is the program's name without its directory, or, with `package`, the name of the
    npm or Python package that is fetched and started.
    """
    known = _catalogue()
    if arguments and arguments[0] in _INFORMS:
        return None
    if package and program in known.packages:
        return known.packages[program]
    name = program.lower()
    for proxy, subcommands, flags in known.programs.get(name, ()):
        if subcommands and _first_operand(arguments) not in subcommands:
            continue
        if flags and not any(argument.partition("=")[0] in flags for argument in arguments):
            continue
        return proxy
    if re.fullmatch(r"python(\d(\.\d+)?)?|py|pypy3?", name):
        for flag, module in pairwise(arguments):
            if flag == "-m":
                if module in _SERVERS:
                    return _application(arguments)
                return known.modules.get(module)
    if name in _SERVERS:
        return _application(arguments)
    return None


def image(reference: str) -> Proxy | None:
    """The proxy that a container image holds; `reference` may have a registry, tag and digest."""
    repository = reference.strip().lower().partition("@")[0]
    head, slash, last = repository.rpartition("/")
    repository = head + slash + last.partition(":")[0]
    for pattern, proxy in _catalogue().images:
        if pattern.fullmatch(repository):
            return proxy
    return None


def _application(arguments: Sequence[str]) -> Proxy | None:
    for argument in arguments:
        for pattern, proxy in _catalogue().applications:
            if pattern.search(argument):
                return proxy
    return None


def _first_operand(arguments: Sequence[str]) -> str:
    return next((a for a in arguments if not a.startswith("-")), "")
