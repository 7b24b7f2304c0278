"""Whether a listening socket is the policy's own gateway, which may run on this machine.

Hot-path module.
"""

from __future__ import annotations

import os

from guard.net import address, is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.sources.listener import Listener


def is_gateway(port: int, listeners: Iterable[Listener], base_url: str) -> bool:
    """Whether `base_url` leads to `port` of this machine, and to one of `listeners` there.

    A name counts as this machine's if it is localhost or the machine's own; no resolver is asked.
    """
    host, wanted = address(base_url)
    if wanted != port or not host:
        return False
    return any(_reaches(host, listener) for listener in listeners)


def _reaches(host: str, listener: Listener) -> bool:
    host = host.rstrip(".")
    if is_loopback(host) and not host[:1].isdigit() and ":" not in host:
        return listener.loopback or listener.wildcard
    if host in (listener.address, listener.address.removeprefix("::ffff:")):
        return True
    if not listener.wildcard:
        return False
    return is_loopback(host) or host == os.uname().nodename.lower() or _is_here(host)


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
