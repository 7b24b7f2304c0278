"""The checks of the gateway: a real gateway, a real CA, a real proxy, all on loopback."""

from __future__ import annotations

import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from company import ISSUER, Authority, Tunnel, over_tls
from doctored import CANARIES, Machine

from guard.portkey import network, tls

sys.path.insert(0, str(Path(__file__).parent.parent / "portkey"))

import control_plane as plane

KEY = CANARIES["PORTKEY_API_KEY"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def gateway(machine: Machine) -> Iterator[plane.ControlPlane]:
    """A gateway on this machine that knows the key."""
    with plane.ControlPlane(plane.Workspace(keys={KEY: plane.ADMIN})) as server:
        machine.policy(f'[gateway]\nbase_url = "{server.base_url}"\n')
        yield server


@pytest.fixture
def inspected(machine: Machine, authority: Authority) -> Iterator[plane.ControlPlane]:
    """The gateway of the policy as a network shows it that inspects TLS: signed by its own CA."""
    server = plane.ControlPlane(plane.Workspace(keys={KEY: plane.ADMIN}))
    over_tls(server, authority.leaf("gateway.example"))
    with server, Tunnel(server.port) as proxy:
        through(machine, proxy)
        yield server


def test_a_key_that_is_there(machine: Machine) -> None:
    assert machine.one("key").what == "there, from the environment variable PORTKEY_API_KEY"


def test_no_key(machine: Machine) -> None:
    del machine.environ["PORTKEY_API_KEY"]
    found = machine.one("key")
    assert (found.state, found.rule) == ("broken", "RG106")
    assert found.fix.startswith("export PORTKEY_API_KEY=")
    assert machine.one("key-accepted").state == "skipped"


def test_another_vendors_key(machine: Machine) -> None:
    machine.environ["PORTKEY_API_KEY"] = "sk-ant-canary-0123456789"
    assert machine.one("key").state == "broken"


def test_a_key_from_a_command(machine: Machine) -> None:
    machine.policy('[gateway]\nkey = { command = ["printf", "pK-canary-of-a-command"] }\n')
    found = machine.one("key")
    assert found.what == "there, from the command printf of your policy"
    machine.policy('[gateway]\nkey = { command = ["false"] }\n')
    assert machine.one("key").state == "broken"


def test_a_further_entry_without_its_key(machine: Machine) -> None:
    machine.policy(
        '[gateway.providers.portkey]\nmodels = ["gpt-4o"]\n'
        '[gateway.providers.second]\nmodels = ["m"]\nkey = { env = "SECOND_KEY" }\n'
    )
    first, second = machine.check("key")
    assert (first.state, second.state) == ("ok", "warning")
    assert second.what.startswith("SECOND_KEY is not set")


def test_a_gateway_that_answers(machine: Machine, gateway: plane.ControlPlane) -> None:
    assert machine.one("gateway").what == f"127.0.0.1:{gateway.port} can be reached"
    assert machine.one("tls").state == "skipped"
    assert machine.one("key-accepted").what == "the gateway knows the key"


def test_a_gateway_that_is_not_there(machine: Machine, gateway: plane.ControlPlane) -> None:
    port = gateway.port
    machine.policy('[gateway]\nbase_url = "http://127.0.0.1:1/v1"\n')
    found = machine.one("gateway")
    assert found.state == "broken"
    assert found.what == "cannot reach 127.0.0.1:1: Connection refused"
    assert machine.one("key-accepted").state == "skipped"
    assert port != 1


def test_a_name_without_an_address(machine: Machine) -> None:
    machine.policy('[gateway]\nbase_url = "https://gateway.invalid/v1"\n')
    found = machine.one("gateway")
    assert (found.state, found.what) == ("broken", "cannot resolve gateway.invalid (offline?)")
    assert machine.one("tls").state == "skipped"


def test_offline_asks_nobody(machine: Machine, gateway: plane.ControlPlane) -> None:
    for name in ("gateway", "tls", "key-accepted"):
        assert machine.one(name, offline=True).what == "the network was left out (--offline)"
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("keys", "state", "said"),
    [
        ({}, "broken", "does not know this key"),
        ({KEY: frozenset({"none"})}, "ok", "may not list models"),
    ],
)
def test_what_the_gateway_says_of_the_key(
    machine: Machine,
    gateway: plane.ControlPlane,
    keys: dict[str, frozenset[str]],
    state: str,
    said: str,
) -> None:
    gateway.workspace.keys = keys
    found = machine.one("key-accepted")
    assert found.state == state
    assert said in found.what


def test_an_open_source_gateway(machine: Machine, gateway: plane.ControlPlane) -> None:
    message = "Either x-portkey-config or x-portkey-provider header is required"
    gateway.workspace.trouble["models"] = [(400, {"status": "failure", "message": message}, {})]
    found = machine.one("key-accepted")
    assert found.state == "ok"
    assert "open-source gateway" in found.what


def test_a_connection_that_is_inspected(machine: Machine, inspected: plane.ControlPlane) -> None:
    assert "through the proxy 127.0.0.1:" in machine.one("gateway").what
    found = machine.one("tls")
    assert found.state == "broken"
    assert f"signed by an unknown CA (issuer {ISSUER}): a company's TLS inspection?" in found.what
    assert '[gateway]\nca = "/path/to/company-ca.pem"' in found.fix
    assert machine.one("key-accepted").state == "skipped"
    assert all(KEY.encode() not in request.raw for request in inspected.requests)


def test_a_ca_that_only_the_environment_names(
    machine: Machine, inspected: plane.ControlPlane, authority: Authority
) -> None:
    machine.environ["SSL_CERT_FILE"] = str(authority.ca)
    found = machine.one("tls")
    assert found.state == "broken"
    assert "signed by an unknown CA" in found.what
    assert f'[gateway]\nca = "{authority.ca}"' in found.fix


def test_a_ca_of_the_policy(
    machine: Machine, inspected: plane.ControlPlane, authority: Authority
) -> None:
    proxy = machine.environ.pop("HTTPS_PROXY")
    machine.policy(
        f'[gateway]\nbase_url = "https://gateway.example/v1"\nca = "{authority.ca}"\n'
        f'proxy = "{proxy}"\n'
    )
    assert machine.one("gateway").what.endswith("(gateway.proxy)")
    assert machine.one("tls").state == "ok"
    assert machine.one("key-accepted").what == "the gateway knows the key"


@pytest.fixture
def system_trusts(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CA is among those of the system."""
    trusting = ssl.create_default_context(cafile=authority.ca)
    monkeypatch.setattr(network, "system_list", lambda: trusting)


@pytest.mark.usefixtures("system_trusts")
def test_a_ca_that_this_system_trusts(machine: Machine, inspected: plane.ControlPlane) -> None:
    found = machine.one("tls")
    assert found.state == "warning"
    assert "This system trusts it; an agent may not" in found.what


@pytest.mark.usefixtures("system_trusts")
def test_a_ca_of_the_policy_that_signed_something_else(
    machine: Machine, inspected: plane.ControlPlane, tmp_path: Path
) -> None:
    """The system trusts the real issuer; the policy's file is added and does not help."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other").ca
    proxy = machine.environ.pop("HTTPS_PROXY")
    machine.policy(
        f'[gateway]\nbase_url = "https://gateway.example/v1"\nca = "{other}"\nproxy = "{proxy}"\n'
    )
    found = machine.one("tls")
    assert found.state == "warning"
    assert ISSUER in found.what
    assert str(other) in found.fix


@pytest.mark.usefixtures("system_trusts")
def test_a_public_ca(
    machine: Machine,
    inspected: plane.ControlPlane,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(certifi, "where", lambda: str(authority.ca))
    tls._public_list.cache_clear()
    try:
        assert machine.one("tls").what == f"signed by {ISSUER}, a public CA"
    finally:
        tls._public_list.cache_clear()
    assert machine.one("key-accepted").state == "ok"


def through(machine: Machine, proxy: Tunnel) -> None:
    """Let the policy allow `proxy`, on the way to a gateway with a name of its own."""
    until = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86400 * 2))
    machine.policy(
        '[gateway]\nbase_url = "https://gateway.example/v1"\n'
        f'[[exception]]\nsubject = "proxy:127.0.0.1:{proxy.port}"\nreason = "a test"\n'
        f"until = {until}\n"
    )
    machine.environ["HTTPS_PROXY"] = proxy.url


def test_a_proxy_that_lets_nobody_through(machine: Machine) -> None:
    with Tunnel(1, "407 Proxy Authentication Required") as proxy:
        through(machine, proxy)
        found = machine.one("gateway")
    assert found.state == "broken"
    assert found.what.endswith("(HTTPS_PROXY): it answered 407 Proxy Authentication Required")


def test_a_proxy_that_the_policy_does_not_allow(machine: Machine) -> None:
    with Tunnel(1) as proxy:
        machine.environ["HTTPS_PROXY"] = proxy.url
        found = machine.one("gateway")
        assert (found.state, found.rule) == ("broken", "RG104")
        assert proxy.heads == []
