"""The ports that a fence takes away, and whether this process is behind it."""

from __future__ import annotations

import errno
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

BIND, CONNECT = 1, 2
"""What can be denied of a port. The values are LANDLOCK_ACCESS_NET_BIND_TCP and _CONNECT_TCP."""

_NOWHERE = "192.0.2.1"
"""An address that no machine has (RFC 5737): to bind it takes no port."""

_EVERYWHERE = "255.255.255.255"
"""An address that TCP never connects to: to try sends no packet."""


class UnavailableError(Exception):
    """This machine cannot fence a launch; the text says why. `late`: some of it is in force."""

    def __init__(self, why: str, *, late: bool = False) -> None:
        super().__init__(why)
        self.late = late


class Fence:
    """The TCP `ports` that cannot be bound, and of these the `reachable`: only bind is denied.

    A connection is denied by port, whatever the host: a port that the way to the gateway needs
    on any host stays reachable on this one, too.
    """

    __slots__ = ("ports", "reachable")

    def __init__(self, ports: Iterable[int], reachable: Iterable[int] = ()) -> None:
        self.ports = frozenset(ports)
        self.reachable = self.ports.intersection(reachable)

    def denied(self, port: int) -> int:
        """What is denied of `port`: BIND, CONNECT, both or 0."""
        if port not in self.ports:
            return 0
        return BIND if port in self.reachable else BIND | CONNECT


def holds(fence: Fence) -> bool:
    """Whether this process can neither bind nor reach the ports of `fence`, by asking the kernel.

    Takes no port and sends no packet. An environment variable that says so could lie.
    """
    import _socket

    for port in fence.ports:
        for denied, call, address in (
            (BIND, "bind", _NOWHERE),
            (CONNECT, "connect", _EVERYWHERE),
        ):
            # a macOS profile denies connections to this machine only
            if not fence.denied(port) & denied or (call == "connect" and sys.platform == "darwin"):
                continue
            try:
                asked = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
            except OSError:
                return False
            try:
                asked.setblocking(False)
                getattr(asked, call)((address, port))
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EPERM):
                    return False
            else:
                return False
            finally:
                asked.close()
    return True
