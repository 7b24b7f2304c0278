"""A company's machine: a real TLS-inspecting proxy between the real agent and the gateway."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from harness.expect import through_gateway
from harness.parts import own_port
from harness.sandbox import Sandbox
from harness.waiting import await_true

pytestmark = pytest.mark.e2e

MITMPROXY = Path(
    os.environ.get("ROUTEGUARD_TEST_PYTHON_PARTS")
    or Path(__file__).resolve().parents[2] / ".cache" / "parts"
)
HOST = "gateway.company.example"
"""A name that only the proxy knows, as those outside are within a company."""

ADDON = """
from mitmproxy import http

def seen(flow):
    with open({log!r}, "a") as file:
        print(flow.request.pretty_host, file=file)

http_connect = seen

def request(flow):
    seen(flow)
    if flow.request.pretty_host == {host!r}:
        flow.request.scheme, flow.request.host, flow.request.port = "http", "127.0.0.1", {port}
    else:
        flow.response = http.Response.make(403)
"""


@dataclass(frozen=True)
class Inspection:
    """The proxy of the company, and its authority's certificate."""

    url: str
    ca: Path
    _log: Path

    def hosts(self) -> set[str]:
        """The hosts that were asked for since the last call."""
        found = set(self._log.read_text().split()) if self._log.exists() else set()
        self._log.unlink(missing_ok=True)
        return found


@pytest.fixture
def own() -> Iterator[int]:
    """A port where the policies of all tests except what listens: to them it is a local proxy."""
    with own_port() as port:
        yield port


@pytest.fixture
def company(
    user: Sandbox, own: int, missing_part: Callable[[str], NoReturn]
) -> Iterator[Inspection]:
    """mitmproxy as a company runs it: all TLS ends in it, and it opens its own to the gateway."""
    program = MITMPROXY / "mitmproxy" / "bin" / "mitmdump"
    if not program.exists():
        missing_part(f"{program} is not there: run tests/run, or install tests/parts/mitmproxy.txt")
    port = user.network.front.url.rpartition(":")[2]
    log, addon, state = (user.root / name for name in ("hosts", "addon.py", "mitmproxy"))
    addon.write_text(ADDON.format(log=str(log), host=HOST, port=port))
    words = ["-p", str(own), "--listen-host", "127.0.0.1", "--set", f"confdir={state}"]
    process = subprocess.Popen(
        [program, "-q", "-s", addon, *words, "--set", "connection_strategy=lazy"],
        env={"PATH": os.defpath, "HOME": str(user.root)},
        stdin=subprocess.DEVNULL,
    )
    try:
        ca = state / "mitmproxy-ca-cert.pem"

        def is_up() -> bool:
            assert process.poll() is None
            return ca.exists() and _answers(own)

        await_true(is_up, lambda: "mitmproxy did not come up")
        yield Inspection(f"http://127.0.0.1:{own}", ca, log)
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def doctor(user: Sandbox, environ: dict[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """The state of the checks of `routeguard doctor` about the gateway, and what they say.

    Those alone: the one about local proxies would ask the servers of other tests.
    """
    done = user.routeguard("doctor", "tls", "key-accepted", "--json", env=environ or {})
    said = json.loads(done.out)
    return {check["id"]: (check["state"], check["what"]) for check in said["checks"]}


def test_behind_tls_inspection(user: Sandbox, company: Inspection) -> None:
    front = f"https://{HOST}"
    environ = {"NODE_EXTRA_CA_CERTS": str(company.ca)}
    # control: what the environment says of certificates does not count
    user.write_policy(front=front, way=f'proxy = "{company.url}"')
    done = user.guarded("run", "hi", env=environ)
    assert (done.status, done.calls) == (1, []), done
    assert "unable to verify the first certificate" in done.err
    line = f'in your policy: [gateway] ca = "{company.ca}"'
    assert line in done.err
    status = user.routeguard("portkey", "status", env=environ)
    assert (status.status, status.calls) == (1, []), status
    words = "signed by an unknown CA (issuer mitmproxy): a company's TLS inspection?"
    assert words in " ".join(status.err.split()), status
    assert str(company.ca) in status.err
    assert words in doctor(user, environ)["tls"][1]
    assert company.hosts() == {HOST}
    # with the line that was told
    user.write_policy(front=front, way=f'proxy = "{company.url}"\nca = "{company.ca}"')
    done = user.guarded("run", "hi")
    through_gateway(user, done)
    assert done.environ_seen["NODE_EXTRA_CA_CERTS"] == str(company.ca)
    assert "routeguard:" not in done.err.replace("routeguard: removed", "")
    assert company.hosts() == {HOST}
    assert user.routeguard("portkey", "status").status == 0
    checks = doctor(user)
    trusted = "signed by mitmproxy, no public CA; trusted by gateway.ca of your policy"
    assert checks["tls"] == ("ok", trusted)
    assert checks["key-accepted"][0] == "ok"
    assert company.hosts() == {HOST}
