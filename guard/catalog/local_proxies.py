"""Which programs and container images are model proxies that run on one's own machine."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from itertools import pairwise

from guard.catalog.programs import APPLICATION_SERVERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "local_proxies.json")
_INFORMS = frozenset(("--version", "-v", "-V", "--help", "-h", "version", "help"))


class Proxy:
    """One local proxy or model server.

    `ports` are those it listens on by default, `alone` those of them that only local proxies use.
    `general` is one that serves much else: it is told by name and never forbidden.
    """

    __slots__ = ("alone", "general", "id", "kind", "name", "ports")

    def __init__(
        self,
        id: str,  # noqa: A002
        name: str,
        ports: tuple[int, ...],
        *,
        alone: tuple[int, ...] = (),
        kind: str = "",
        general: bool = False,
    ) -> None:
        self.id = id
        self.name = name
        self.ports = ports
        self.alone = alone
        self.kind = kind
        self.general = general

    def __repr__(self) -> str:
        return f"Proxy({self.id!r})"


class Fingerprint:
    """What `proxy` alone answers to a GET of `path`: every part that is given has to be there.

    `equals` is the whole body without the white space around it, `contains` a part of it (white
    space around JSON's punctuation apart), `json` names in the object that the body is, `headers`
    lower-case names with text that their values hold, `status` 0 for any.
    """

    __slots__ = ("contains", "equals", "headers", "json", "path", "proxy", "status")

    def __init__(self, proxy: Proxy, given: Mapping[str, Any]) -> None:
        self.proxy = proxy
        self.path: str = given["path"]
        self.equals: str = given.get("equals", "")
        self.contains: str = given.get("contains", "")
        self.json: tuple[str, ...] = tuple(given.get("json", ()))
        self.headers: dict[str, str] = dict(given.get("header", {}))
        self.status: int = given.get("status", 0)

    def __repr__(self) -> str:
        return f"Fingerprint({self.proxy.id!r}, {self.path!r})"


class _Form:
    """What a command has to hold beyond its program's name."""

    __slots__ = ("default_port", "flags", "proxy", "sub")

    def __init__(self, proxy: Proxy, given: Mapping[str, Any]) -> None:
        self.proxy = proxy
        self.sub = frozenset(given.get("sub", ()))
        self.flags = frozenset(given.get("flags", ()))
        self.default_port = bool(given.get("default_port"))

    def fits(self, arguments: Sequence[str]) -> bool:
        if self.sub and _first_operand(arguments) not in self.sub:
            return False
        return not self.flags or any(a.partition("=")[0] in self.flags for a in arguments)


class _Catalogue:
    """The data, indexed by what a start command begins with."""

    def __init__(self, data: dict[str, Any]) -> None:
        entries: list[dict[str, Any]] = data["proxies"]
        self.harmless: dict[str, str] = {
            name: entry["why"] for entry in data["not_proxies"] for name in entry["names"]
        }
        self.forwarders = frozenset(data["forwarders"]["names"])
        self.activators = frozenset(data["activators"]["names"])
        self.proxies: dict[str, Proxy] = {}
        self.programs: dict[str, list[_Form]] = {}
        self.modules: dict[str, Proxy] = {}
        self.packages: dict[str, Proxy] = {}
        self.applications: list[tuple[str, Proxy]] = []
        self.images: list[tuple[str, Proxy]] = []
        # of a running process, beyond what starts one
        self.processes: dict[str, list[_Form]] = {}
        self.process_modules: dict[str, Proxy] = {}
        self.paths: list[tuple[str, Proxy]] = []
        self.titles: list[tuple[str, Proxy]] = []
        self.fingerprints: list[Fingerprint] = []
        words: set[str] = set()
        for entry in entries:
            proxy = Proxy(
                entry["id"],
                entry["name"],
                tuple(entry["ports"]),
                alone=tuple(entry.get("alone", ())),
                kind=entry["kind"],
                general=bool(entry.get("general")),
            )
            self.proxies[proxy.id] = proxy
            for form in entry.get("programs", ()):
                for name in form["names"]:
                    self.programs.setdefault(name, []).append(_Form(proxy, form))
                    words.add(name)
            for module in entry.get("modules", ()):
                self.modules[module] = proxy
                words.add(module.partition(".")[0])
            for package in entry.get("packages", ()):
                self.packages[package] = proxy
                words.add(package)
            for pattern in entry.get("asgi", ()):
                self.applications.append((pattern, proxy))
            for pattern in entry.get("images", ()):
                self.images.append((f"(?:.*/)?(?:{pattern})", proxy))
                # the longest run of plain characters in the pattern is in every image it matches
                plain = re.sub(r"\[.*?\][*+]?|\(.*?\)\??|.[?*]|\\.", " ", pattern)
                words.add(max(re.split(r"[ /]", plain), key=len))
            for form in entry.get("process", ()):
                for name in form.get("names", ()):
                    self.processes.setdefault(name, []).append(_Form(proxy, form))
                for module in form.get("modules", ()):
                    self.process_modules[module] = proxy
            self.paths += ((pattern, proxy) for pattern in entry.get("paths", ()))
            self.titles += ((pattern, proxy) for pattern in entry.get("titles", ()))
            self.fingerprints += (Fingerprint(proxy, f) for f in entry.get("fingerprints", ()))
        self.words = frozenset(word.lower() for word in words if len(word) > 1)


@cache
def _catalogue() -> _Catalogue:
    with open(_FILE, encoding="utf-8") as file:
        return _Catalogue(json.load(file))


def words() -> frozenset[str]:
    """Lower-case words of which a start command or image name of any proxy holds one."""
    return _catalogue().words


def proxies() -> tuple[Proxy, ...]:
    """Every entry, in the order of the data."""
    return tuple(_catalogue().proxies.values())


def by_id(id: str) -> Proxy | None:  # noqa: A002
    """The entry of that id."""
    return _catalogue().proxies.get(id)


@cache
def distinctive() -> frozenset[int]:
    """Ports that only local proxies use: whatever listens there is suspect."""
    return frozenset(port for proxy in proxies() for port in proxy.alone)


@cache
def default_ports() -> frozenset[int]:
    """Every port that an entry listens on by default, those that much else uses, too."""
    return frozenset(port for proxy in proxies() for port in proxy.ports)


def on_port(port: int) -> tuple[Proxy, ...]:
    """The entries with that default port; those that have it for themselves come first."""
    owners = [proxy for proxy in proxies() if port in proxy.ports]
    return tuple(sorted(owners, key=lambda proxy: port not in proxy.alone))


def fingerprints() -> tuple[Fingerprint, ...]:
    """How entries are told by what they answer over HTTP."""
    return tuple(_catalogue().fingerprints)


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
    for form in known.programs.get(name, ()):
        if form.fits(arguments):
            return form.proxy
    if re.fullmatch(r"python(\d(\.\d+)?)?|py|pypy3?", name):
        for flag, module in pairwise(arguments):
            if flag == "-m":
                if module in APPLICATION_SERVERS:
                    return _application(arguments)
                return known.modules.get(module)
    if name in APPLICATION_SERVERS:
        return _application(arguments)
    return None


def running(
    program: str, arguments: Sequence[str], *, module: bool = False, ports: Iterable[int] = ()
) -> Proxy | None:
    """The proxy that a running process is, by its effective program and the arguments after it.

    `program` is a name without directory and extension, or with `module` the dotted name of what
    `python -m` runs; `ports` are those it listens on: some names count on their own ports only.
    """
    known = _catalogue()
    if module:
        if program in APPLICATION_SERVERS:
            return _application(arguments)
        return known.modules.get(program) or known.process_modules.get(program)
    name = program.lower()
    listens = frozenset(ports)
    forms = known.programs.get(name, []) + known.processes.get(name, [])
    for form in forms:
        at_home = not form.default_port or not listens.isdisjoint(form.proxy.ports)
        if at_home and form.fits(arguments):
            return form.proxy
    return _application(arguments) if name in APPLICATION_SERVERS else None


def harmless(program: str) -> str:
    """Why the program of that name is no local proxy whatever it listens on, "" if not known."""
    return _catalogue().harmless.get(program.lower(), "")


def forwards(program: str) -> bool:
    """Whether the program of that name owns sockets for something else: ssh, docker-proxy."""
    return program.lower() in _catalogue().forwarders


def activates(program: str) -> bool:
    """Whether it holds sockets and starts a program when somebody connects: systemd, launchd."""
    return program.lower() in _catalogue().activators


def in_package(path: str) -> Proxy | None:
    """The proxy whose npm package holds `path`, by the innermost `node_modules`."""
    _, found, rest = path.rpartition("/node_modules/")
    if not found:
        return None
    parts = rest.split("/")
    name = "/".join(parts[:2]) if rest.startswith("@") else parts[0]
    return _catalogue().packages.get(name)


def at_path(path: str) -> Proxy | None:
    """The proxy that is known by the path of its program, script or working directory."""
    return next((p for pattern, p in _catalogue().paths if re.search(pattern, path)), None)


def titled(title: str) -> Proxy | None:
    """The proxy that is known by the title that it gives its process."""
    return next((p for pattern, p in _catalogue().titles if re.search(pattern, title)), None)


def image(reference: str) -> Proxy | None:
    """The proxy that a container image holds; `reference` may have a registry, tag and digest."""
    repository = reference.strip().lower().partition("@")[0]
    head, slash, last = repository.rpartition("/")
    repository = head + slash + last.partition(":")[0]
    for pattern, proxy in _catalogue().images:
        if re.fullmatch(pattern, repository):
            return proxy
    return None


def _application(arguments: Sequence[str]) -> Proxy | None:
    for argument in arguments:
        for pattern, proxy in _catalogue().applications:
            if re.search(pattern, argument):
                return proxy
    return None


def _first_operand(arguments: Sequence[str]) -> str:
    return next((a for a in arguments if not a.startswith("-")), "")
