"""Ways of asking what listens where netlink is shut: `/proc`, macOS's `netstat`, `connect()`.

What `guard.sources.sockets` falls back on; hot-path module all the same.
"""

from __future__ import annotations

import errno
import sys
import time

from guard.sources.listener import Listener, SocketsUnreadableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable, Iterator

_TABLE_MOST = 1 << 26


def accepting(ports: Iterable[int], wait: float) -> list[Listener]:
    """What `sockets.accepting` says."""
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


def table(proc: str) -> list[Listener]:
    """`/proc/net/tcp` and `tcp6`, in which the listeners come first. No cookies there.

    Raises OSError if the first is unreadable, ValueError if it is no such table.
    """
    from _socket import AF_INET, AF_INET6, inet_ntop

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
                        inet_ntop(AF_INET if family == 4 else AF_INET6, raw),
                        int(port, 16),
                        family=family,
                        uid=int(words[7]),
                        inode=int(words[9]),
                    )
                )
    return found


def netstat() -> list[Listener]:
    """What macOS's netstat says. Raises SocketsUnreadableError."""
    from guard.sources.output import output

    text = output(["/usr/sbin/netstat", "-anv", "-p", "tcp"], {"LC_ALL": "C"})
    if text is None:
        raise SocketsUnreadableError("netstat failed, or did not answer in time")
    return parse_netstat(text)


def parse_netstat(text: str) -> list[Listener]:
    """The listeners in what macOS's `netstat -anv -p tcp` prints.

    `tcp4 0 0 127.0.0.1.11434 *.* LISTEN …`: the port is behind the last dot; `tcp46` is an IPv6
    socket that takes IPv4, too; an IPv6 address may carry a scope (`fe80::1%lo0.80`) or be cut off.
    The process stands in a column `pid` up to macOS 14, in `process:pid` since, where its name may
    hold blanks; a state of five hexadecimal digits follows. (Rows as people have published them;
    not run on macOS.) Without any TCP socket nothing is printed, not even the header.

    Raises SocketsUnreadableError for a text of another form: it could leave a listener out.
    """
    head, *rows = [line for line in text.splitlines() if line.strip()] or [""]
    columns = head.split()
    if columns[:2] == ["Active", "Internet"]:
        columns = rows.pop(0).split() if rows else []
    if not text.strip():
        return []
    if columns[:1] != ["Proto"] or "(state)" not in columns:
        raise SocketsUnreadableError("netstat: unknown output format")
    return [one for row in rows if (one := _netstat_row(row.split(), columns)) is not None]


def _netstat_row(words: list[str], columns: list[str]) -> Listener | None:
    """The listener of one row, None for another state. Raises SocketsUnreadableError."""
    if len(words) < 6 or words[0] not in ("tcp4", "tcp6", "tcp46"):
        raise SocketsUnreadableError("netstat: a line is not a socket")
    if words[5] != "LISTEN":
        return None
    host, _, port = words[3].rpartition(".")
    family = 4 if words[0] == "tcp4" else 6
    whole = host == "*" or family == 6 or host.count(".") == 3
    if not (whole and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise SocketsUnreadableError("netstat: the address of a listener cannot be read")
    host = host.partition("%")[0]
    if host == "*":
        host = "0.0.0.0" if family == 4 else "::"  # noqa: S104 - read, not bound
    return Listener(host, int(port), family=family, pid=_netstat_pid(words[6:], columns))


def _netstat_pid(words: list[str], columns: list[str]) -> int:
    """The process id in the columns behind the state, 0 if it is unknown."""
    pid = ""
    if "process:pid" in columns:
        for at, word in enumerate(words[1:]):
            _, colon, number = words[at].rpartition(":")
            if colon and len(word) == 5:
                pid = number
    elif "pid" in columns and len(words) > 2:
        pid = words[2]  # rhiwat, shiwat, pid
    return int(pid) if pid.isascii() and pid.isdigit() else 0
