"""Which programs and container images are model proxies that run on one's own machine."""

from __future__ import annotations

import re
from functools import cache

from guard.catalog import entries
from guard.catalog.programs import APPLICATION_SERVERS
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from guard.catalog.programs import Program

_INFORMS = frozenset(("--version", "-v", "-V", "--help", "-h", "version", "help", "stop", "status"))


class Proxy(Record):
    """One local proxy or model server.

    `ports` are those it listens on by default, `alone` those of them that only local proxies use,
    `forwarded` those that count where another machine's is brought here, `forwarded_whole` those
    that do if the port is the same there. `general` is one that serves much else: it is told by
    name and never forbidden.
    """

    id: str
    name: str
    ports: tuple[int, ...]
    alone: tuple[int, ...] = ()
    forwarded: tuple[int, ...] = ()
    forwarded_whole: tuple[int, ...] = ()
    kind: str = ""
    general: bool = False

    def _complete(self) -> None:
        self.forwarded = (*self.alone, *self.forwarded)


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


class _Form:
    """What a command has to hold beyond its program's name."""

    __slots__ = ("bare", "default_port", "flags", "proxy", "routes", "sub", "unless", "valued")

    def __init__(self, proxy: Proxy, given: Mapping[str, Any]) -> None:
        self.proxy = proxy
        self.sub = tuple(words.split() for words in given.get("sub", ()))
        self.flags = frozenset(given.get("flags", ()))
        self.unless = frozenset(given.get("unless", ()))
        self.valued = frozenset(given.get("valued", ()))
        self.bare = bool(given.get("bare"))
        self.routes = bool(given.get("routes"))
        self.default_port = bool(given.get("default_port"))

    def fits(self, arguments: Sequence[str]) -> bool:
        words = operands(arguments, self.valued)
        if self.bare and words:
            return False
        if self.sub and not any(words[: len(sub)] == sub for sub in self.sub):
            return False
        options = {a.partition("=")[0] for a in arguments}
        if not self.unless.isdisjoint(options):
            return False
        return not self.flags or not self.flags.isdisjoint(options)


class Door(Record):
    """One way in which a proxy comes to this machine without being started by its own name.

    A row of `managers` or of `tunnels`; the fields are described there.
    """

    programs: frozenset[str]
    prefix: Sequence[str]
    verbs: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    one: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    valued: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()
    needs: str = ""
    operands: str = ""
    ssh: bool = False

    def _complete(self) -> None:
        self.valued |= self.named


def _door(row: Mapping[str, Any]) -> Door:
    given = {key: frozenset(v) if isinstance(v, list) else v for key, v in row.items()}
    return Door(**{**given, "prefix": row.get("prefix", [])})


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
        self.services: list[tuple[tuple[str, ...], Proxy]] = []
        self.not_services = frozenset(data["not_services"]["words"])
        self.managers = [_door(row) for row in data["managers"]["rows"]]
        self.tunnels = [_door(row) for row in data["tunnels"]["rows"]]
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
                forwarded=tuple(entry.get("forwarded", ())),
                forwarded_whole=tuple(entry.get("forwarded_whole", ())),
                kind=entry["kind"],
                general=bool(entry.get("general")),
            )
            self.proxies[proxy.id] = proxy
            for form in entry.get("programs", ()):
                needle = form.get("container_needle")
                for name in form["names"]:
                    self.programs.setdefault(name, []).append(_Form(proxy, form))
                    words.add(f"docker {needle}" if needle else name)
            for name in entry.get("services", ()):
                self.services.append((tuple(_tokens(name)), proxy))
                words.add(name)
            words.update(map(str, (*proxy.forwarded, *proxy.forwarded_whole)))
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
    return _Catalogue(entries.data("local_proxies.json"))


def words() -> frozenset[str]:
    """Lower-case words of which a start command or image name of any proxy holds one."""
    return _catalogue().words


def proxies() -> tuple[Proxy, ...]:
    """Every entry, in the order of the data."""
    return tuple(_catalogue().proxies.values())


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


def package(name: str) -> Proxy | None:
    """The proxy that the npm package of that name is."""
    return _catalogue().packages.get(name)


def started(program: Program, *, package: str = "") -> tuple[Proxy | None, bool]:
    """The proxy that this command starts, None if it starts none; and whether it is only a route.

    `package` is the name of the npm or Python package that is fetched and started, if it is. A
    route is a command that sends an agent through the proxy, which runs or is started beside it.
    """
    known = _catalogue()
    arguments = program.arguments
    if package in known.packages:
        return known.packages[package], False
    if (arguments and arguments[0] in _INFORMS) or "--help" in arguments:
        return None, False
    if program.module or program.installed:
        for module in (program.module, program.installed):
            if module in APPLICATION_SERVERS:
                return _application(arguments), False
            if module in known.modules:
                return known.modules[module], False
    if program.interpreter != "shell":  # a script that has such a name may do anything
        for name in map(str.lower, program.names):
            name = name.removesuffix(".exe")
            for form in known.programs.get(name, ()):
                if form.fits(arguments):
                    return form.proxy, form.routes
            if name in APPLICATION_SERVERS:
                return _application(arguments), False
    return (in_package("/" + program.resolved) if program.interpreted else None), False


def service(name: str) -> Proxy | None:
    """The proxy that a unit, container, service or host of this name is, as far as names tell."""
    tokens = _tokens(name)
    known = _catalogue()
    if not known.not_services.isdisjoint(tokens):
        return None
    for wanted, proxy in known.services:
        count = len(wanted)
        if any(tuple(tokens[i : i + count]) == wanted for i in range(len(tokens) - count + 1)):
            return proxy
    return None


def managers() -> list[Door]:
    """How services are started by their names."""
    return _catalogue().managers


def tunnels() -> list[Door]:
    """How a port of another machine is brought to this one."""
    return _catalogue().tunnels


def forwarded(local: int, remote: int) -> Proxy | None:
    """The proxy for which people bring the port `remote` of another machine to `local` of this."""
    for port in (local, remote):
        for proxy in proxies():
            if port in proxy.forwarded or (local == remote and port in proxy.forwarded_whole):
                return proxy
    return None


def needles() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """What a hook looks for in a typed line before anything else, in lower case.

    Every line that starts a proxy holds one of the first; every line that runs a container image
    one of the first or of the second. The third are names of programs that can be the name of a
    function in bash.
    """
    proxies = entries.data("local_proxies.json")["proxies"]
    programs: set[str] = set()
    images: set[str] = set()
    names: set[str] = set()
    for entry in proxies:
        for form in entry.get("programs", ()):
            if "container_needle" in form:
                images.add(form["container_needle"])
                continue
            programs.update([form["needle"]] if "needle" in form else form["names"])
            names.update(name for name in form["names"] if re.fullmatch(r"[\w.-]+", name))
        programs.update(module.partition(".")[0] for module in entry.get("modules", ()))
        programs.update(entry.get("packages", ()))
        programs.update(entry.get("services", ()))
        # an application is named by its module, from the first character on
        programs.update(
            re.split(r"\W", pattern.lstrip("^"))[0] for pattern in entry.get("asgi", ())
        )
        for key in ("alone", "forwarded", "forwarded_whole"):
            programs.update(map(str, entry.get(key, ())))
        images.update(n for pattern in entry.get("images", ()) for n in _plain(pattern))
    shortest = _shortest(programs)
    others = [i for i in _shortest(images) if not any(p in i for p in shortest)]
    return tuple(shortest), tuple(others), tuple(sorted(names))


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
        if form.routes:
            continue
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


def operands(words: Sequence[str], valued: Collection[str] = ()) -> list[str]:
    """The words that are no options, nor the values of those in `valued`."""
    found = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in valued:
            skip = True
        elif not word.startswith("-"):
            found.append(word)
    return found


def _tokens(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def _plain(pattern: str) -> Iterator[str]:
    """Runs of plain characters of which every text that matches `pattern` holds one."""
    group = re.search(r"\(([^()]*)\)([?*]?)", pattern)
    if group:
        before, after = pattern[: group.start()], pattern[group.end() :]
        for inside in [" "] if group.group(2) else group.group(1).split("|"):
            yield from _plain(before + inside + after)
        return
    runs = re.sub(r"\\.|\[.*?\][*+?]?|.[?*]|[\^$+.|]", " ", pattern).split()
    yield max((run.strip("/") for run in runs), key=len)


def _shortest(words: Iterable[str]) -> list[str]:
    """`words` in lower case without those that hold another one."""
    lower = {word.lower() for word in words}
    return sorted(w for w in lower if not any(o in w for o in lower if o != w))
