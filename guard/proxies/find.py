"""What listens behind each socket: local proxies, other programs, and unidentified ones.

Cold path, asked on a hit only. Who holds a socket is asked of the system, then the program is
looked up in the catalogue, then, where that says nothing and the probing rules allow it, the port
is asked. Only sockets of one's own network namespace can be judged.
"""

from __future__ import annotations

import sys

from guard.catalog import local_proxies
from guard.proxies import identify
from guard.proxies.found import OTHER, PROXY, SUSPECT, UNKNOWN, Found, Process
from guard.proxies.gateway import is_gateway
from guard.record import Record
from guard.sources import keepers, processes
from guard.sources.keepers import Keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guard.catalog.local_proxies import Proxy
    from guard.proxies import fingerprint
    from guard.proxies.identify import ProxyIdentity
    from guard.sources.listener import Listener
    from guard.sources.processes import Snapshot

GATEWAY = "the gateway of the policy"
HTTP_PROXY = "the HTTP proxy of the policy"


class Judgement(Record):
    """A `Found`, and whether the next look will say the same of the same socket.

    Not `settled` is what an activator holds, what did not answer a question, and what could not
    be read.
    """

    found: Found
    settled: bool


class _Case(Record):
    """One port with one owner, while it is being judged."""

    port: int
    listeners: list[Listener]
    pids: Sequence[int]
    snapshot: Snapshot | None = None
    identity: ProxyIdentity | None = None
    parents: Sequence[Snapshot] = ()
    others: Sequence[Snapshot] = ()
    verdict: str = ""
    proxy: Proxy | None = None
    name: str = ""
    how: str = ""
    answered: bool = False
    keeper: Keeper | None = None
    settled: bool = True

    def conclude(self, verdict: str, proxy: Proxy | None, how: str, *, name: str = "") -> None:
        self.verdict = verdict
        self.proxy = proxy
        self.name = name or (proxy.name if proxy is not None else "")
        self.how = how


def find_listeners(
    listeners: Iterable[Listener],
    *,
    gateway: str = "",
    proxy: str = "",
    probe: bool = True,
    containers: bool = False,
) -> list[Found]:
    """What is behind `listeners`: one record for each port and owner, ordered by port.

    `gateway` is the policy's base URL, `proxy` the HTTP proxy that it names; `probe` allows HTTP
    questions to loopback; `containers` asks `docker ps` (at most 2 s) for the images behind
    published ports. Raises nothing for what goes away or may not be read.
    """
    judged = judge_listeners(
        listeners, gateway=gateway, proxy=proxy, probe=probe, containers=containers
    )
    return [one.found for one in judged]


def judge_listeners(
    listeners: Iterable[Listener],
    *,
    gateway: str = "",
    proxy: str = "",
    probe: bool = True,
    strangers: bool = True,
    containers: bool = False,
) -> list[Judgement]:
    """As `find`, and how long each answer holds.

    `strangers` False asks only ports of the catalogue: a launch does not send requests to every
    development server on the machine.
    """
    cases = _cases(list(listeners))
    published = _published() if containers else {}
    for case in cases:
        if is_gateway(case.port, case.listeners, gateway):
            case.conclude(OTHER, None, "its base_url names this port", name=GATEWAY)
            _identify(case)
        elif is_gateway(case.port, case.listeners, proxy):
            case.conclude(OTHER, None, "gateway.proxy of your policy names it", name=HTTP_PROXY)
            _identify(case)
        else:
            _identify(case)
            _judge_by_program(case, published)
    open_cases = [case for case in cases if not case.verdict]
    _judge_by_answers(open_cases, probe=probe, strangers=strangers)
    return [_record(case) for case in sorted(cases, key=lambda case: case.port)]


# Who owns a socket ------------------------------------------------------------------------------


def _cases(listeners: list[Listener]) -> list[_Case]:
    cases: dict[tuple[int, tuple[int, ...], int], _Case] = {}
    for one, pids in zip(listeners, processes.holders(listeners), strict=True):
        # sockets of unknown owners are told apart by user
        key = (one.port, pids, 0 if pids else one.uid)
        if key in cases:
            cases[key].listeners.append(one)
        else:
            cases[key] = _Case(one.port, [one], pids)
    return list(cases.values())


def _identify(case: _Case) -> None:
    """Look at the owners, and keep those that are still the ones that hold the socket."""
    looked: list[tuple[Snapshot, list[Snapshot], ProxyIdentity]] = []
    for pid in case.pids:
        snapshot = processes.snapshot(pid)
        if snapshot is None:
            continue
        parents = processes.parents(snapshot)
        identity = identify.identify(snapshot, ports=(case.port,), parents=parents)
        if not processes.holds(pid, case.listeners):
            continue  # gone, or its number is somebody else's by now
        looked.append((snapshot, parents, identity))
    if not looked:
        # who cannot be seen will not be seen next time; who has just gone may have a successor
        case.settled = not case.pids
        return
    # the identified one first, then the oldest: a master, not the workers it would start again
    looked.sort(key=lambda one: (_rank(one[2]), one[0].started, one[0].pid))
    case.snapshot, case.parents, case.identity = looked[0]
    case.others = [one[0] for one in looked[1:]]
    if any(one[2].activator for one in looked):
        case.settled = False


def _rank(identity: ProxyIdentity) -> int:
    if identity.proxy is not None:
        return 1 if identity.activator else 0
    if identity.activator:
        return 4
    return 2 if identity.other else 3


# Verdicts ---------------------------------------------------------------------------------------


def _judge_by_program(case: _Case, published: dict[int, tuple[str, str]]) -> None:
    identity = case.identity
    if case.port in published and (identity is None or identity.forwarder):
        container, image = published[case.port]
        case.keeper = keepers.container(container)
        proxy = local_proxies.image(image)
        if proxy is not None:
            case.conclude(PROXY, proxy, f"container {container} of image {_plain(image)}")
            return
    if identity is None:
        _judge_foreign(case)
        return
    if identity.proxy is not None:
        case.conclude(PROXY, identity.proxy, identity.how)
    elif identity.other and (identity.sure or not _dedicated(case.port)):
        case.conclude(OTHER, None, identity.other)


def _judge_foreign(case: _Case) -> None:
    """The owner may not be seen, but the command lines of its user's processes often may."""
    uid = case.listeners[0].uid
    if uid < 0:
        return
    for pid in processes.of_user(uid):
        if processes.sockets_visible(pid):
            continue  # and the socket is not among them
        snapshot = processes.snapshot(pid)
        if snapshot is None:
            continue
        found = identify.identify(snapshot, ports=(case.port,))
        if found.forwarder and found.host_port == case.port:
            case.identity, case.snapshot = found, snapshot
            return
        if found.proxy is None:
            continue
        if case.port in found.proxy.ports or identify.names_port(snapshot, case.port):
            who = processes.user_name(uid)
            case.conclude(
                PROXY, found.proxy, f"{found.how}, a process of its user {who} (pid {pid})"
            )
            case.identity, case.snapshot = found, snapshot
            return


def _judge_by_answers(cases: Sequence[_Case], *, probe: bool, strangers: bool) -> None:
    asked = [
        (case, target)
        for case in cases
        if probe and (target := _target(case, strangers=strangers)) is not None
    ]
    answers = _ask([target for _, target in asked]) if asked else []
    for (case, _), answer in zip(asked, answers, strict=True):
        case.settled = case.settled and answer.definite
        if answer.proxy is None:
            continue
        if answer.proxy.general:
            case.conclude(OTHER, None, f"{answer.proxy.name}, which serves much else")
        else:
            case.conclude(PROXY, answer.proxy, f"answers GET {answer.path} as it does")
            case.answered = True
    probed = {id(case): answer for (case, _), answer in zip(asked, answers, strict=True)}
    for case in cases:
        if not case.verdict:
            _judge_by_port(case, probed.get(id(case)))


def _ask(targets: Sequence[fingerprint.Target]) -> list[fingerprint.HttpAnswer]:
    from guard.proxies import fingerprint

    return fingerprint.ask(targets)


def _target(case: _Case, *, strangers: bool) -> fingerprint.Target | None:
    """Whom to ask about `case`, None if the probing rules forbid it."""
    identity = case.identity
    host = next((h for one in _by_family(case.listeners) if (h := _loopback_of(one))), "")
    if not host or (identity is not None and (identity.activator or identity.other)):
        return None
    from guard.proxies import fingerprint

    known = local_proxies.default_ports()
    if identity is not None and identity.container_port in known:
        return fingerprint.Target(host, case.port, identity.container_port)
    if case.port in known or (strangers and identity is not None and identity.interpreted):
        return fingerprint.Target(host, case.port)
    return None


def _by_family(listeners: Iterable[Listener]) -> list[Listener]:
    return sorted(listeners, key=lambda one: one.family)


def _loopback_of(listener: Listener) -> str:
    if listener.wildcard:
        return "127.0.0.1" if listener.family == 4 else "::1"
    if listener.address == "::1" or listener.address.startswith("127."):
        return listener.address
    return listener.address.removeprefix("::ffff:") if listener.loopback else ""


def _judge_by_port(case: _Case, answer: fingerprint.HttpAnswer | None) -> None:
    if case.port not in local_proxies.distinctive():
        case.conclude(UNKNOWN, None, "")
        return
    proxy = next(iter(local_proxies.on_port(case.port)))
    # the kernel gives such numbers to whoever asks for any: a program that can be seen, and
    # that answers as no proxy does, has it by chance
    chance = case.snapshot is not None and answer is not None and answer.definite
    if chance and _is_ephemeral(case.port):
        case.conclude(UNKNOWN, None, "")
        return
    case.conclude(SUSPECT, proxy, f"port {case.port} is that of {proxy.name}")


def _dedicated(port: int) -> bool:
    return port in local_proxies.distinctive() and not _is_ephemeral(port)


def _is_ephemeral(port: int) -> bool:
    """Whether the kernel hands out `port` to sockets that ask for any (tcp(7), ip(7))."""
    if sys.platform == "darwin":
        return port >= 49152
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            low, high = map(int, file.read(64).split())
    except (OSError, ValueError):
        low, high = 32768, 60999
    return low <= port <= high


# Records ----------------------------------------------------------------------------------------


def _record(case: _Case) -> Judgement:
    found = Found(
        case.port,
        tuple(_by_family(case.listeners)),
        verdict=case.verdict,
        proxy=case.proxy.id if case.proxy is not None else "",
        name=case.name,
        how=case.how,
        answered=case.answered,
        keeper=case.keeper,
    )
    snapshot = case.snapshot
    if snapshot is not None:
        found.process = _process(snapshot, case.parents)
        found.others = tuple(_process(other, ()) for other in case.others)
        if found.keeper is None:
            found.keeper = keepers.keeper(snapshot, case.parents, program_of=identify.program_of)
    return Judgement(found, settled=case.settled)


def _process(snapshot: Snapshot, parents: Sequence[Snapshot]) -> Process:
    return Process(
        snapshot.pid,
        started=snapshot.started,
        since=processes.since(snapshot),
        uid=snapshot.uid,
        user=processes.user_name(snapshot.uid),
        program=identify.program_of(snapshot),
        parents=tuple((one.pid, identify.program_of(one)) for one in parents),
    )


def _published() -> dict[int, tuple[str, str]]:
    """Container name and image by published port, as `docker ps` has them; {} if it says nothing.

    Its `Ports` are like `0.0.0.0:4000->4000/tcp, [::]:4000->4000/tcp` (docker ps --help).
    """
    import re

    from guard.sources.output import output

    found: dict[int, tuple[str, str]] = {}
    text = output(["docker", "ps", "--format", "{{.Names}}\t{{.Image}}\t{{.Ports}}"])
    for line in (text or "").splitlines():
        words = line.split("\t")
        if len(words) != 3:
            continue
        for first, last in re.findall(r":(\d+)(?:-(\d+))?->", words[2]):
            for port in range(int(first), min(int(last or first), 65535) + 1):
                found[port] = (words[0].partition(",")[0], words[1])
    return found


def _plain(image: str) -> str:
    """An image's name as it may be shown: printable, without a digest."""
    return "".join(c for c in image.partition("@")[0] if c.isprintable())[:120]
