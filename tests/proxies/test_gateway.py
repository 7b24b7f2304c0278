"""The policy's own gateway may run on this machine."""

from __future__ import annotations

import os

import pytest

from guard.proxies.gateway import is_gateway
from guard.sources.listener import Listener


@pytest.mark.parametrize(
    ("url", "address", "wanted"),
    [
        ("http://localhost:8787/v1", "127.0.0.1", True),
        ("http://localhost:8787/v1", "::1", True),
        ("http://localhost:8787/v1", "10.1.2.3", False),
        ("http://127.0.0.1:8787", "0.0.0.0", True),
        ("http://127.0.0.1:8787", "::", True),
        ("http://127.0.0.1:8787", "127.0.0.2", False),
        ("http://127.0.0.1:8788", "127.0.0.1", False),
        ("http://[::1]:8787", "::1", True),
        ("http://10.1.2.3:8787", "10.1.2.3", True),
        ("http://10.255.255.254:8787", "0.0.0.0", False),
        ("https://api.portkey.ai:8787", "0.0.0.0", False),
        (f"http://{os.uname().nodename}:8787", "0.0.0.0", True),
    ],
)
def test_where_it_leads(url: str, address: str, wanted: bool) -> None:
    listener = Listener(address, 8787, family=6 if ":" in address else 4)
    assert is_gateway(8787, [listener], url) is wanted
