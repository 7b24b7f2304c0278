"""Holds ports: binds them without listening, so that no local proxy can start on them.

A port is held by one TCP socket that is bound to the wildcard address of IPv6, takes IPv4 with
it, never listens and allows no reuse. On Linux 6.18 every other bind then failed: 127.0.0.1,
0.0.0.0, 127.0.0.2, ::1, ::, each plain, with SO_REUSEADDR, with SO_REUSEPORT, and as an MPTCP
listener (tests/proxies/test_hold.py). A client gets "connection refused" at once. A bound socket
that does not listen is shown by neither `ss`, `lsof`, `netstat` nor `/proc/net/tcp`.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Collection, Iterable
from typing import NamedTuple

from guard import net
from guard.policy.values import CompiledPolicy

_SIDE_ADDRESS = "127.254.83.7"


def permitted(policy: CompiledPolicy, catalogue: Collection[int]) -> frozenset[int]:
    """The ports that may be held at all: those only local proxies use, those the policy lists."""
    return frozenset(catalogue) | frozenset(policy.proxies_hold)


def plan(
    policy: CompiledPolicy, ports: Collection[int], now: float
) -> tuple[list[int], dict[int, str]]:
    """Which of `ports` to hold at `now` (Unix seconds), and why the others are left alone.

    The port of the policy's gateway is left alone whatever its host is: a name can lead to this
    machine without saying so.
    """
    hold, left = [], {}
    for port in sorted(ports):
        exception = policy.excepted(f"port:{port}", now)
        if port == net.address(policy.base_url)[1]:
            left[port] = "the port of your gateway"
        elif policy.gateway_proxy and port == net.address(policy.gateway_proxy)[1]:
            left[port] = "the port of gateway.proxy in your policy"
        elif exception is not None:
            left[port] = f"allowed: {exception.reason}"
        else:
            hold.append(port)
    return hold, left


class Address(NamedTuple):
    """One address a port is bound on, and the two socket options that count."""

    family: socket.AddressFamily
    host: str
    only: bool = False
    reuse: bool = False


LINUX = (Address(socket.AF_INET6, "::"),)
WITHOUT_IPV6 = (Address(socket.AF_INET, "0.0.0.0"),)  # noqa: S104
MACOS = tuple(
    Address(family, host, only=family == socket.AF_INET6, reuse=True)
    for family, host in (
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET6, "::1"),
        (socket.AF_INET, "0.0.0.0"),  # noqa: S104
        (socket.AF_INET6, "::"),
    )
)
"""macOS lets a specific address bind over a wildcard that somebody holds, so each is held. BSD
sockets take a specific address and the wildcard side by side only with SO_REUSEADDR, which there
never lets two sockets have the same address. Not verified on a Mac."""

_MISSING = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def take(port: int, platform: str = sys.platform) -> list[socket.socket]:
    """The sockets that hold `port` until they are closed. Raises OSError, EADDRINUSE if taken."""
    if platform == "darwin":
        return _bind_all(port, MACOS)
    try:
        return _bind_all(port, LINUX)
    except OSError as error:
        if error.errno in _MISSING:
            return _bind_all(port, WITHOUT_IPV6)
        if error.errno == errno.EADDRINUSE:
            return _over_closed_connections(port)
        raise


def _bind_all(port: int, addresses: Iterable[Address]) -> list[socket.socket]:
    """One socket on each address that this machine has. Raises OSError if one is taken."""
    held: list[socket.socket] = []
    missing = 0
    for address in addresses:
        try:
            held.append(_bind(port, address))
        except OSError as error:
            missing = error.errno or 0
            if missing not in _MISSING:
                _close(held)
                raise
    if not held:
        raise OSError(missing, os.strerror(missing))
    return held


def _bind(port: int, address: Address) -> socket.socket:
    made = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        if address.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.only))
        if address.reuse:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address.host, port))
    except OSError:
        made.close()
        raise
    return made


def _over_closed_connections(port: int) -> list[socket.socket]:
    """Hold a port on which only connections that are over remain. Raises OSError.

    For a minute after a server was stopped its closed connections (TIME_WAIT) keep a plain bind
    away, but not the next server with SO_REUSEADDR. So ours sets it while it binds, and takes it
    back. Linux remembers per port that everybody agreed to reuse; a first socket on an address
    nobody uses, bound without it, ends that agreement for later ones (`fastreuse` in
    net/ipv4/inet_connection_sock.c). Whether a rival is kept off is then tried, not assumed.
    """
    reuse = (socket.SOL_SOCKET, socket.SO_REUSEADDR)
    sides = _bind_all(port, (Address(socket.AF_INET, _SIDE_ADDRESS),))
    try:
        sides[0].setsockopt(*reuse, 1)
        held = _bind_all(port, (Address(socket.AF_INET6, "::", reuse=True),))
        held[0].setsockopt(*reuse, 0)
    finally:
        _close(sides)
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        rival = Address(family, host, only=family == socket.AF_INET6, reuse=True)
        try:
            _bind(port, rival).close()
        except OSError:
            continue
        _close(held)
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    return held


def _close(sockets: Iterable[socket.socket]) -> None:
    for made in sockets:
        made.close()


def notify_ready() -> None:
    """Tell systemd that the ports are held, if it asked to be told (`Type=notify`, sd_notify(3)).

    The unit that routeguard 0.1's `--install` wrote asks: without an answer it is ended.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith(("/", "@")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
            try:  # noqa: SIM105 - the comment says why nothing else is done
                made.sendto(b"READY=1", address.replace("@", "\0", 1))
            except OSError:
                pass  # the manager waits until its own time limit, and says so
