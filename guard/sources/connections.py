"""The TCP sockets of a process: where it is connected, and where it listens."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

from guard.sources import processes

ESTABLISHED, LISTEN = "established", "listen"
_STATES = {psutil.CONN_ESTABLISHED: ESTABLISHED, psutil.CONN_LISTEN: LISTEN}


@dataclass(frozen=True, slots=True)
class Connection:
    """One TCP socket. Addresses are text without a scope; the peer of a listener is ("", 0)."""

    state: str
    address: str
    port: int
    peer: str = ""
    peer_port: int = 0


def of(pid: int) -> list[Connection] | None:
    """The sockets of `pid`, None if the system does not let us see them or it is gone.

    None, too, in another network namespace: psutil looks them up in the table of its own.
    """
    if _namespace(str(pid)) != _namespace("self"):
        return None
    try:
        found = processes.connections(psutil.Process(pid))
    except (psutil.Error, OSError, RuntimeError):
        return None
    return [
        Connection(
            _STATES[one.status],
            _plain(one.laddr.ip),
            one.laddr.port,
            _plain(one.raddr.ip) if one.raddr else "",
            one.raddr.port if one.raddr else 0,
        )
        for one in found
        if one.status in _STATES and one.laddr
    ]


def _plain(address: str) -> str:
    return address.partition("%")[0].removeprefix("::ffff:")


def _namespace(pid: str) -> str:
    """Linux's name of the network that `pid` is in, "" elsewhere and where it is not shown."""
    try:
        return os.readlink(f"{processes.PROC}/{pid}/ns/net")
    except OSError:
        return ""
