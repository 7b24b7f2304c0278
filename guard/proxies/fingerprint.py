"""Which local proxy listens, by what it answers to a few GETs on loopback.

Asked are only paths that no known server takes as an order (NEVER), without credentials,
redirects, the environment's proxies or a second try. One request takes at most 300 ms from
connect to the last byte and reads at most 8 KiB; ports are asked at the same time, the paths of
one port one after the other, until one answer tells.
"""

from __future__ import annotations

import errno
import json
import re
import selectors
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

from guard.catalog import local_proxies
from guard.catalog.local_proxies import Fingerprint, Proxy

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
an inference, codex-responses-api-proxy's `/shutdown` stops it; the last two are model calls."""

EVERYWHERE = ("/", "/v1/models", "/health/liveliness", "/api/version")
"""What a server of unknown make is asked on any port; the other paths on their entries' ports."""

_AT_ONCE = 64
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")
_SPACE = re.compile(r"\s*([:,{}\[\]])\s*")


class Target:
    """A port to ask. `catalogued` is the port whose entries' paths are asked: the container's
    for a forwarded one."""

    __slots__ = ("catalogued", "host", "port")

    def __init__(self, host: str, port: int, catalogued: int = 0) -> None:
        self.host = host
        self.port = port
        self.catalogued = catalogued or port

    def __repr__(self) -> str:
        return f"Target({self.host!r}, {self.port})"


class Answer:
    """What asking a port came to.

    `proxy` is whom it told to be and `path` which question told; both empty otherwise. `definite`
    is False where a question was not answered in time or at all: a later one may go otherwise.
    """

    __slots__ = ("definite", "path", "proxy")

    def __init__(self, proxy: Proxy | None = None, path: str = "", *, definite: bool) -> None:
        self.proxy = proxy
        self.path = path
        self.definite = definite

    def __repr__(self) -> str:
        return f"Answer({self.proxy!r}, definite={self.definite})"


def paths(port: int) -> tuple[str, ...]:
    """What is asked of a server on `port`, in order; never one of NEVER."""
    own = [f.path for f in local_proxies.fingerprints() if port in f.proxy.ports]
    return tuple(path for path in dict.fromkeys((*EVERYWHERE, *own)) if path not in NEVER)


def ask(targets: Sequence[Target], *, wait: float = WAIT) -> list[Answer]:
    """Ask each of `targets`, all at the same time; the answers in their order. Raises nothing.

    Only loopback hosts may be given: raises ValueError for any other, before anything is sent.
    """
    for target in targets:
        if not (target.host == "::1" or target.host.startswith("127.")):
            raise ValueError(f"{target.host} is not this machine")
    conversations = [_Conversation(target, wait) for target in targets]
    pending = list(reversed(conversations))
    running: set[_Conversation] = set()
    with selectors.DefaultSelector() as selector:
        while pending or running:
            while pending and len(running) < _AT_ONCE:
                one = pending.pop()
                if one.next(selector):
                    running.add(one)
            now = time.monotonic()
            soonest = min((one.deadline for one in running), default=now)
            for key, _ in selector.select(max(0.0, soonest - now)) if running else ():
                key.data.step(selector)
            now = time.monotonic()
            for one in list(running):
                if one.answer is None and one.deadline <= now:
                    one.stop(selector, Answer(definite=False))
                if one.answer is not None:
                    running.discard(one)
    return [one.answer or Answer(definite=False) for one in conversations]


class _Conversation:
    """The requests to one port, one after the other."""

    def __init__(self, target: Target, wait: float) -> None:
        self.target = target
        self.wait = wait
        self.left = list(reversed(paths(target.catalogued)))
        self.path = ""
        self.answer: Answer | None = None
        self.deadline = 0.0
        self.end = 0.0
        self._socket: socket.socket | None = None
        self._unsent = b""
        self._received = bytearray()

    def next(self, selector: selectors.BaseSelector) -> bool:
        """Begin the next request; False when there is none, or it cannot begin."""
        now = time.monotonic()
        self.end = self.end or now + max(BUDGET, self.wait)
        if not self.left:
            self.answer = Answer(definite=True)
            return False
        self.path = self.left.pop()
        self.deadline = min(now + self.wait, self.end)
        target = self.target
        shown = f"[{target.host}]" if ":" in target.host else target.host
        self._unsent = (
            f"GET {self.path} HTTP/1.1\r\nHost: {shown}:{target.port}\r\n"
            "User-Agent: routeguard\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        ).encode("ascii")
        self._received = bytearray()
        family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self._socket.setblocking(False)
            result = self._socket.connect_ex((target.host, target.port))
            if result not in (0, errno.EINPROGRESS):
                raise OSError(result, "connect")
            selector.register(self._socket, selectors.EVENT_WRITE, self)
        except OSError:
            self.stop(selector, Answer(definite=False))
            return False
        return True

    def step(self, selector: selectors.BaseSelector) -> None:
        """Send or receive what can be without waiting."""
        made = self._socket
        if made is None:
            return
        try:
            if self._unsent:
                sent = made.send(self._unsent)
                self._unsent = self._unsent[sent:]
                if not self._unsent:
                    selector.modify(made, selectors.EVENT_READ, self)
                return
            data = made.recv(CAP - len(self._received))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        if not data or len(self._received) >= CAP or _complete(self._received):
            self._judge(selector)

    def stop(self, selector: selectors.BaseSelector, answer: Answer | None = None) -> None:
        """End the request, and with an `answer` the conversation."""
        if self._socket is not None:
            with suppress(KeyError, ValueError):  # not registered where connect() failed at once
                selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
        if answer is not None:
            self.answer = answer

    def _judge(self, selector: selectors.BaseSelector) -> None:
        raw = bytes(self._received)
        if not raw:
            self.stop(selector, Answer(definite=False))
            return
        response = parse(raw)
        if response is None:
            # it speaks, but not HTTP/1: no other path will change that
            self.stop(selector, Answer(definite=True))
            return
        proxy = matching(self.path, response)
        if proxy is not None:
            self.stop(selector, Answer(proxy, self.path, definite=True))
            return
        self.stop(selector)
        self.next(selector)


class Response:
    """What came back: status, lower-case header names with their values, the body as text."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: str) -> None:
        self.status = status
        self.headers = headers
        self.body = body


def parse(raw: bytes) -> Response | None:
    """The HTTP/1 response that `raw` begins with, cut off or not; None if it is something else."""
    first = _STATUS.match(raw)
    if first is None:
        return None
    head, _, body = _split(raw[first.end() :])
    headers: dict[str, str] = {}
    for line in head.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            key = name.strip().decode("latin-1").lower()
            headers[key] = value.strip().decode("latin-1")
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _unchunked(body)
    return Response(int(first.group(1)), headers, body.decode("utf-8", "replace"))


def matching(path: str, response: Response) -> Proxy | None:
    """The entry that answers a GET of `path` like this, None if none does."""
    candidates = [f for f in local_proxies.fingerprints() if f.path == path]
    return next((f.proxy for f in candidates if _matches(f, response)), None)


def _matches(wanted: Fingerprint, response: Response) -> bool:
    if wanted.status and response.status != wanted.status:
        return False
    for name, text in wanted.headers.items():
        if name not in response.headers or text.lower() not in response.headers[name].lower():
            return False
    if wanted.equals and response.body.strip() != wanted.equals:
        return False
    if wanted.contains and _tight(wanted.contains) not in _tight(response.body):
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


def _split(raw: bytes) -> tuple[bytes, bytes, bytes]:
    """Header lines, their end, and what follows."""
    ends = [(at, mark) for mark in (b"\r\n\r\n", b"\n\n") if (at := raw.find(mark)) >= 0]
    if raw.startswith((b"\r\n", b"\n")):
        mark = b"\r\n" if raw.startswith(b"\r\n") else b"\n"
        return b"", mark, raw[len(mark) :]
    if not ends:
        return raw, b"", b""
    at, mark = min(ends)
    return raw[:at], mark, raw[at + len(mark) :]


def _complete(raw: bytearray) -> bool:
    """Whether the answer says itself that it is over; other answers end with the connection."""
    first = _STATUS.match(raw)
    if first is None:
        # a whole first line, or a beginning, that will not become HTTP/1 any more
        return b"\n" in raw or not b"HTTP/1.".startswith(bytes(raw[:7]))
    head, mark, body = _split(bytes(raw[first.end() :]))
    if not mark:
        return False
    lower = head.lower()
    length = re.search(rb"(?:^|\n)content-length:[ \t]*([0-9]{1,9})[ \t]*(?:\r|\n|$)", lower)
    if length is not None:
        return len(body) >= int(length.group(1))
    if b"transfer-encoding" in lower:
        return body.endswith(b"0\r\n\r\n")
    return first.group(1) in (b"204", b"304")


def _unchunked(body: bytes) -> bytes:
    whole = bytearray()
    while body:
        size, _, rest = body.partition(b"\r\n")
        try:
            length = int(size.partition(b";")[0].strip() or b"0", 16)
        except ValueError:
            break
        if length <= 0:
            break
        whole += rest[:length]
        body = rest[length + 2 :]
    return bytes(whole)
