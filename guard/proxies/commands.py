"""What a command does about local proxies: it starts one, sends an agent through one, or brings
one of another machine to a port of this one.

The judge of typed lines and `check` ask here; names, ports and options are the catalogue's.
"""

from __future__ import annotations

import re

from guard.catalog import local_proxies
from guard.catalog.programs import effective
from guard.catalog.runners import package_name
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.catalog.local_proxies import Door, Proxy
    from guard.sources.positions.shell_calls import Call, Script

STARTS = "starts"
ROUTES = "routes"
FORWARDS = "forwards"

_PORT_OPTIONS = frozenset(("--port", "-p", "--publish"))

# ssh(1): options that take no value, which may stand before one that does in a cluster; the others
_SSH_FLAGS = "46AaCfGgKkMNnqsTtVvXxYy"
_SSH_VALUED = "BbcDEeFIiJLlmOopPQRSWw"
_NUMBER = re.compile(r"(?<![\w.-])\d{2,5}(?![\w.-])")
_LABEL = re.compile(r"[^\s/:,=@\[\]{}\"'|]+")
# what listens there is surely no model: ssh, mail, DNS, LDAP, databases, queues, desktops
_OTHER_SERVERS = frozenset(
    (
        *(22, 25, 53, 110, 143, 389, 465, 587, 636, 993, 1433, 1521, 1883, 2181, 3306, 3389, 5432),
        *(5672, 5900, 6379, 6443, 9042, 9092, 9200, 11211, 15672, 27017),
    )
)


class Start(Record):
    """What a command does: `how` is STARTS, ROUTES or FORWARDS, `ports` are those of this machine
    that it names, else the proxy's own."""

    proxy: Proxy
    ports: tuple[int, ...]
    how: str = STARTS

    @property
    def deed(self) -> str:
        """It in words, behind "this line": `starts Ollama`."""
        if self.how == ROUTES:
            return f"sends an agent through {self.proxy.name}"
        if self.how == FORWARDS:
            return f"brings {self.proxy.name} of another machine to this one"
        return f"starts {self.proxy.name}"


def start_of(call: Call, script: Script, container: Call | None = None) -> Start | None:
    """What `call` does about a local proxy, None if nothing.

    `container` is the call that runs the container, if `call` is one's image or command: it names
    the ports.
    """
    words = [script.value(word) or word.shown for word in call.words]
    if call.image:
        proxy = local_proxies.image(words[0])
        return _start(proxy, [*_ports(container)] if container else [])
    for fetched in map(package_name, call.packages):
        proxy = local_proxies.package(fetched)
        if proxy is not None:
            return _start(proxy, [*_ports(call)])
    package = package_name(words[0]) if call.package else ""
    program = effective("", (call.program if package else words[0], *words[1:]), links=False)
    proxy, routes = local_proxies.started(program, package=package)
    if proxy is not None:
        return _start(proxy, [*_ports(container or call)], ROUTES if routes else STARTS)
    name = words[0].rpartition("/")[2]
    for door in local_proxies.managers():
        if name in door.programs:
            found = next(filter(None, map(local_proxies.service, _services(door, words[1:]))), None)
            if found is not None:
                return _start(found, [])
    for door in local_proxies.tunnels():
        if name in door.programs:
            through = _tunnel(door, words[1:])
            if through is not None:
                return through
    return None


def _start(proxy: Proxy | None, ports: Sequence[int], how: str = STARTS) -> Start | None:
    return None if proxy is None else Start(proxy, tuple(ports) or proxy.ports, how)


def _behind_verb(door: Door, words: Sequence[str], within: int) -> tuple[str, list[str]] | None:
    """The verb of `door` and the operands beside it, None if `words` are no such command."""
    if not door.elsewhere.isdisjoint(word.partition("=")[0] for word in words):
        return None
    if door.flags and door.flags.isdisjoint(words):
        return None
    if door.needs and not any(re.search(door.needs, word) for word in words):
        return None
    operands = local_proxies.operands(words, door.valued)
    count = len(door.prefix)
    if operands[:count] != door.prefix:
        return None
    operands = operands[count:]
    if not door.verbs:
        return "", operands
    for index, word in enumerate(operands[:within]):
        if word in door.verbs:
            return word, operands[:index] + operands[index + 1 :]
    return None


def _services(door: Door, words: Sequence[str]) -> Iterator[str]:
    """The names of services that a manager is told to start."""
    found = _behind_verb(door, words, 2)
    if found is None:
        return
    verb, operands = found
    for word, value in zip(words, [*words[1:], ""], strict=True):
        option, equals, own = word.partition("=")
        if option in door.named or (option[1:].isalpha() and f"-{option[-1]}" in door.named):
            yield own if equals else value
    for word in operands[:1] if verb in door.one else operands:
        if not door.operands or re.search(door.operands, word):
            yield from _LABEL.findall(word)


def _tunnel(door: Door, words: Sequence[str]) -> Start | None:
    """What is brought here through `door`, if that is a proxy."""
    found = _behind_verb(door, words, 4)
    if found is None:
        return None
    if door.ssh:
        specs = [*_ssh_forwards(words, own=not door.verbs)]
        hosts: list[str] = []
        if not specs and any(re.fullmatch(r"-[a-zA-Z0-9]*N[a-zA-Z0-9]*", w) for w in words):
            # with no command, it is there for what its configuration forwards
            hosts = local_proxies.operands(words, [f"-{letter}" for letter in _SSH_VALUED])[:2]
    else:
        specs = _without_values(door, words)
        hosts = []
    numbers = [[*map(int, _NUMBER.findall(spec))] for spec in specs]
    for spec in (*specs, *hosts):
        for label in _LABEL.findall(spec):
            proxy = local_proxies.service(label)
            if proxy is not None:
                ports = [number for found_there in numbers for number in found_there[:1]]
                return _start(proxy, ports[:1], FORWARDS)
    if not door.ssh:
        # what is given in several words belongs together
        numbers = [[number for found_there in numbers for number in found_there]]
    for ports in numbers:
        if not ports or not _OTHER_SERVERS.isdisjoint(ports):
            continue
        proxy = local_proxies.forwarded(ports[0], ports[-1])
        if proxy is not None:
            return Start(proxy, (ports[0],), FORWARDS)
    return None


def _without_values(door: Door, words: Sequence[str]) -> list[str]:
    """`words` without the options of `door` that say something else, and their values."""
    found = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in door.valued:
            skip = True
        elif word.partition("=")[0] not in door.valued and word not in door.verbs:
            found.append(word)
    return found


def _ssh_forwards(words: Sequence[str], *, own: bool) -> Iterator[str]:
    """The values of -L and LocalForward, in all spellings of ssh(1).

    They may stand behind the host, but not behind the remote command. Other programs (not `own`)
    hand them on behind a `--`, or in --ssh-flag.
    """
    at = 0
    host = False
    while at < len(words):
        word = words[at]
        at += 1
        if word.startswith("--ssh-flag"):
            flag = word.partition("=")[2] or (words[at] if at < len(words) else "")
            yield from _ssh_forwards(flag.split(), own=False)
            continue
        if not word.startswith("-") or word in ("-", "--"):
            if own and host and word != "--":
                return
            host = host or word != "--"
            continue
        cluster = re.match(rf"-[{_SSH_FLAGS}]*([{_SSH_VALUED}])(.*)", word, re.DOTALL)
        if cluster is None:
            continue
        option, value = cluster.groups()
        if not value:
            value = words[at] if at < len(words) else ""
            at += 1
        if option == "L":
            yield value
        elif option == "o":
            forward = re.match(r"(?i)\s*localforward\s*[=\s]\s*(.*)", value, re.DOTALL)
            if forward:
                yield forward.group(1)


def _ports(call: Call) -> Iterator[int]:
    """Ports that a call names: options, published ports of a container, variables."""
    words = [word.shown for word in call.words[1:]]
    for option, value in zip(words, [*words[1:], ""], strict=False):
        name, equals, own = option.partition("=")
        if name in _PORT_OPTIONS:
            yield from _port(own if equals else value)
    for assignment in call.environment:
        if assignment.name.endswith(("PORT", "HOST")):
            yield from _port("x:" + assignment.value.shown.rpartition(":")[2], last=True)


def _port(text: str, *, last: bool = False) -> Iterator[int]:
    """The port in `4000`, `4000:80` and `127.0.0.1:4000:80/tcp`; `last`: the one at the end."""
    parts = text.partition("/")[0].split(":")
    wanted = parts[-1] if last or len(parts) == 1 else parts[-2]
    if wanted.isascii() and wanted.isdigit() and 0 < int(wanted[:6]) < 65536:
        yield int(wanted)
