"""Behind a company's proxy and TLS inspection: what the policy names is used, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from company import ISSUER, Authority, Tunnel, over_tls

from guard.launch.loopback_gateway import LoopbackGateway
from guard.policy.values import CompiledPolicy
from guard.portkey import network
from guard.portkey.answer import GatewayError
from guard.portkey.client import Client, Timeouts

KEY = "pK-canary/0123456789abcdef"
HOST = "gateway.invalid"
BASE_URL = f"https://{HOST}/v1"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def gateway(authority: Authority) -> Iterator[LoopbackGateway]:
    """The gateway as the company shows it: with a certificate of its own authority."""
    server = LoopbackGateway(KEY, "hello")
    over_tls(server, authority.leaf(HOST))
    with server:
        yield server


@pytest.fixture
def proxy(gateway: LoopbackGateway) -> Iterator[Tunnel]:
    with Tunnel(gateway.port) as tunnel:
        yield tunnel


def asked(policy: CompiledPolicy, **environ: str) -> int:
    """The status of the answer to one question."""
    with Client(
        BASE_URL,
        KEY,
        environ=environ,
        policy=policy,
        timeouts=Timeouts(connect=5, read=5, whole=10),
        sleep=lambda _: None,
    ) as client:
        return client.get("/nothing").status


def policy_of(proxy: str = "", ca: Path | str = "") -> CompiledPolicy:
    return CompiledPolicy(base_url=BASE_URL, gateway_proxy=proxy, gateway_ca=str(ca))


def test_what_the_policy_names(
    gateway: LoopbackGateway, proxy: Tunnel, authority: Authority, tmp_path: Path
) -> None:
    others = Authority(tmp_path).ca
    # on loopback, without an exception, and whatever the environment says
    environ = {
        "https_proxy": NOWHERE,
        "HTTPS_PROXY": NOWHERE,
        "ALL_PROXY": NOWHERE,
        "SSL_CERT_FILE": str(others),
        "REQUESTS_CA_BUNDLE": "/nonexistent",
    }
    assert asked(policy_of(proxy.url, authority.ca), **environ) == 404
    assert [head.split(b"\r\n")[0] for head in proxy.heads] == [
        b"CONNECT gateway.invalid:443 HTTP/1.1"
    ]
    assert all(KEY.encode() not in head for head in proxy.heads)


@pytest.mark.parametrize(
    "name", ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", ""], ids=["node", "openssl", "none"]
)
def test_an_inspected_connection_is_named(
    gateway: LoopbackGateway, proxy: Tunnel, tmp_path: Path, name: str
) -> None:
    others = Authority(tmp_path).ca
    with pytest.raises(GatewayError) as caught:
        asked(policy_of(proxy.url), **({name: str(others)} if name else {}))
    error = caught.value
    assert error.kind == "tls"
    assert error.what == (
        f"the TLS connection is signed by an unknown CA (issuer {ISSUER}): "
        "a company's TLS inspection?"
    )
    path = others if name else "/path/to/company-ca.pem"
    assert f'in your policy:\n[gateway]\nca = "{path}"' in error.fix
    assert gateway.requests == []


def test_a_ca_that_is_not_the_one(gateway: LoopbackGateway, proxy: Tunnel, tmp_path: Path) -> None:
    others = Authority(tmp_path).ca
    with pytest.raises(GatewayError) as caught:
        asked(policy_of(proxy.url, others))
    assert f"put the issuer's certificate into {others}" in caught.value.fix


def test_another_fault_is_no_inspection(authority: Authority) -> None:
    server = LoopbackGateway(KEY, "hello")
    over_tls(server, authority.leaf("other.invalid"))
    with server, Tunnel(server.port) as tunnel:
        with pytest.raises(GatewayError) as caught:
            asked(policy_of(tunnel.url, authority.ca))
        assert caught.value.what == "the gateway's TLS certificate was not accepted"
        assert server.requests == []


@pytest.mark.parametrize(
    ("base_url", "without", "used"),
    [
        (BASE_URL, "", True),
        (BASE_URL, "corp, 10.0.0.1", True),
        (BASE_URL, "gateway.invalid", False),
        (BASE_URL, "*", False),
        ("https://127.0.0.1:8787/v1", "", False),
        ("http://localhost:8787/v1", "", False),
    ],
)
def test_when_the_proxy_is_used(base_url: str, without: str, used: bool) -> None:
    policy = CompiledPolicy(base_url=base_url, gateway_proxy="http://127.0.0.1:3128")
    named = network.proxy(base_url, {"NO_PROXY": without, "https_proxy": NOWHERE}, policy)
    assert named == (("gateway.proxy", "http://127.0.0.1:3128") if used else ("", ""))
