"""Who signed the gateway's certificate: a real server with a CA of its own, a real proxy."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import certifi
import pytest
from company import ISSUER, Authority, Tunnel, over_tls
from hypothesis import given
from hypothesis import strategies as st

from guard.launch.recorder import RecordingProxy
from guard.portkey import tls

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(authority: Authority) -> Iterator[RecordingProxy]:
    server = RecordingProxy()
    over_tls(server, authority.leaf(HOST))
    with server:
        yield server


def to(server: RecordingProxy, proxy: str = "") -> Callable[[], socket.socket]:
    return lambda: tls.connection(HOST, server.port, proxy)


def only(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


def system() -> ssl.SSLContext:
    return ssl.create_default_context()


def test_a_ca_that_nobody_knows(server: RecordingProxy) -> None:
    found = tls.chain(to(server), HOST, system())
    assert (found.issuer, found.public, found.trusted) == (ISSUER, False, False)
    assert found.unknown_ca
    assert "certificate" in found.reason
    assert server.requests == []


def test_a_ca_that_this_machine_trusts_is_not_public(
    server: RecordingProxy, authority: Authority
) -> None:
    found = tls.chain(to(server), HOST, only(authority.ca))
    assert (found.issuer, found.public, found.trusted) == (ISSUER, False, True)


def test_a_public_ca(
    server: RecordingProxy, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certifi, "where", lambda: str(authority.ca))
    tls._public_list.cache_clear()
    try:
        found = tls.chain(to(server), HOST, system())
    finally:
        tls._public_list.cache_clear()
    assert (found.issuer, found.public, found.trusted) == (ISSUER, True, True)


def test_the_list_of_the_system_is_not_what_the_environment_names(
    server: RecordingProxy, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    monkeypatch.setenv("SSL_CERT_DIR", str(authority.directory))
    assert tls.is_trusted(to(server), HOST, system())
    assert not tls.is_trusted(to(server), HOST, tls.system_list())
    assert tls.is_trusted(to(server), HOST, only(authority.ca))


def test_what_is_wrong_is_not_always_the_ca(authority: Authority) -> None:
    server = RecordingProxy()
    over_tls(server, authority.leaf("gateway.invalid"))
    with server:
        found = tls.chain(to(server), HOST, only(authority.ca))
    assert not found.trusted
    assert not found.unknown_ca
    assert "mismatch" in found.reason


def test_through_a_proxy(authority: Authority) -> None:
    server = RecordingProxy()
    over_tls(server, authority.leaf("gateway.invalid"))
    with server, Tunnel(server.port) as proxy:
        address = f"http://user%40x:pa%3Ass@{HOST}:{proxy.port}"
        found = tls.chain(
            lambda: tls.connection("gateway.invalid", 443, address), "gateway.invalid", system()
        )
    assert (found.issuer, found.unknown_ca) == (ISSUER, True)
    head = proxy.heads[0]
    assert head.startswith(b"CONNECT gateway.invalid:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNlckB4OnBhOnNz\r\n" in head


@pytest.mark.parametrize("answer", ["407 Proxy Authentication Required", "403 Forbidden", "x"])
def test_a_proxy_that_lets_nobody_through(server: RecordingProxy, answer: str) -> None:
    with Tunnel(server.port, answer) as proxy, pytest.raises(tls.ProxyError, match=answer):
        tls.connection(HOST, server.port, proxy.url)


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "http://"])
def test_a_proxy_that_is_not_looked_through(url: str) -> None:
    with pytest.raises(tls.ProxyError, match="not looked through"):
        tls.connection(HOST, 443, url)


def test_no_tls_at_all() -> None:
    with RecordingProxy() as plain, pytest.raises(ssl.SSLError):
        tls.chain(lambda: tls.connection(HOST, plain.port), HOST, system())


def test_the_issuer_is_read_from_any_certificate_of_the_public_list() -> None:
    """Of a root, the issuer is the subject: OpenSSL reads it for comparison."""
    context = ssl.create_default_context(cafile=certifi.where())
    parsed = context.get_ca_certs()
    for raw, said in zip(context.get_ca_certs(binary_form=True), parsed, strict=True):
        names = {name: value for group in said["issuer"] for name, value in group}
        found = tls.issuer_of(raw)
        assert names.get("commonName", names.get("organizationName")) in found


@given(st.binary(max_size=200))
def test_what_is_no_certificate_has_no_issuer(data: bytes) -> None:
    assert isinstance(tls.issuer_of(data), str)
