"""One listening socket, as every way of asking for them returns it. Hot-path module."""

from __future__ import annotations

from guard.record import Record


class SocketsUnreadableError(Exception):
    """No way of asking which sockets listen worked; the text says which were tried."""


class Listener(Record):
    """One listening TCP socket.

    `address` is written as text without a scope ("127.0.0.1", "0.0.0.0", "::1", "::"), `family`
    is 4 or 6. `uid` is -1, `inode`, `cookie` and `pid` are 0 where they are unknown. The cookie is
    the kernel's own number of the socket, never used twice in a network namespace until the next
    boot. `pid` is known on macOS alone: the process that made the socket, or used it last.
    """

    address: str
    port: int
    family: int = 4
    uid: int = -1
    inode: int = 0
    cookie: int = 0
    pid: int = 0

    @property
    def wildcard(self) -> bool:
        """Whether it listens on every address of its family."""
        return self.address in ("0.0.0.0", "::", "::ffff:0.0.0.0")  # noqa: S104

    @property
    def loopback(self) -> bool:
        """Whether it can be reached from this machine alone: 127/8, ::1 or ::ffff:127/104."""
        return self.address == "::1" or self.address.startswith(("127.", "::ffff:127."))

    def __repr__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"Listener({host}:{self.port})"
