"""The loopback servers: what they record, whom they answer, where they listen."""

from __future__ import annotations

import base64
import gzip
import http.client
import socket

import pytest
from one_request import ask

from guard.launch.loopback_gateway import LoopbackGateway
from guard.launch.recorder import RecordingProxy, Request, destination

KEY = "gatewaykeygatewaykey"


def request(method: str, target: str, *headers: tuple[str, str], body: bytes = b"") -> Request:
    return Request(method, target, headers, body, raw=body)


def test_a_body_in_chunks_is_put_together() -> None:
    with LoopbackGateway(KEY, "yes") as gateway:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        connection.request(
            "POST",
            "/v1/chat/completions",
            iter([b'{"model"', b': "m1"}']),
            {"x-portkey-api-key": KEY},
            encode_chunked=True,
        )
        assert connection.getresponse().status == 200
        connection.close()
    assert gateway.requests[0].body == b'{"model": "m1"}'


def test_requests_of_one_connection_are_kept_apart() -> None:
    with LoopbackGateway(KEY, "yes") as gateway:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        for name in (b"first", b"second"):
            connection.request("POST", "/v1/chat/completions", name, {"x-portkey-api-key": KEY})
            connection.getresponse().read()
        connection.close()
    first, second = gateway.requests
    assert (first.body, second.body) == (b"first", b"second")
    assert b"first" not in second.raw


def test_a_watcher_is_told_before_the_answer() -> None:
    seen: list[str] = []
    with LoopbackGateway(KEY, "yes") as gateway:
        gateway.watchers.append(lambda got: seen.append(got.target))
        ask(gateway.port, "GET", "/v1/models", x_portkey_api_key=KEY)
        assert seen == ["/v1/models"]


def test_what_was_sent_by_whoever_has_ended_is_recorded_once_it_settles() -> None:
    with RecordingProxy() as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as idle:
        for _ in range(30):
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
                client.sendall(b"CONNECT late.test:443 HTTP/1.1\r\n\r\n")
        proxy.settle(0.1)
        assert idle.fileno() > 0, "one that stays open and says nothing does not keep it"
        idle.close()
        proxy.settle()
        assert proxy.asked() == ["late.test:443"] * 30


def test_the_proxy_names_who_was_asked_for_and_lets_nobody_through() -> None:
    with RecordingProxy() as proxy:
        tunnel = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        tunnel.set_tunnel("API.example.test", 443)
        with pytest.raises(OSError, match="403"):
            tunnel.request("GET", "/")
        tunnel.close()
        status, _ = ask(proxy.port, "POST", "http://other.test/v1", b"b", authorization="Bearer s")
        assert status == 403
        ask(proxy.port, "GET", "http://other.test:8080/x")
        ask(proxy.port, "GET", "/no-host")
        assert proxy.asked() == [
            "api.example.test:443",
            "other.test:80",
            "other.test:8080",
            "direct",
        ]
        assert b"Bearer s" in proxy.requests[1].raw


def test_what_is_no_http_neither_stops_the_server_nor_prints(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with RecordingProxy() as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as raw:
            raw.sendall(b"\x16\x03\x01\x00\x05hello\r\n\r\n")
            raw.recv(1000)
        assert ask(proxy.port, "GET", "http://still.test/")[0] == 403
    assert capfd.readouterr() == ("", "")


def test_servers_listen_on_loopback_only_and_stop_listening() -> None:
    with RecordingProxy() as proxy:
        assert proxy._listener.socket.getsockname()[0] == "127.0.0.1"
        port = proxy.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("CONNECT", "API.x.test:443", "api.x.test:443"),
        ("GET", "http://x.test/path", "x.test:80"),
        ("GET", "https://x.test/path", "x.test:443"),
        ("GET", "http://[::1]:81/path", "[::1]:81"),
        ("GET", "/path", "direct"),
        ("GET", "/path?to=http://elsewhere/", "direct"),
        ("CONNECT", "[2001:DB8::1]:443", "[2001:db8::1]:443"),
        ("GET", "https://[2001:DB8::1]/path", "[2001:db8::1]:443"),
    ],
)
def test_destination(method: str, target: str, expected: str) -> None:
    assert destination(request(method, target)) == expected


def test_a_compressed_body_is_searched_decompressed_too() -> None:
    packed = gzip.compress(b"secret")
    seen = request("POST", "/", ("Content-Encoding", "gzip"), body=packed)
    assert list(seen.forms()) == [packed, b"secret"]
    damaged = request("POST", "/", ("content-encoding", "gzip"), body=b"no gzip")
    assert list(damaged.forms()) == [b"no gzip"]


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff", b'{"model": 7}'])
def test_a_body_that_names_no_model(body: bytes) -> None:
    assert request("POST", "/", body=body).model == ""


def test_basic_credentials_are_recorded_as_sent() -> None:
    value = base64.b64encode(b"user:secret").decode()
    with RecordingProxy() as proxy:
        ask(proxy.port, "GET", "http://x.test/", proxy_authorization=f"Basic {value}")
        assert proxy.requests[0].header("proxy-authorization") == f"Basic {value}"
