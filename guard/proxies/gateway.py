"""Whether a listening socket is the policy's own gateway, which may run on this machine.

Hot-path module.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.sources.listener import Listener


def is_gateway(port: int, listeners: Iterable[Listener], base_url: str) -> bool:
    """Whether `base_url` leads to `port` of this machine, and to one of `listeners` there.

    A name counts as this machine's if it is localhost or the machine's own; no resolver is asked.
    """
    host, wanted = endpoint(base_url)
    if wanted != port or not host:
        return False
    return any(_reaches(host, listener) for listener in listeners)


def endpoint(base_url: str) -> tuple[str, int]:
    """Host (lower-case, without brackets) and port of a URL; ("", 0) if it has none."""
    scheme, found, rest = base_url.partition("://")
    place = rest.partition("/")[0].partition("?")[0].rpartition("@")[2]
    if not found or not place:
        return "", 0
    if place.startswith("["):
        host, _, tail = place[1:].partition("]")
        port = tail.removeprefix(":")
    else:
        host, _, port = place.partition(":")
    default = 80 if scheme.lower() == "http" else 443
    return host.lower().rstrip("."), int(port) if port.isdecimal() else default


def _reaches(host: str, listener: Listener) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return listener.loopback or listener.wildcard
    if host in (listener.address, listener.address.removeprefix("::ffff:")):
        return True
    if not listener.wildcard:
        return False
    if host.startswith("127.") or host in ("0.0.0.0", "::1", "::"):  # noqa: S104 - compared
        return True
    return host == os.uname().nodename.lower() or _is_here(host)


def _is_here(host: str) -> bool:
    """Whether `host` is an address of this machine: only such a one can be bound."""
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        made = _socket.socket(family, _socket.SOCK_DGRAM)
        try:
            made.bind((host, 0))
        except OSError:
            return False
        finally:
            made.close()
        return True
    return False
