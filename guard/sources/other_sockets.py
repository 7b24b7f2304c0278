"""Ways of asking what listens where netlink is shut: `/proc`, macOS's `netstat`, `connect()`.

What `guard.sources.sockets` falls back on; hot-path module all the same.
"""

from __future__ import annotations

import errno
import sys
import time

from guard.sources.sockets import Listener, SocketsUnreadableError

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
