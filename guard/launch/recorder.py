"""Loopback servers that record every byte they receive, one of them a proxy that refuses all.

They listen on 127.0.0.1 only, on a port the kernel picks, and never connect to anything. Used by
`routeguard verify` (guard/launch/verify.py) and by the end-to-end tests. Not on the hot path.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import socketserver
import threading
import time
import zlib
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from guard import net

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it arrived.

    `target` is the request target as sent (a path; `host:port` for CONNECT; a URL for a plain
    request through a proxy). `raw` is everything read from the socket for this request, `body`
    the message body with chunked transfer coding undone.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    raw: bytes

    def header(self, name: str) -> str:
        """The first value of header `name` (any letter case), "" if absent."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), "")

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is not one."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def model(self) -> str:
        """The model the body asks for, "" if it asks for none."""
        model = self.json().get("model")
        return model if isinstance(model, str) else ""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def forms(self) -> Iterator[bytes]:
        """The bytes in which a secret has to be looked for: as sent, and decompressed."""
        yield self.raw
        if self.header("content-encoding").lower() in ("gzip", "deflate"):
            with contextlib.suppress(zlib.error):
                # 32: zlib or gzip header, whichever is there
                yield zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(self.body)


class Exchange(BaseHTTPRequestHandler):
    """One connection: reads requests, has them recorded, lets the server answer."""

    protocol_version = "HTTP/1.1"
    # a client that keeps its connection open must not keep a thread for ever
    timeout = 120

    def setup(self) -> None:
        super().setup()
        self._tape = _Tape(self.rfile)
        self.rfile = cast("io.BufferedReader", self._tape)

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            super().handle_one_request()
            return
        self.close_connection = True

    def _take(self) -> None:
        body = self._body()
        request = Request(
            method=self.command,
            target=self.path,
            headers=tuple(self.headers.items()),
            body=body,
            raw=self._tape.cut(),
        )
        server = cast("_Listener", self.server).owner
        server.record(request)
        server.answer(request, self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_CONNECT = _take  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", "").lower():
            length = self.headers.get("content-length", "0")
            return self.rfile.read(int(length)) if length.isdigit() else b""
        parts = []
        while True:
            size = int(self.rfile.readline().split(b";")[0] or b"0", 16)
            parts.append(self.rfile.read(size))
            if size == 0:
                while self.rfile.readline().strip():
                    pass
                return b"".join(parts)
            self.rfile.readline()

    def send(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        """Answer with a complete message."""
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_json(self, status: int, value: object) -> None:
        """Answer with `value` as JSON."""
        self.send(status, json.dumps(value).encode())

    def stream(self, content_type: str, chunks: Iterator[bytes]) -> None:
        """Answer 200 with `chunks` as they come (chunked transfer coding)."""
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class named it
        """Nothing: the record is the log."""


class _Tape:
    """A reader that remembers what was read since the last cut."""

    def __init__(self, reader: io.BufferedIOBase) -> None:
        self._reader = reader
        self._parts: list[bytes] = []

    def readline(self, size: int = -1) -> bytes:
        return self._keep(self._reader.readline(size))

    def read(self, size: int = -1) -> bytes:
        return self._keep(self._reader.read(size))

    def _keep(self, data: bytes) -> bytes:
        self._parts.append(data)
        return data

    def cut(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, owner: RecordingServer) -> None:
        self.owner = owner
        super().__init__((HOST, 0), Exchange)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for the name of this machine
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        self.owner.opened(client_address[1])
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.owner.closed(client_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that hangs up or sends no HTTP is no failure of ours."""


class RecordingServer:
    """A loopback HTTP server that records each request before it is answered. A context manager.

    `requests` grows as they arrive; each of `watchers` is called with a request before it is
    answered, in the thread of its connection.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.watchers: list[Callable[[Request], None]] = []
        self._connections = threading.Condition()
        self._open: set[int] = set()
        self._came: set[int] = set()
        self._listener = _Listener(self)
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        return self._listener.server_port

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a path."""
        return f"http://{HOST}:{self.port}"

    def settle(self, seconds: float = 5.0) -> None:
        """Wait until everything is recorded that was sent by whoever has ended.

        Returns after `seconds` where a connection stays open.
        """
        until = time.monotonic() + seconds
        # connections are accepted in their order, so this one is the last
        with socket.socket() as last:
            last.bind((HOST, 0))
            own = last.getsockname()[1]
            self._came.discard(own)
            last.connect((HOST, self.port))
            with self._connections:
                self._connections.wait_for(lambda: own in self._came, seconds)
        with self._connections:
            self._connections.wait_for(lambda: not self._open, max(0.0, until - time.monotonic()))

    def opened(self, port: int) -> None:
        """Note the connection of the client with this port."""
        with self._connections:
            self._open.add(port)
            self._came.add(port)
            self._connections.notify_all()

    def closed(self, port: int) -> None:
        """Note that the connection of the client with this port has ended."""
        with self._connections:
            self._open.discard(port)
            self._connections.notify_all()

    def record(self, request: Request) -> None:
        """Keep `request` and tell the watchers."""
        self.requests.append(request)
        for watcher in tuple(self.watchers):
            watcher(request)

    def answer(self, request: Request, exchange: Exchange) -> None:
        """Answer `request`; every kind of server has its own."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()


class RecordingProxy(RecordingServer):
    """An HTTP proxy that refuses every request with 403 and records the host asked for.

    Tunnels (CONNECT) are refused before any TLS, so of them it sees the host and the headers
    meant for a proxy; of plain requests it sees everything.
    """

    def answer(self, request: Request, exchange: Exchange) -> None:
        """Refuse, and end the connection: what follows a refused CONNECT is not HTTP."""
        exchange.close_connection = True
        exchange.send(403, b"recorded and refused\n", "text/plain")

    def asked(self) -> list[str]:
        """`host:port` of every request so far, in order; "direct" for one that names no host."""
        return [destination(request) for request in self.requests]


def destination(request: Request) -> str:
    """`host:port` that a request to a proxy wants; "direct" if it was not addressed to a proxy."""
    if request.method == "CONNECT":
        return request.target.lower()
    if not urlsplit(request.target).hostname:  # a path, or `*`
        return "direct"
    return net.authority(*net.address(request.target))
