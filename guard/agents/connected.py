"""Where an agent that runs is connected: to the gateway, a provider, this machine, or elsewhere."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from guard import net
from guard.policy.values import CompiledPolicy
from guard.sources.connections import ESTABLISHED, LISTEN, Connection

GATEWAY, PROVIDER, LOOPBACK, PRIVATE, OTHER = (
    "gateway",
    "provider",
    "loopback",
    "private network",
    "public address",
)
INCOMING = "incoming"
"""Kinds of connections. `incoming` was made by somebody else, to a port the agent listens on."""

_CGNAT = ipaddress.ip_network("100.64.0.0/10")


@dataclass(frozen=True, slots=True)
class Peer:
    """Where an agent is connected: `count` connections to one address. `name` is a host or the
    program behind the port, "" if unknown."""

    kind: str
    address: str
    port: int
    name: str = ""
    count: int = 1


def gateway_addresses(base_url: str) -> dict[tuple[str, int], str]:
    """Addresses and port of the gateway as far as they are known without asking anybody."""
    host, port = net.address(base_url)
    if host in ("localhost", "localhost.localdomain"):
        return {("127.0.0.1", port): host, ("::1", port): host}
    try:
        return {(str(ipaddress.ip_address(host)), port): host}
    except ValueError:
        return {}


def classify_peer(
    address: str,
    port: int,
    *,
    gateway: Mapping[tuple[str, int], str],
    hosts: Mapping[str, tuple[str, str]],
) -> tuple[str, str]:
    """(kind, host name or "") of an address. No name is looked up."""
    if (address, port) in gateway:
        return GATEWAY, gateway[address, port]
    if address in hosts:
        return hosts[address]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return OTHER, ""
    if net.is_loopback(address):
        return LOOPBACK, ""
    if parsed.is_private or parsed.is_link_local or parsed in _CGNAT:
        return PRIVATE, ""
    return OTHER, ""


def peers(
    sockets: list[Connection],
    policy: CompiledPolicy,
    hosts: Mapping[str, tuple[str, str]],
    programs: Callable[[set[int]], Mapping[int, str]] | None,
) -> tuple[Peer, ...]:
    """Where `sockets` lead, each address once. `hosts` and `programs` as `running.find_running` has
    them."""
    gateway = gateway_addresses(policy.base_url)
    ports = {one.port for one in sockets if one.state == LISTEN}
    counted: dict[tuple[str, str, int, str], int] = {}
    for one in sockets:
        if one.state != ESTABLISHED:
            continue
        if one.port in ports:
            key = (INCOMING, one.peer, 0, "")
        else:
            kind, name = classify_peer(one.peer, one.peer_port, gateway=gateway, hosts=hosts)
            key = (kind, one.peer, one.peer_port, name)
        counted[key] = counted.get(key, 0) + 1
    local = {port for kind, _, port, _ in counted if kind == LOOPBACK}
    names = programs(local) if programs is not None and local else {}
    return tuple(
        Peer(kind, address, port, name or (names.get(port, "") if kind == LOOPBACK else ""), count)
        for (kind, address, port, name), count in sorted(counted.items())
    )


def listens(sockets: list[Connection]) -> tuple[tuple[str, int], ...]:
    """(address, port) of each of `sockets` on which the agent listens."""
    return tuple(sorted({(one.address, one.port) for one in sockets if one.state == LISTEN}))
