"""A few questions on loopback, and what hostile servers may answer to them."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from guard.catalog import local_proxies
from guard.proxies import fingerprint
from guard.proxies.fingerprint import HttpAnswer, Target, ask

Speak = Callable[[socket.socket, bytes], None]


class Server:
    """Speaks raw bytes to each connection; remembers the first line and header of every request."""

    def __init__(self, speak: Speak) -> None:
        self.requests: list[bytes] = []
        self.speak = speak
        self.made = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.made.getsockname()[1]
        self.threads: list[threading.Thread] = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.made.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._talk, args=(connection,), daemon=True)
            thread.start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            try:
                request = connection.recv(65536)
                self.requests.append(request)
                self.speak(connection, request)
            except OSError:
                pass

    def close(self) -> None:
        self.made.shutdown(socket.SHUT_RDWR)
        self.made.close()


@contextmanager
def serving(speak: Speak) -> Iterator[Server]:
    server = Server(speak)
    try:
        yield server
    finally:
        server.close()


def http(body: str, *, status: str = "200 OK", header: str = "") -> Speak:
    text = f"HTTP/1.1 {status}\r\n{header}Content-Length: {len(body.encode())}\r\n\r\n{body}"
    return lambda connection, _: connection.sendall(text.encode())


def by_path(**answers: Speak) -> Speak:
    """Answers by the path's last word ("root" for /), anything else with 404."""

    def speak(connection: socket.socket, request: bytes) -> None:
        path = request.split(b" ", 2)[1].decode().rpartition("/")[2] or "root"
        answers.get(path, http("nothing", status="404 Not Found"))(connection, request)

    return speak


def asked(speak: Speak, *, catalogued: int = 0, wait: float = 5.0) -> tuple[HttpAnswer, Server]:
    """What asking one server came to; it has `wait` seconds, so that a busy machine is in time."""
    with serving(speak) as server:
        (answer,) = ask([Target("127.0.0.1", server.port, catalogued)], wait=wait)
        return answer, server


def pieces(*parts: bytes) -> Speak:
    """Answers in these pieces, with a moment between them."""

    def speak(connection: socket.socket, _: bytes) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.01)

    return speak


def told(answer: HttpAnswer) -> str:
    return answer.proxy.id if answer.proxy is not None else ""


class TestWhoIsTold:
    @pytest.mark.parametrize(
        ("speak", "port", "wanted"),
        [
            (by_path(root=http("AI Gateway says hey!")), 0, "portkey-gateway-oss"),
            (by_path(liveliness=http('"I\'m alive!"')), 0, "litellm"),
            (by_path(root=http("Ollama is running\n")), 0, "ollama"),
            (by_path(root=http('{"message": "LLMs API"}')), 0, "claude-code-router"),
            (by_path(models=http('{"data": [{"owned_by": "vllm"}]}')), 0, "vllm"),
            (by_path(tags=http('{"models": []}')), 11434, "ollama"),
            (by_path(root=http("", status="502", header="Server: mitmproxy\r\n")), 0, "mitmproxy"),
            (by_path(props=http("{}", header="SERVER: llama.cpp\r\n")), 8080, "llama-cpp-server"),
            (by_path(status=http("", header="X-Oneapi-Request-Id: 1\r\n")), 3000, "one-api"),
            (pieces(b"HTTP/1.0 200 OK\n\nOllama is running"), 0, "ollama"),
            (
                pieces(b"HTTP/1.1 200", b" OK\r\nContent-Le", b"ngth: 20\r\n\r\nAI Gate",
                       b"way says hey!"),
                0, "portkey-gateway-oss",
            ),
            (
                pieces(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nAI Gatewa\r\n",
                       b"b;x=y\r\ny says hey!\r\n0\r\n\r\n"),
                0, "portkey-gateway-oss",
            ),
        ],
    )  # fmt: skip
    def test_by_its_answer(self, speak: Speak, port: int, wanted: str) -> None:
        answer, _ = asked(speak, catalogued=port)
        assert told(answer) == wanted
        assert answer.definite

    def test_over_ipv6(self) -> None:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as made:

            def serve() -> None:
                connection, _ = made.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nAI Gateway says hey!")

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            (answer,) = ask([Target("::1", made.getsockname()[1])])
            thread.join()
        assert told(answer) == "portkey-gateway-oss"

    @pytest.mark.parametrize("port", [0, 3000, 8080, 11434])
    @pytest.mark.parametrize(
        "speak",
        [
            # a blog about them, an application that answers everything, an OpenAI-like mock
            http("<html><title>Blog</title>AI Gateway says hey! Ollama is running LLMs API</html>"),
            http('{"message": "Hello World"}'),
            http('{"status": "ok"}', header="Server: uvicorn\r\n"),
            http("<!doctype html><script type=module src=/@vite/client></script>"),
            http('{"object": "list"}'),
            http("", status="307 x", header="Location: /dashboard\r\n"),
            http("{}"),
            http("[]"),
            http("[" * 8000),
        ],
        ids=["blog", "fastapi", "uvicorn", "vite", "list", "redirect", "object", "array", "deep"],
    )
    def test_nobody(self, speak: Speak, port: int) -> None:
        answer, _ = asked(speak, catalogued=port)
        assert (told(answer), answer.definite) == ("", True)


class TestRules:
    def test_what_is_sent(self) -> None:
        _, server = asked(http("x"), catalogued=8080)
        assert [one.split(b" ")[1].decode() for one in server.requests] == list(
            fingerprint.paths(8080)
        )
        for request in server.requests:
            head = request.lower()
            assert request.startswith(b"GET /")
            assert head.endswith(b"\r\n\r\n")
            assert b"\r\nconnection: close\r\n" in head
            assert b"authorization" not in head
            assert b"cookie" not in head

    def test_paths_are_few_and_never_an_order(self) -> None:
        assert {"/health", "/health_generate", "/shutdown", "/openapi.json"} <= fingerprint.NEVER
        assert {f.path for f in local_proxies.fingerprints()}.isdisjoint(fingerprint.NEVER)
        for port in sorted(local_proxies.default_ports()):
            paths = fingerprint.paths(port)
            assert len(paths) == len(set(paths)) <= 12
            assert fingerprint.NEVER.isdisjoint(paths)
            assert all(path.startswith("/") and " " not in path for path in paths)

    @pytest.mark.parametrize("host", ["10.0.0.1", "localhost", "0.0.0.0", "", "128.0.0.1"])
    def test_only_this_machine(self, host: str) -> None:
        with pytest.raises(ValueError, match="not this machine"):
            ask([Target(host, 1)])

    def test_the_environment_leads_nowhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with serving(http("AI Gateway says hey!")) as proxy:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            answer, server = asked(http("x"))
        assert (told(answer), proxy.requests) == ("", [])
        assert server.requests

    def test_a_redirect_is_not_followed(self) -> None:
        with serving(http("AI Gateway says hey!")) as target:
            header = f"Location: http://127.0.0.1:{target.port}/\r\n"
            answer, _ = asked(http("", status="302 Found", header=header))
            assert (told(answer), target.requests) == ("", [])


def silence(connection: socket.socket, _: bytes) -> None:
    connection.recv(1)


def flood(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
    for _megabyte in range(1024):
        connection.sendall(bytes(1 << 20))


def drip(connection: socket.socket, _: bytes) -> None:
    for letter in "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nAI Gateway says hey!":
        connection.sendall(letter.encode())
        time.sleep(0.02)


def headers_without_end(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 4000)


HOSTILE: dict[str, tuple[Speak, bool]] = {
    "never answers": (silence, False),
    "closes at once": (lambda c, _: None, False),
    "1 GB": (flood, True),
    "drips": (drip, False),
    "header without end": (headers_without_end, True),
    "HTTP/0.9": (lambda c, _: c.sendall(b"AI Gateway says hey!"), True),
    "garbage": (lambda c, _: c.sendall(bytes(range(256))), True),
    "a TLS alert": (lambda c, _: c.sendall(b"\x15\x03\x03\x00\x02\x02\x46" * 2), True),
    "a short TLS alert": (lambda c, _: c.sendall(b"\x15\x03\x03\x00\x02\x02\x46"), True),
    "status without a number": (lambda c, _: c.sendall(b"HTTP/1.1 abc OK\r\n\r\n"), True),
    "bad chunks": (
        lambda c, _: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        True,
    ),
    "a negative chunk": (
        lambda c, _: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n"),
        True,
    ),
    "only interim answers": (lambda c, _: c.sendall(b"HTTP/1.1 100 x\r\n\r\n" * 4000), True),
    "HTTP/2": (lambda c, _: c.sendall(b"HTTP/2 200\r\n\r\n"), True),
    "999": (lambda c, _: c.sendall(b"HTTP/1.1 999 x\r\n\r\n"), True),
    "a negative length": (
        lambda c, _: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
        True,
    ),
}


class TestHostileServers:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_bounded_and_without_a_traceback(self, name: str) -> None:
        speak, definite = HOSTILE[name]
        answer, server = asked(speak, wait=5.0 if definite else 0.3)
        assert (told(answer), answer.definite) == ("", definite)
        if not definite:
            assert len(server.requests) == 1, "who does not answer is not asked again"

    def test_real_tls(self, tmp_path: object) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

        def speak(connection: socket.socket, _: bytes) -> None:
            # the request is already read: what is left is no hello, as for any plain client
            try:
                context.wrap_socket(connection, server_side=True).close()
            except (OSError, ssl.SSLError):
                return

        answer, _ = asked(speak, wait=0.3)
        assert told(answer) == ""

    def test_nobody_is_there(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            (answer,) = ask([Target("127.0.0.1", bound.getsockname()[1])])
        assert (answer.proxy, answer.definite) == (None, False)

    def test_a_slow_one_does_not_hold_up_the_others(self) -> None:
        with ExitStack() as stack:
            quiet = [stack.enter_context(serving(silence)) for _ in range(100)]
            quick = stack.enter_context(serving(http("AI Gateway says hey!")))
            answers = ask([Target("127.0.0.1", one.port) for one in (*quiet, quick)])
        assert told(answers[-1]) == "portkey-gateway-oss"
        assert not any(answer.definite for answer in answers[:-1])
