"""Which local proxy listens, by what it answers to a few GETs on loopback.

Asked are only paths that no known server takes as an order (NEVER), without credentials,
redirects, the environment's proxies or a second try. One request takes at most 300 ms from
connect to the last byte and reads at most 8 KiB; ports are asked at the same time, the paths of
one port one after the other, until one answer tells.
"""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from guard.catalog import local_proxies
from guard.catalog.local_proxies import Fingerprint, Proxy
from guard.record import Record

WAIT = 0.3
"""Seconds for one request, from connect to the last byte."""
BUDGET = 0.9
"""Seconds for all requests to one port."""
CAP = 8192
"""Bytes read of one answer, header included."""

NEVER = frozenset(
    ("/health", "/health_generate", "/shutdown", "/openapi.json", "/v1/messages", "/v1/responses")
)
"""Paths that are asked of nobody, because nobody knows who listens before the answer: LiteLLM's
`/health` calls the models and its `/openapi.json` takes seconds, trtllm's `/health_generate` runs
an inference, one proxy's `/shutdown` stops it; the last two are model calls."""

EVERYWHERE = ("/", "/v1/models", "/health/liveliness", "/api/version")
"""What a server of unknown make is asked on any port; the other paths on their entries' ports."""

_AT_ONCE = 64
_SPACE = re.compile(r"\s*([:,{}\[\]])\s*")


class Target(Record):
    """A port to ask. `catalogued` is the port whose entries' paths are asked: the container's
    for a forwarded one."""

    host: str
    port: int
    catalogued: int = 0

    def _complete(self) -> None:
        self.catalogued = self.catalogued or self.port


class HttpAnswer(Record):
    """What asking a port came to.

    `proxy` is whom it told to be and `path` which question told; both empty otherwise. `definite`
    is False where a question was not answered in time or at all: a later one may go otherwise.
    """

    definite: bool
    proxy: Proxy | None = None
    path: str = ""


def paths(port: int) -> tuple[str, ...]:
    """What is asked of a server on `port`, in order; never one of NEVER."""
    own = [f.path for f in local_proxies.fingerprints() if port in f.proxy.ports]
    return tuple(path for path in dict.fromkeys((*EVERYWHERE, *own)) if path not in NEVER)


def ask(targets: Sequence[Target], *, wait: float = WAIT) -> list[HttpAnswer]:
    """Ask each of `targets`, all at the same time; the answers in their order. Raises nothing.

    Only loopback hosts may be given: raises ValueError for any other, before anything is sent.
    """
    for target in targets:
        if not (target.host == "::1" or target.host.startswith("127.")):
            raise ValueError(f"{target.host} is not this machine")
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return list(pool.map(lambda target: _converse(target, wait), targets))


def _converse(target: Target, wait: float) -> HttpAnswer:
    """The requests to one port, one after the other."""
    end = time.monotonic() + max(BUDGET, wait)
    for path in paths(target.catalogued):
        try:
            response = _get(target, path, min(time.monotonic() + wait, end))
        except (http.client.RemoteDisconnected, OSError):
            return HttpAnswer(False)
        except http.client.HTTPException:
            # it speaks, but not HTTP/1: no other path will change that
            return HttpAnswer(True)
        proxy = matching(path, response)
        if proxy is not None:
            return HttpAnswer(True, proxy, path)
    return HttpAnswer(True)


class Response(Record):
    """What came back: status, headers, and what was read of the body as text."""

    status: int
    headers: http.client.HTTPMessage
    body: str


def _get(target: Target, path: str, deadline: float) -> Response:
    """The answer to one GET, cut off at CAP. `deadline` is on the monotonic clock.

    Raises OSError if it is not over by then, http.client.HTTPException if it is no HTTP/1.
    """
    connection = http.client.HTTPConnection(target.host, target.port, timeout=_left(deadline))
    connection.response_class = _bounded(deadline)
    headers = {"User-Agent": "routeguard", "Accept": "*/*", "Connection": "close"}
    try:
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as response:
            try:
                body = response.read()
            except http.client.IncompleteRead as cut:
                body = cut.partial
            except ValueError:  # a chunk of negative length
                body = b""
            return Response(response.status, response.headers, body.decode("utf-8", "replace"))
    finally:
        connection.close()


def _bounded(deadline: float) -> type[http.client.HTTPResponse]:
    """A response that ends at CAP bytes, and whose reading fails once `deadline` has passed.

    The timeout of a socket alone begins anew with each byte.
    """

    class Bounded(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *given: Any, **named: Any) -> None:
            super().__init__(sock, *given, **named)
            self.fp = io.BufferedReader(_Reader(sock, self.fp, deadline))

    return Bounded


class _Reader(io.RawIOBase):
    def __init__(self, made: socket.socket, file: io.BufferedIOBase, deadline: float) -> None:
        self._socket = made
        self._file = file  # keeps the socket open once http.client has let go of it
        self._deadline = deadline
        self._room = CAP

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: self._room]
        if not view:
            return 0
        self._socket.settimeout(_left(self._deadline))
        try:
            read = self._socket.recv_into(view)
        except ConnectionError:
            return 0  # what came before it counts
        self._room -= read
        return read


def _left(deadline: float) -> float:
    """Seconds until `deadline`. Raises TimeoutError once it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def matching(path: str, response: Response) -> Proxy | None:
    """The entry that answers a GET of `path` like this, None if none does."""
    candidates = [f for f in local_proxies.fingerprints() if f.path == path]
    tight = _tight(response.body) if any(f.contains for f in candidates) else ""
    return next((f.proxy for f in candidates if _matches(f, response, tight)), None)


def _matches(wanted: Fingerprint, response: Response, tight: str) -> bool:
    if wanted.status and response.status != wanted.status:
        return False
    for name, text in wanted.headers.items():
        given = response.headers.get_all(name)
        if given is None or text.lower() not in ", ".join(given).lower():
            return False
    if wanted.equals and response.body.strip() != wanted.equals:
        return False
    if wanted.contains and _tight(wanted.contains) not in tight:
        return False
    return not wanted.json or _has_names(response.body, wanted.json)


def _tight(text: str) -> str:
    return _SPACE.sub(r"\1", text)


def _has_names(body: str, names: Iterable[str]) -> bool:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(read, dict) and all(name in read for name in names)
