"""Where a process is connected, and where it listens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import psutil
import pytest
from private_network import PrivateNetwork

from guard.sources import connections
from guard.sources.connections import ESTABLISHED, LISTEN, Connection


@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_sockets_of_this_process(host: str) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        with socket.create_connection((host, port)) as caller:
            own = caller.getsockname()[1]
            found = connections.of(os.getpid())
    assert found is not None
    assert Connection(LISTEN, "::", port) in found
    assert Connection(ESTABLISHED, "127.0.0.1", own, "127.0.0.1", port) in found


def test_who_is_gone() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert connections.of(gone.pid) is None


@pytest.mark.parametrize("error", [psutil.AccessDenied(), RuntimeError(), PermissionError()])
def test_what_may_not_be_seen(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(psutil.Process, "net_connections", refuse)
    assert connections.of(os.getpid()) is None


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_another_network_is_not_shown_as_no_connection(private_network: PrivateNetwork) -> None:
    with private_network.started(["sh", "-c", "echo; exec sleep 60"]) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert connections.of(child.pid) is None
