"""Every way in which a question to the gateway goes wrong: what is said, and what was sent."""

from __future__ import annotations

import email.utils
import socket
import ssl
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import control_plane as plane
import pytest
from conftest import ADMIN_KEY, Account
from hypothesis import given
from hypothesis import strategies as st
from undisturbed import UndisturbedServer

from guard.errors import ExitCode, GuardError
from guard.launch.recorder import Exchange, RecordingProxy, Request
from guard.policy.values import CompiledPolicy, PolicyException
from guard.portkey import client as client_module
from guard.portkey.answer import GatewayError, require
from guard.portkey.client import Client, Timeouts

KEY = "cL+canary/000000000000000client="
SHORT = Timeouts(connect=1.0, read=0.3, whole=0.6)


class Server(UndisturbedServer):
    """Answers each request with the next of `answers`, the last one for ever."""

    def __init__(self, *answers: Callable[[Exchange], None]) -> None:
        super().__init__()
        self._answers = list(answers)

    def reply_to(self, request: Request, exchange: Exchange) -> None:
        answers = self._answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(exchange)


def reply(status: int, body: Any, **headers: str) -> Callable[[Exchange], None]:
    """A complete answer; `headers` with underscores for dashes."""

    def send(exchange: Exchange) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        plane.ControlPlane.send(None, exchange, status, body, named)  # type: ignore[arg-type]

    return send


def raw(data: bytes, hold: float = 0.0) -> Callable[[Exchange], None]:
    """`data` as it is, then, after `hold` seconds, the end of the connection."""

    def send(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.wfile.write(data)
        exchange.wfile.flush()
        time.sleep(hold)

    return send


def opened(
    base_url: str,
    *,
    key: str = KEY,
    policy: CompiledPolicy | None = None,
    environ: Mapping[str, str] | None = None,
    waited: list[float] | None = None,
    said: list[str] | None = None,
    timeouts: Timeouts | None = None,
) -> Client:
    return Client(
        base_url,
        key,
        environ=environ or {},
        policy=policy or CompiledPolicy(base_url=base_url),
        timeouts=timeouts or Timeouts(),
        progress=said.append if said is not None else lambda _: None,
        sleep=waited.append if waited is not None else lambda _: None,
    )


def refused(client: Client, path: str = "/models") -> GatewayError:
    """What asking `client` ends in."""
    with pytest.raises(GatewayError) as caught:
        client.get(path)
    return caught.value


def failure(*answers: Callable[[Exchange], None], scope: str = "") -> GatewayError:
    """What asking a server with these answers ends in."""
    with Server(*answers) as server, opened(server.url) as client:
        with pytest.raises(GatewayError) as caught:
            require(client.get("/providers"), scope=scope)
        assert KEY not in "".join(traceback.format_exception(caught.value))
        assert KEY not in caught.value.render() + repr(client) + repr(caught.value)
        assert caught.value.exit_code == ExitCode.FINDINGS
        assert caught.value.fix
        return caught.value


# what a status means


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (401, plane.BAD_KEY, "wrong-key", "does not know this key"),
        (401, {"errorCode": "AB05"}, "wrong-key", "does not know this key"),
        (402, {"data": {"errorCode": "AB09"}}, "failed", "is used up"),
        (412, plane.EXHAUSTED, "failed", "is used up"),
        (403, plane.AB03, "missing-scope", "it lacks providers.list"),
        (404, {"message": "Not Found", "ok": False}, "not-found", "does not have this API"),
        (446, {"error": {"type": "hooks_failed"}}, "failed", "guardrail"),
        (418, {"error": "teapot"}, "failed", "answered 418"),
        (400, plane.NO_ROUTE, "open-source-gateway", "has no admin API"),
        (200, plane.CAPTIVE, "not-portkey", "(status 200) is a web page"),
        (200, "ok", "not-portkey", "is not JSON"),
        (200, "[" * 100_000, "not-portkey", "is not JSON"),
        (200, '{"a":' * 50_000, "not-portkey", "is not JSON"),
    ],
)
def test_a_refusal_is_a_sentence(status: int, body: Any, kind: str, sentence: str) -> None:
    error = failure(reply(status, body), scope="providers.list")
    assert error.kind == kind
    assert sentence in error.what
    assert "Hotel" not in error.render()


def test_what_the_gateway_says_is_repeated_bounded_and_printable() -> None:
    error = failure(reply(401, {"message": "\x1b[31mred\x07" + "x" * 5000}))
    assert "\x1b" not in error.why
    assert "\\x1b[31mred" in error.why
    assert len(error.why) < 500


@pytest.mark.parametrize("body", ["null", "[]", '"text"', '{"error": null}', '{"error": [1]}', "7"])
def test_a_refusal_of_any_shape_is_no_crash(body: str) -> None:
    error = failure(reply(401, body, content_type="application/json"))
    assert error.kind in ("wrong-key", "not-portkey")


# asking again


def later(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("status", "asked"), [(429, "7"), (503, later(29))], ids=["seconds", "date"]
)
def test_retry_after_is_waited_for(status: int, asked: str) -> None:
    waited: list[float] = []
    said: list[str] = []
    with (
        Server(reply(status, {}, retry_after=asked), reply(200, {"data": []})) as server,
        opened(server.url, waited=waited, said=said) as client,
    ):
        assert client.get("/models").ok
    (seconds,) = waited
    assert seconds == 7 if asked == "7" else 0 <= seconds <= 29
    assert said == [f"the gateway answered {status}; asking again in {seconds:.0f} s"]


@pytest.mark.parametrize("asked", ["31", "999999999999", later(4e9)], ids=["31", "9", "date"])
def test_longer_than_anybody_waits_is_not_waited_for(asked: str) -> None:
    waited: list[float] = []
    with (
        Server(reply(429, {}, retry_after=asked)) as server,
        opened(server.url, waited=waited) as client,
    ):
        assert client.get("/models").status == 429
        assert len(server.requests) == 1
    assert waited == []


@given(st.text(max_size=20) | st.sampled_from(["-3", "1.5", "٣", "Wed, 99 Foo 2026"]))
def test_a_retry_after_that_says_nothing_is_no_crash(asked: str) -> None:
    seconds = client_module._asked_to_wait({"retry-after": asked}, 0.25)
    assert seconds >= 0
    if not (asked.strip().isascii() and asked.strip().isdigit()):
        assert seconds == 0.25


def test_a_server_that_recovers_is_asked_until_it_does() -> None:
    trouble = [reply(status, {}) for status in (500, 502, 504)]
    with Server(*trouble, reply(200, {"data": []})) as server, opened(server.url) as client:
        assert client.get("/models").ok
        assert len(server.requests) == 4


@pytest.mark.parametrize(("status", "times"), [(429, 4), (503, 4), (500, 1), (502, 1), (504, 1)])
def test_a_completion_is_asked_again_only_where_none_was_made(status: int, times: int) -> None:
    with Server(reply(status, {})) as server, opened(server.url) as client:
        assert client.post("/chat/completions", {}).status == status
        assert client.get("/models").status == status
        assert len(server.requests) == times + 4


def test_a_completion_is_never_repeated_after_a_timeout() -> None:
    with Server(raw(b"", hold=1)) as server, opened(server.url, timeouts=SHORT) as client:
        with pytest.raises(GatewayError) as caught:
            client.post("/chat/completions", {})
        assert caught.value.kind == "timeout"
        assert len(server.requests) == 1


# the network


def test_nobody_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with opened(f"http://127.0.0.1:{bound.getsockname()[1]}/v1") as client:
            error = refused(client)
    assert (error.kind, error.why) == ("offline", "Connection refused")


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "gateway.invalid"),
        ({"https_proxy": "http://user:pass-canary@proxy.invalid:3128"}, "https_proxy"),
    ],
)
def test_a_name_without_an_address(environ: dict[str, str], name: str) -> None:
    with opened("https://gateway.invalid/v1", environ=environ) as client:
        error = refused(client)
    assert error.kind == "dns"
    assert name in error.what
    assert "canary" not in error.render()


@pytest.mark.parametrize("answer", [raw(b"", hold=2), raw(b"HTTP/1.1 200 OK\r\n", hold=2)])
def test_silence_ends_in_time(answer: Callable[[Exchange], None]) -> None:
    again = Timeouts(connect=1.0, read=0.3, whole=30.0)
    for timeouts, asked in ((again, 2), (SHORT, 1)):
        with Server(answer) as server, opened(server.url, timeouts=timeouts) as client:
            assert refused(client).kind == "timeout"
            assert len(server.requests) == asked


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200 OK\r\nx-y: ", b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"],
    ids=["status", "header", "body"],
)
def test_an_answer_that_drips_for_ever_ends_in_time(head: bytes) -> None:
    ended = threading.Event()

    def drip(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.wfile.write(head)
        while not ended.wait(0.05):
            exchange.wfile.write(b"H")
            exchange.wfile.flush()

    with Server(drip) as server, opened(server.url, timeouts=SHORT) as client:
        try:
            assert "does not end" in refused(client).what
        finally:
            ended.set()
        # there was no time left to ask again
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("offline", b""),
        ("offline", b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"data": ['),
        ("offline", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\n{"),
        ("offline", b"Hello, this is HTTP/0.9\r\n\r\n"),
        ("offline", b"\x00\x01\x02\xff" * 50),
        ("offline", b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 300_000 + b"\r\n\r\n"),
        (
            "not-portkey",
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope",
        ),
    ],
    ids=["nothing", "truncated", "chunk", "0.9", "binary", "endless header", "bad gzip"],
)
def test_a_reply_that_breaks_off_or_is_no_http(kind: str, data: bytes) -> None:
    error = failure(raw(data))
    assert error.kind == kind
    assert "HTTP" in error.what


# what is no Portkey


@pytest.mark.parametrize(
    "body", ['{"items": []}', '{"data": {}}', '"x"', "7", '{"data": null}', "true"]
)
def test_json_of_another_shape_is_no_list(body: str) -> None:
    with Server(reply(200, body)) as server, opened(server.url) as client:
        with pytest.raises(GatewayError, match="no list"):
            list(client.pages("/providers"))
        assert len(server.requests) == 1


def test_a_body_without_end_is_not_read_to_its_end() -> None:
    sent = 0

    def flood(exchange: Exchange) -> None:
        nonlocal sent
        exchange.close_connection = True
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(9 * 16):
            exchange.wfile.write(b"x" * 65536)
            sent += 65536

    error = failure(flood)
    assert "longer than 8 MB" in error.what


def test_a_small_answer_that_unpacks_to_a_large_one_is_not_unpacked() -> None:
    import gzip

    packed = gzip.compress(b" " * (64 << 20))
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    assert "longer than 8 MB" in failure(raw(head + packed)).what


# redirects


def test_a_redirect_within_the_gateway_is_followed() -> None:
    with (
        Server(reply(308, {}, location="/v2/models?x=1"), reply(200, {"data": [7]})) as server,
        opened(f"{server.url}/v1") as client,
    ):
        assert client.get("/models", {"limit": 5}).body == {"data": [7]}
        assert [r.target for r in server.requests] == ["/v1/models?limit=5", "/v2/models?x=1"]
        assert server.requests[1].header("x-portkey-api-key") == KEY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_does_not_follow_to_another_host(status: int) -> None:
    with (
        Server(reply(200, plane.CAPTIVE)) as portal,
        Server(reply(status, "", location=f"{portal.url}/login")) as server,
        opened(server.url) as client,
    ):
        error = refused(client)
        assert portal.requests == []
        assert len(server.requests) == 1
    assert error.kind == "redirected"
    assert "the key was not sent there" in error.what
    assert str(portal.port) in error.what


@pytest.mark.parametrize(
    "location",
    [
        "https://login.hotel.example/",
        "//login.hotel.example/",
        "https://127.0.0.1/",
        "http://127.0.0.1@evil.example/",
        "http://127.0.0.1:1\\@evil.example/",
        "http://[::1",
        "http://127.0.0.1:99999999/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://xn--a\u0000b/",
        "http://\u2100.example/",
        "javascript:alert(1)",
    ],
)
def test_a_redirect_elsewhere_is_named_and_not_followed(location: str) -> None:
    encoded = location.encode("utf-8", "replace").replace(b"\x00", b"")
    head = b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: " + encoded + b"\r\n\r\n"
    with Server(raw(head)) as server, opened(server.url) as client:
        assert refused(client).kind == "redirected"
        assert len(server.requests) == 1


def test_a_completion_is_not_redirected_at_all() -> None:
    with (
        Server(reply(307, {}, location="/elsewhere")) as server,
        opened(server.url) as client,
        pytest.raises(GatewayError, match="redirects to http"),
    ):
        client.post("/chat/completions", {})


def test_a_circle_ends() -> None:
    with Server(reply(302, "", location="/again")) as server, opened(server.url) as client:
        assert "in circles" in refused(client, "/again").what
        assert len(server.requests) == 4


# lists


def test_a_list_ends_at_its_limit(monkeypatch: pytest.MonkeyPatch, account: Account) -> None:
    monkeypatch.setattr(client_module, "MAX_ITEMS", 250)
    account.space.providers = [plane.provider(f"p-{n}") for n in range(1000)]
    with account.client(ADMIN_KEY) as client:
        assert len(list(client.pages("/providers"))) == 250
    assert len(account.server.requests) == 3


def test_a_server_that_ignores_paging_is_asked_twice_at_most() -> None:
    items = [{"slug": f"p-{n}"} for n in range(100)]
    with Server(reply(200, {"data": items})) as server, opened(server.url) as client:
        assert len(list(client.pages("/providers"))) == 100
        assert len(server.requests) == 2


def test_a_server_that_gives_fewer_than_asked_for_is_read_to_its_total() -> None:
    pages = [reply(200, {"total": 120, "data": list(range(n, n + 50))}) for n in (0, 50, 100)]
    with Server(*pages) as server, opened(server.url) as client:
        assert len(list(client.pages("/providers"))) == 150
        assert len(server.requests) == 3


def test_a_total_that_lies_does_not_keep_us() -> None:
    with (
        Server(reply(200, {"total": 10**9, "data": [1]})) as server,
        opened(server.url) as client,
    ):
        assert list(client.pages("/providers")) == [1]
        assert len(server.requests) == 2


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, and its key, in one file."""
    directory = tmp_path_factory.mktemp("tls")
    key, cert = directory / "key.pem", directory / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(cert), "-subj", "/CN=routeguard test"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    both = directory / "both.pem"
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


@pytest.fixture
def tls(certificate: Path) -> Iterator[Server]:
    """An https server with that certificate; each connection has its own handshake."""
    server = Server(reply(200, {"data": []}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server._listener.socket = context.wrap_socket(server._listener.socket, server_side=True)
    with server:
        yield server


def secure(server: Server) -> str:
    return f"https://127.0.0.1:{server.port}/v1"


def trusting(server: Server, certificate: Path) -> CompiledPolicy:
    return CompiledPolicy(base_url=secure(server), gateway_ca=str(certificate))


def test_a_certificate_that_nobody_vouches_for(tls: Server) -> None:
    # nor does a variable switch the verification off
    off = {"NODE_TLS_REJECT_UNAUTHORIZED": "0", "PYTHONHTTPSVERIFY": "0", "SSL_CERT_FILE": ""}
    with opened(secure(tls), environ=off) as client:
        error = refused(client)
    assert error.kind == "tls"
    assert "nothing was sent" in error.why
    assert "self-signed certificate" in error.why
    assert "(issuer routeguard test): a company's TLS inspection?" in error.what
    assert '[gateway]\nca = "/path/to/company-ca.pem"' in error.fix
    assert tls.requests == []


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_no_variable_decides_who_is_the_gateway(
    tls: Server, certificate: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for an agent, and where OpenSSL itself would read the variable, too."""
    (tmp_path / "cert.pem").write_bytes(certificate.read_bytes())
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True)
    value = str(tmp_path if name == "SSL_CERT_DIR" else certificate)
    monkeypatch.setenv(name, value)
    with opened(secure(tls), environ={name: value}) as client:
        error = refused(client)
    assert error.kind == "tls"
    path = value if name == "SSL_CERT_FILE" else "/path/to/company-ca.pem"
    assert f'[gateway]\nca = "{path}"' in error.fix
    assert tls.requests == []
    with opened(secure(tls), policy=trusting(tls, certificate)) as client:
        assert client.get("/models").ok


def test_plain_http_where_tls_belongs() -> None:
    with Server(reply(200, {})) as server:
        with opened(secure(server)) as client:
            assert refused(client).kind == "tls"
        assert server.requests == []


def test_the_session_keys_are_not_written_down(
    tls: Server, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "tls-keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    with opened(secure(tls), policy=trusting(tls, certificate)) as client:
        assert client.get("/models").ok
    assert not log.exists() or "SECRET" not in log.read_text()


# proxies


def test_a_proxy_on_this_machine_is_refused() -> None:
    with RecordingProxy() as proxy:
        with pytest.raises(GuardError) as caught:
            opened("https://gateway.invalid/v1", environ={"HTTPS_PROXY": proxy.url})
        assert proxy.requests == []
    assert (caught.value.rule, caught.value.exit_code) == ("RG104", ExitCode.REFUSED)
    assert f"routeguard allow proxy 127.0.0.1:{proxy.port}" in caught.value.fix


@pytest.mark.parametrize(
    "value",
    [
        "localhost:8080",
        "http://[::1]:8080",
        "http://127.1:8080",
        "http://2130706433:8080",
        "http://user:pw@LOCALHOST:8080/",
        "socks5://127.0.0.1:1080",
    ],
)
@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"])
def test_no_spelling_of_this_machine_gets_past(value: str, name: str) -> None:
    with pytest.raises(GuardError) as caught:
        opened("https://gateway.invalid/v1", environ={name: value})
    assert caught.value.rule == "RG104"
    assert "pw" not in caught.value.render()


def test_an_excepted_proxy_is_used_and_sees_no_key() -> None:
    with RecordingProxy() as proxy:
        subject = f"proxy:127.0.0.1:{proxy.port}"
        policy = CompiledPolicy(
            base_url="https://gateway.invalid/v1",
            exceptions=(
                PolicyException(
                    subject=subject, reason="a debugging proxy", until=time.time() + 60
                ),
            ),
        )
        environ = {"HTTPS_PROXY": proxy.url}
        with opened(policy.base_url, policy=policy, environ=environ) as client:
            error = refused(client)
        assert set(proxy.asked()) == {"gateway.invalid:443"}
        assert all(KEY.encode() not in request.raw for request in proxy.requests)
    assert (error.kind, error.where) == ("offline", "HTTPS_PROXY")
    assert "the HTTP proxy refused" in error.what


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("without", ["gateway.invalid", ".invalid", "*", "a, gateway.invalid:443"])
def test_no_proxy_is_honoured(name: str, without: str) -> None:
    environ = {"HTTPS_PROXY": "http://127.0.0.1:9", name: without}
    with opened("https://gateway.invalid/v1", environ=environ) as client:
        assert client._proxy == ""


@pytest.mark.parametrize("value", ["socks9://proxy.example:1", "ftp://x", "http://[::1", "://"])
def test_a_proxy_that_cannot_be_used_is_said(value: str) -> None:
    with pytest.raises(GuardError) as caught:
        opened("https://gateway.invalid/v1", environ={"HTTPS_PROXY": value})
    assert "HTTPS_PROXY" in caught.value.render()


def test_loopback_is_asked_directly() -> None:
    environ = {"http_proxy": "http://proxy.invalid:1", "HTTP_PROXY": "http://proxy.invalid:1"}
    with Server(reply(200, {})) as server, opened(server.url, environ=environ) as client:
        assert client.get("/models").ok


# where the key may go


@pytest.mark.parametrize(
    "url",
    [
        "https://api.portkey.ai.evil.example/v1",
        "https://evil-api.portkey.ai/v1",
        "https://portkey.ai/v1",
        "https://api.portkey.ai@evil.example/v1",
        "https://user:pw@api.portkey.ai/v1",
        "https://api.portkey.ai\\@evil.example/v1",
        "https://xn--api-portkey-0qb.ai/v1",
        "https://api.p\u043ertkey.ai/v1",
        "https://api.portkey.ai:99999999/v1",
        "http://api.portkey.ai/v1",
        "http://192.0.2.1/v1",
        "ftp://api.portkey.ai/v1",
        "api.portkey.ai/v1",
        "https://",
        "",
    ],
)
def test_a_host_that_is_not_the_gateway_gets_no_key(url: str) -> None:
    with pytest.raises(GuardError) as caught:
        opened(url, policy=CompiledPolicy(base_url="https://gateway.example/v1"))
    assert caught.value.rule == "RG106"
    assert "pw" not in caught.value.render()


@pytest.mark.parametrize("url", ["http://gateway.example/v1", "http://10.0.0.1/v1"])
def test_even_the_policys_gateway_needs_tls(url: str) -> None:
    with pytest.raises(GuardError, match="is not sent to"):
        opened(url)


@pytest.mark.parametrize(
    "url", ["https://api.portkey.ai/v1", "https://aigw.portkey.ai/v1", "https://API.Portkey.ai"]
)
def test_portkeys_own_hosts_are_known_by_their_whole_names(url: str) -> None:
    with opened(url, policy=CompiledPolicy(base_url="https://gateway.example/v1")):
        pass


def test_another_port_of_the_gateway_is_another_gateway() -> None:
    policy = CompiledPolicy(base_url="https://gateway.example/v1")
    with pytest.raises(GuardError, match="is not sent to"):
        opened("https://gateway.example:8443/v1", policy=policy)


def test_the_key_travels_in_one_header() -> None:
    with Server(reply(200, {"data": []})) as server, opened(server.url) as client:
        client.get("/models", {"limit": 5}, {"x-portkey-fetch-integrated-models": "true"})
        client.post("/chat/completions", {"model": "m"}, {"x-portkey-provider": "openrouter"})
        for request in server.requests:
            assert request.header("authorization") == ""
            assert request.raw.count(KEY.encode()) == 1
            assert request.header("x-portkey-api-key") == KEY
            assert request.header("user-agent").startswith("routeguard/")


@pytest.mark.parametrize("key", ["line\nbreak-canary", "ümlaut-canary", "nul\x00-canary"])
def test_a_key_that_is_no_header_is_not_repeated(key: str) -> None:
    with pytest.raises(GuardError) as caught, opened("http://127.0.0.1:9", key=key) as client:
        client.get("/models")
    assert "canary" not in "".join(traceback.format_exception(caught.value))
