"""The TCP sockets that listen on this machine, in the network namespace of this process.

Hot-path module. Linux answers in a fraction of a millisecond over netlink (`sock_diag`, see
sock_diag(7)), unprivileged, with the owner's uid and the socket's inode; `/proc/net/tcp{,6}` is
the way where netlink is shut. Sockets of another network namespace (a container, `unshare -n`)
are seen by neither: of a published container port only the forwarder's own socket is here.

WSL2 in mirrored mode shows the listeners of Windows to nobody but `connect()`: see `accepting`.
"""

from __future__ import annotations

import errno
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterable, Iterator

    Factory = Callable[[int, int, int], _socket.socket]

_NETLINK = 16
_RAW = 3
_SOCK_DIAG = 4
_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_INTERRUPTED = 0x10
_ERROR, _DONE = 2, 3
_TCP = 6
_LISTEN = 10
_INET = 2
_MESSAGE = 88  # nlmsghdr (16 bytes) and inet_diag_msg (72)
_WAIT = 0.5  # seconds; the kernel answers in microseconds, this is for one that never does
_ROUNDS = 3
_MOST = 1 << 26  # bytes; more than a million listeners: no dump is longer
_TABLE_MOST = 1 << 26


class SocketsUnreadableError(Exception):
    """No way of asking which sockets listen worked; the text says which were tried."""


class Listener:
    """One listening TCP socket.

    `address` is written as text without a scope ("127.0.0.1", "0.0.0.0", "::1", "::"), `family`
    is 4 or 6. `uid` is -1, `inode` and `cookie` are 0 where they are unknown. The cookie is the
    kernel's own number of the socket, never used twice in a network namespace until the next boot.
    """

    __slots__ = ("address", "cookie", "family", "inode", "port", "uid")

    def __init__(
        self,
        address: str,
        port: int,
        *,
        family: int = 4,
        uid: int = -1,
        inode: int = 0,
        cookie: int = 0,
    ) -> None:
        self.address = address
        self.port = port
        self.family = family
        self.uid = uid
        self.inode = inode
        self.cookie = cookie

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


def listening(*, proc: str = "/proc", factory: Factory | None = None) -> list[Listener]:
    """Every TCP socket that listens in this network namespace, IPv4 and IPv6.

    On Linux the TCP dump holds the listeners of MPTCP sockets, too, with the inode of their file
    descriptor (seen on 6.18). On macOS `netstat` is read, which gives neither uid nor inode (its
    columns are from its manual; not run on macOS). `factory` makes the netlink socket.

    Raises SocketsUnreadableError if no method worked.
    """
    if sys.platform == "darwin":
        return _netstat()
    try:
        return _dump(factory)
    except OSError as error:
        netlink = error.strerror or str(error)
    try:
        return _table(proc)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
    raise SocketsUnreadableError(f"netlink: {netlink}; {proc}/net/tcp: {why}")


def mirrored(release: str | None = None) -> bool:
    """Whether listeners of another system can hide behind loopback: WSL2, by its kernel's name."""
    return "microsoft" in (os.uname().release if release is None else release).lower()


def accepting(ports: Iterable[int], *, wait: float = 0.1) -> list[Listener]:
    """Those of `ports` on which 127.0.0.1 or ::1 accepts a connection, in at most `wait` seconds.

    Uid and inode stay unknown. A server whose queue is full is missed.
    """
    import _socket

    found: list[Listener] = []
    wanted = [(port, family) for port in sorted(set(ports)) for family in (4, 6)]
    deadline = time.monotonic() + wait
    # in groups: macOS grants 256 descriptors to a process
    for start in range(0, len(wanted), 64):
        waiting: dict[int, tuple[_socket.socket, int, int]] = {}
        for port, family in wanted[start : start + 64]:
            try:
                made = _socket.socket(_socket.AF_INET if family == 4 else _socket.AF_INET6, 1)
            except OSError:
                continue
            made.setblocking(False)
            try:
                result = made.connect_ex(("127.0.0.1" if family == 4 else "::1", port))
            except OSError as error:
                result = error.errno or -1
            if result in (0, errno.EINPROGRESS):
                waiting[made.fileno()] = (made, port, family)
            else:
                made.close()
        found += _connected(waiting, deadline)
    return sorted(found, key=lambda one: (one.port, one.family))


def _connected(
    waiting: dict[int, tuple[_socket.socket, int, int]], deadline: float
) -> Iterator[Listener]:
    import select

    poll = select.poll()
    for descriptor in waiting:
        poll.register(descriptor, select.POLLOUT)
    while waiting:
        ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            break
        for descriptor, _ in ready:
            poll.unregister(descriptor)
            made, port, family = waiting.pop(descriptor)
            if _met(made):
                yield Listener("127.0.0.1" if family == 4 else "::1", port, family=family)
            made.close()
    for made, _, _ in waiting.values():
        made.close()


def _met(made: _socket.socket) -> bool:
    """Whether `made` is connected to somebody else: an ephemeral port may have met itself."""
    try:
        return bool(made.getpeername()[:2] != made.getsockname()[:2])
    except OSError:
        return False


def _dump(factory: Factory | None) -> list[Listener]:
    """Ask the kernel. Raises OSError if it does not answer, or not with a whole table."""
    import _socket

    made = (factory or _socket.socket)(_NETLINK, _RAW, _SOCK_DIAG)
    try:
        made.settimeout(_WAIT)
        made.bind((0, 0))
        found: list[Listener] = []
        for family in (_INET, _socket.AF_INET6):
            try:
                found += _family(made, family, _socket.inet_ntop)
            except OSError as error:
                # a kernel without IPv6 has no such table
                if family == _INET or error.errno not in (errno.ENOENT, errno.EAFNOSUPPORT):
                    raise
        return found
    finally:
        made.close()


def _family(made: _socket.socket, family: int, text: Callable[[int, bytes], str]) -> list[Listener]:
    """One family's listeners. A table that changed while it was read is asked for again."""
    found: list[Listener] = []
    for turn in range(_ROUNDS):
        sequence = family << 8 | turn + 1
        order = sys.byteorder
        made.sendto(
            (72).to_bytes(4, order)
            + _BY_FAMILY.to_bytes(2, order)
            + _REQUEST_DUMP.to_bytes(2, order)
            + sequence.to_bytes(4, order)
            + bytes(4)
            + bytes((family, _TCP, 0, 0))
            + (1 << _LISTEN).to_bytes(4, order)
            + bytes(48),
            (0, 0),
        )
        found, whole = _answers(made, family, sequence, text)
        if whole:
            break
    # on a machine where sockets open and close all the time the last table is the best there is
    return found


def _answers(
    made: _socket.socket, family: int, sequence: int, text: Callable[[int, bytes], str]
) -> tuple[list[Listener], bool]:
    order = sys.byteorder
    number = int.from_bytes
    found: list[Listener] = []
    whole = True
    received = 0
    while received < _MOST:
        data, sender = made.recvfrom(1 << 16)
        if sender[0] != 0:  # netlink port 0 is the kernel; anyone else could lie
            continue
        received += len(data)
        start = 0
        while start + 16 <= len(data):
            length = number(data[start : start + 4], order)
            if length < 16 or start + length > len(data):
                raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
            kind = number(data[start + 4 : start + 6], order)
            flags = number(data[start + 6 : start + 8], order)
            if number(data[start + 8 : start + 12], order) == sequence:
                whole = whole and not flags & _INTERRUPTED
                if kind == _DONE:
                    return found, whole
                if kind == _ERROR:
                    code = -number(data[start + 16 : start + 20], order, signed=True)
                    raise OSError(code, os.strerror(code))
                if (
                    length >= _MESSAGE
                    and data[start + 17] == _LISTEN
                    and data[start + 16] == family
                ):
                    found.append(_listener(data, start, family, text))
            start += (length + 3) & ~3
    raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))


def _listener(data: bytes, start: int, family: int, text: Callable[[int, bytes], str]) -> Listener:
    """The `inet_diag_msg` whose netlink header begins at `start` (linux/inet_diag.h)."""
    number = int.from_bytes
    order = sys.byteorder
    four = family == _INET
    return Listener(
        text(family, data[start + 24 : start + (28 if four else 40)]),
        data[start + 20] << 8 | data[start + 21],
        family=4 if four else 6,
        uid=number(data[start + 80 : start + 84], order),
        inode=number(data[start + 84 : start + 88], order),
        cookie=number(data[start + 60 : start + 64], order)
        | number(data[start + 64 : start + 68], order) << 32,
    )


def _table(proc: str) -> list[Listener]:
    """`/proc/net/tcp` and `tcp6`, in which the listeners come first. No cookies there.

    Raises OSError if the first is unreadable, ValueError if it is no such table.
    """
    from _socket import AF_INET6, inet_ntop

    found: list[Listener] = []
    for name, family in (("tcp", 4), ("tcp6", 6)):
        path = f"{proc}/net/{name}"
        try:
            file = open(path, "rb")  # noqa: SIM115 - closed below; a refusal means something else
        except OSError:
            if family == 4:
                raise
            continue
        with file:
            head = file.readline(4096)
            if b"local_address" not in head:
                raise ValueError("no table of sockets")
            read = len(head)
            for line in iter(lambda: file.readline(4096), b""):  # noqa: B023 - used at once
                words = line.split()
                read += len(line)
                if len(words) < 10 or words[3] != b"0A" or read > _TABLE_MOST:
                    break
                host, _, port = words[1].partition(b":")
                raw = bytes.fromhex(host.decode("ascii"))
                if sys.byteorder == "little":  # the kernel prints words of 32 bits as numbers
                    raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
                found.append(
                    Listener(
                        inet_ntop(_INET if family == 4 else AF_INET6, raw),
                        int(port, 16),
                        family=family,
                        uid=int(words[7]),
                        inode=int(words[9]),
                    )
                )
    return found


def _netstat() -> list[Listener]:
    import subprocess

    try:
        text = subprocess.run(
            ["/usr/sbin/netstat", "-an", "-p", "tcp"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=2,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise SocketsUnreadableError(f"netstat: {error}") from None
    return parse_netstat(text.decode("utf-8", "replace"))


def parse_netstat(text: str) -> list[Listener]:
    """The listeners in what macOS's `netstat -an -p tcp` prints.

    `tcp4 0 0 127.0.0.1.11434 *.* LISTEN`: the port is behind the last dot; `tcp46` is an IPv6
    socket that takes IPv4, too; an IPv6 address may carry a scope (`fe80::1%lo0.80`).
    """
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 6 or not words[0].startswith("tcp") or words[5] != "LISTEN":
            continue
        host, _, port = words[3].rpartition(".")
        family = 4 if words[0] == "tcp4" else 6
        host = host.partition("%")[0]
        if host == "*":
            host = "0.0.0.0" if family == 4 else "::"  # noqa: S104 - read, not bound
        if port.isdigit() and 0 < int(port) < 65536:
            found.append(Listener(host, int(port), family=family))
    return found
