"""The TCP sockets that listen on this machine, in the network namespace of this process.

Hot-path module. Linux answers in a fraction of a millisecond over netlink (`sock_diag`, see
sock_diag(7)), unprivileged, with the owner's uid and the socket's inode; `/proc/net/tcp{,6}` is
the way where netlink is shut. Sockets of another network namespace (a container, `unshare -n`)
are seen by neither: of a published container port only the forwarder's own socket is here.

WSL2 in mirrored mode shows the listeners of Windows only to `connect()`: see `accepting`.
"""

from __future__ import annotations

import errno
import os
import sys

from guard.sources.listener import Listener, SocketsUnreadableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterable

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


def listening(*, proc: str = "/proc", factory: Factory | None = None) -> list[Listener]:
    """Every TCP socket that listens in this network namespace, IPv4 and IPv6.

    On Linux the TCP dump holds the listeners of MPTCP sockets, too, with the inode of their file
    descriptor (seen on 6.18). On macOS `netstat` is read, which gives the process and neither uid
    nor inode (not run on macOS). `factory` makes the netlink socket.

    Raises SocketsUnreadableError if no method worked.
    """
    if sys.platform == "darwin":
        from guard.sources.other_sockets import netstat

        return netstat()
    try:
        return _dump(factory)
    except OSError as error:
        netlink = error.strerror or str(error)
    from guard.sources.other_sockets import table

    try:
        return table(proc)
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
    from guard.sources import other_sockets

    return other_sockets.accepting(ports, wait)


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
