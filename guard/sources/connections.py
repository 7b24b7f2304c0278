"""The TCP sockets of one process: what it is connected to, what it listens on.

Linux: the table of the process's own network namespace (`/proc/PID/net/tcp{,6}`, proc(5)), so an
agent in a container is seen as it is, and `/proc/PID/fd` for which of the sockets are its own.
macOS: psutil (not run there).
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

ESTABLISHED, LISTEN = "established", "listen"
_STATES = {"01": ESTABLISHED, "0A": LISTEN}
_MOST = 1 << 26


@dataclass(frozen=True, slots=True)
class Connection:
    """One TCP socket. Addresses are text without a scope; the peer of a listener is ("", 0)."""

    state: str
    address: str
    port: int
    peer: str = ""
    peer_port: int = 0


class Sockets:
    """Reads sockets of processes; each namespace's table is read once per instance."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._tables: dict[str, dict[int, Connection]] = {}

    def of(self, pid: int) -> list[Connection] | None:
        """The sockets of `pid`, None if the system does not let us see them or it is gone."""
        if sys.platform != "linux":
            return _of_psutil(pid)
        try:
            inodes = list(_inodes(f"{self._proc}/{pid}/fd"))
            if not inodes:
                return []
            table = self._table(pid)
        except (OSError, ValueError, IndexError):
            return None
        return [table[inode] for inode in inodes if inode in table]

    def _table(self, pid: int) -> dict[int, Connection]:
        base = f"{self._proc}/{pid}"
        namespace = os.readlink(f"{base}/ns/net")
        table = self._tables.get(namespace)
        if table is None:
            table = dict(_read(f"{base}/net/tcp", 4))
            with suppress(FileNotFoundError):  # a kernel without IPv6
                table.update(_read(f"{base}/net/tcp6", 6))
            self._tables[namespace] = table
        return table


def _inodes(directory: str) -> Iterator[int]:
    for name in os.listdir(directory):
        try:
            target = os.readlink(f"{directory}/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            yield int(target[8:-1])


def _read(path: str, family: int) -> Iterator[tuple[int, Connection]]:
    with open(path, encoding="ascii") as file:
        read = len(file.readline())
        for line in file:
            read += len(line)
            if read > _MOST:
                return
            words = line.split()
            state = _STATES.get(words[3])
            inode = int(words[9])
            if state is None or not inode:
                continue
            address, port = _address(words[1], family)
            peer, peer_port = _address(words[2], family) if state == ESTABLISHED else ("", 0)
            yield inode, Connection(state, address, port, peer, peer_port)


def _address(text: str, family: int) -> tuple[str, int]:
    host, _, port = text.partition(":")
    raw = bytes.fromhex(host)
    if sys.byteorder == "little":  # the kernel prints words of 32 bits as numbers
        raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    if family == 6 and raw[:12] == b"\0" * 10 + b"\xff\xff":
        raw = raw[12:]
    kind = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(kind, raw), int(port, 16)


def _of_psutil(pid: int) -> list[Connection] | None:
    import psutil

    try:
        process = psutil.Process(pid)
        # the name since psutil 6; before, it was `connections`
        listed = getattr(process, "net_connections", None) or process.connections
        found = listed(kind="tcp")
    except (psutil.Error, OSError):
        return None
    states = {psutil.CONN_ESTABLISHED: ESTABLISHED, psutil.CONN_LISTEN: LISTEN}
    return [
        Connection(
            states[one.status],
            one.laddr.ip.partition("%")[0],
            one.laddr.port,
            one.raddr.ip.partition("%")[0] if one.raddr else "",
            one.raddr.port if one.raddr else 0,
        )
        for one in found
        if one.status in states and one.laddr
    ]
