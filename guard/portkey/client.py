"""Questions to the gateway over HTTP: where the key may go, how long to wait, when to ask again.

The key travels in `x-portkey-api-key` alone: in `Authorization` it would be forwarded to a third
party by a raw provider name (facts: portkey.md, hazard 2). It goes to the host of the policy's
gateway and to no other, whatever an answer says.
"""

from __future__ import annotations

import json
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from guard import __version__
from guard.errors import ExitCode, GuardError, printable
from guard.net import is_loopback
from guard.policy.values import CompiledPolicy
from guard.portkey import network, tls
from guard.portkey.answer import (
    CHECK_URL,
    MAX_MESSAGE,
    TRY_AGAIN,
    GatewayAnswer,
    GatewayError,
    require,
)
from guard.portkey.own_keys import OwnKeys

KEY_HEADER: Final = "x-portkey-api-key"

HOSTED: Final = frozenset(("api.portkey.ai", "aigw.portkey.ai"))
"""Portkey's own hosts, compared whole: a suffix or a substring is anybody's."""

MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes of one answer that are read."""

PAGE_SIZE: Final = 100
"""Items of one page."""

MAX_ITEMS: Final = 10_000
"""Items of one list that are asked for, over all its pages."""

_MAX_REDIRECTS = 3
_RETRIES = 3
_LONGEST_WAIT = 30.0
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, for the next bytes of an answer, and for all of a question:
    the retries and the waits between them included."""

    connect: float = 5.0
    read: float = 20.0
    whole: float = 60.0


class Client:
    """A connection to one gateway with one key; a context manager.

    `environ` counts as in `guard.portkey.network`. `progress` is told a sentence for every wait.
    `sleep` waits seconds. Raises GuardError: RG106 for a host that the key must not be sent to,
    RG104 for a proxy on this machine that the policy neither names nor excepts.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        environ: Mapping[str, str],
        policy: CompiledPolicy,
        timeouts: Timeouts = Timeouts(),
        progress: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._progress = progress
        self._sleep = sleep
        self._timeouts = timeouts
        self._own = OwnKeys([key, *(environ.get(p.key_env, "") for p in policy.providers)])
        _require_host(self.base_url, policy)
        self._origin = _origin(self.base_url)
        name, proxy = network.proxy(self.base_url, environ, policy)
        self._proxy, self._proxy_url = name, proxy
        self._inspected_fix = network.inspected_fix(environ, policy)
        try:
            self._http = httpx.Client(
                headers={
                    KEY_HEADER: key,
                    "user-agent": f"routeguard/{__version__}",
                    "accept": "application/json",
                },
                proxy=proxy or None,
                verify=network.certificates(policy) if self._origin[0] == "https" else True,
                timeout=httpx.Timeout(timeouts.read, connect=timeouts.connect),
                trust_env=False,
                follow_redirects=False,
            )
        except UnicodeEncodeError:
            raise GuardError(
                "the gateway key holds a character that no key has", rule="RG106"
            ) from None
        except (ValueError, ImportError, httpx.InvalidURL):
            # what the value says is not repeated: a proxy's URL can hold a password
            raise GuardError(
                f"{name} is not a usable HTTP proxy",
                where=name,
                fix=f"{name}=http://HOST:PORT, or NO_PROXY={self._origin[1]}",
                exit_code=ExitCode.FINDINGS,
            ) from None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def __repr__(self) -> str:
        return f"Client({self.base_url!r})"

    def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> GatewayAnswer:
        """Ask for `path` below the base URL. Raises GatewayError if nothing usable answers.

        An answer of any status is returned; `require` judges it.
        """
        return self._ask(self._request("GET", path, params=params, headers=headers))

    def post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> GatewayAnswer:
        """Send `body` as JSON. Asked again only where nothing can have been done: 429 and 503."""
        return self._ask(self._request("POST", path, json=body, headers=headers))

    def pages(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        scope: str = "",
        by_offset: bool = False,
    ) -> Iterator[Any]:
        """Every item of a list, page after page, up to MAX_ITEMS.

        Pages are counted from 0 (`current_page`, `page_size`), or by `offset` and `limit`. A list
        ends at its `total` (without one: with a short page), or where a page repeats the one
        before: some endpoints ignore these parameters, others give fewer items than asked for.
        Raises GatewayError; a 403 names `scope`.
        """
        given, before = 0, None
        for page in range(MAX_ITEMS // PAGE_SIZE + 1):
            where = (
                {"offset": given, "limit": PAGE_SIZE}
                if by_offset
                else {"current_page": page, "page_size": PAGE_SIZE}
            )
            answer = require(self.get(path, where, headers), scope=scope)
            items = _items(answer.body, self.base_url + path)
            if not items or items == before:
                return
            for item in items:
                yield item
                given += 1
                if given >= MAX_ITEMS:
                    return
            total = answer.body.get("total") if isinstance(answer.body, dict) else None
            if given >= total if isinstance(total, int) else len(items) < PAGE_SIZE:
                return
            before = items

    def _request(self, method: str, path: str, **more: Any) -> httpx.Request:
        return self._http.build_request(method, self.base_url + path, **more)

    def _ask(self, request: httpx.Request) -> GatewayAnswer:
        is_get = request.method == "GET"
        again = (429, 500, 502, 503, 504) if is_get else (429, 503)
        until = time.monotonic() + self._timeouts.whole
        for attempt in range(_RETRIES + 1):
            last = attempt == _RETRIES
            try:
                answer = self._within(until, request)
            except GatewayError as error:
                # once: somebody waits, and a POST may have been done
                wait = _backoff(attempt)
                hopeless = error.kind not in ("offline", "timeout") or not is_get or attempt
                if hopeless or time.monotonic() + wait >= until:
                    raise
                self._wait(wait, "no answer")
                continue
            if answer.status not in again or last:
                return answer
            wait = _asked_to_wait(answer.headers, _backoff(attempt))
            if wait > _LONGEST_WAIT or time.monotonic() + wait >= until:
                return answer
            self._wait(wait, f"the gateway answered {answer.status}")
        raise AssertionError("the last attempt returns or raises")

    def _within(self, until: float, request: httpx.Request) -> GatewayAnswer:
        """One attempt that ends at `until` (of time.monotonic), whatever it waits for.

        A timeout of HTTP libraries begins again with each byte, and there is none for the name of
        a host; so a thread of its own asks, which is left alone when the time is up.
        """
        done: list[GatewayAnswer | BaseException] = []

        def ask() -> None:
            try:
                done.append(self._send(request, until))
            except BaseException as error:  # raised again below
                done.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(max(0.0, until - time.monotonic()))
        if not done:
            raise _endless(self.base_url)
        if isinstance(done[0], BaseException):
            raise done[0]
        return done[0]

    def _wait(self, seconds: float, why: str) -> None:
        self._progress(f"{why}; asking again in {seconds:.0f} s")
        self._sleep(seconds)

    def _send(self, request: httpx.Request, until: float) -> GatewayAnswer:
        for _ in range(_MAX_REDIRECTS + 1):
            begun = time.monotonic()
            try:
                response = self._http.send(request, stream=True)
                try:
                    raw = _bounded(response, until)
                finally:
                    response.close()
            except (httpx.InvalidURL, UnicodeError):
                # httpx reads the target of a redirect before it is asked to follow it
                raise self._elsewhere("another address") from None
            except httpx.HTTPError as error:
                raise self._failure(error) from None
            location = response.headers.get("location", "")
            if response.is_redirect and location:
                target = self._redirected(str(response.url), location, request.method)
                request = self._http.build_request("GET", target, headers=request.headers)
                continue
            return self._answer(response, raw, time.monotonic() - begun)
        raise GatewayError(
            "redirected", "the gateway redirects in circles", where=self.base_url, fix=CHECK_URL
        )

    def _answer(self, response: httpx.Response, raw: bytes, seconds: float) -> GatewayAnswer:
        """What is read of an answer: without our own keys, which a gateway may repeat."""
        text = raw.decode("utf-8-sig", "replace")
        body = _parsed(text)
        if self._own.are_in(text):
            text = self._own.without(text)
            try:
                body = self._own.without_all(body)
            except RecursionError:
                body = None
        headers = {name.lower(): self._own.without(v) for name, v in response.headers.items()}
        return GatewayAnswer(response.status_code, headers, body, text, seconds)

    def _redirected(self, url: str, location: str, method: str) -> str:
        try:
            target = str(httpx.URL(url).join(location))
            origin = _origin(target)
        except (httpx.InvalidURL, ValueError):
            target, origin = "", ("", "", 0)
        if origin != self._origin or method != "GET":
            scheme, name, port = origin
            host = printable(self._own.without(name)[:MAX_MESSAGE]) or "another address"
            if name == self._origin[1]:
                host = f"{scheme}://{host}:{port}"
            raise self._elsewhere(host)
        return target

    def _elsewhere(self, host: str) -> GatewayError:
        return GatewayError(
            "redirected",
            f"the gateway redirects to {host}; the key was not sent there",
            where=self.base_url,
            why="a login page of the network, or a base URL that has moved",
            fix=CHECK_URL,
        )

    def _unproved(self, error: ssl.SSLError) -> GatewayError:
        """Why there is no TLS: what a company's inspection looks like is called that."""
        _, host, port = self._origin
        why = printable(getattr(error, "verify_message", "")) or "the TLS handshake failed"
        what, fix = "the gateway's TLS certificate was not accepted", "try another network"
        if getattr(error, "verify_code", 0) in tls.UNKNOWN_CA:
            try:
                signed = tls.issuer(lambda: tls.connection(host, port, self._proxy_url), host)
            except OSError:
                signed = "not seen"
            what, fix = network.inspected(signed), self._inspected_fix
        return GatewayError(
            "tls", what, where=self.base_url, why=f"{why}; nothing was sent", fix=fix
        )

    def _failure(self, error: httpx.HTTPError) -> GatewayError:
        """What `error` means, by its type and those of its causes.

        Texts of HTTP libraries are not repeated: they can quote what was sent.
        """
        causes = list(_causes(error))
        proxied = isinstance(error, httpx.ProxyError) or (
            self._proxy and isinstance(error, httpx.ConnectError)
        )
        where = self._proxy if proxied else self.base_url
        check_proxy = f"check {self._proxy} and NO_PROXY"
        if isinstance(error, httpx.TimeoutException):
            return GatewayError(
                "timeout", "the gateway did not answer in time", where=where, fix=TRY_AGAIN
            )
        if isinstance(error, httpx.ProxyError):
            return GatewayError(
                "offline", "the HTTP proxy refused the connection", where=where, fix=check_proxy
            )
        if isinstance(error, httpx.ConnectError):
            refused = next((part for part in causes if isinstance(part, ssl.SSLError)), None)
            if refused is not None:
                return self._unproved(refused)
            if any(isinstance(part, socket.gaierror) for part in causes):
                name = f"the proxy in {self._proxy}" if proxied else printable(self._origin[1])
                return GatewayError(
                    "dns",
                    f"cannot resolve {name} (offline?)",
                    where=where,
                    fix=check_proxy if proxied else f"check the network; {CHECK_URL}",
                )
            return GatewayError(
                "offline",
                f"cannot connect to {f'the proxy in {where}' if proxied else 'the gateway'}",
                where=where,
                why=_reason(causes),
                fix=check_proxy
                if proxied
                else "check the network; start the gateway if you run it yourself",
            )
        if any(isinstance(part, httpx.InvalidURL) for part in causes):
            return self._elsewhere("another address")
        if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
            return GatewayError(
                "offline",
                "the connection broke off, or the reply is not HTTP",
                where=where,
                why=_reason(causes),
                fix=f"try again; {CHECK_URL}",
            )
        return GatewayError(
            "not-portkey", "the reply is not valid HTTP", where=where, fix=CHECK_URL
        )


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port as httpx reads them: it is httpx that connects.

    Raises ValueError or httpx.InvalidURL where there are none.
    """
    parts = httpx.URL(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if port > _MAX_PORT:
        raise ValueError(url)
    return parts.scheme, parts.raw_host.decode("ascii").lower(), port


def _require_host(base_url: str, policy: CompiledPolicy) -> None:
    try:
        scheme, host, _ = origin = _origin(base_url)
        ours = origin == _origin(policy.base_url)
    except (httpx.InvalidURL, ValueError):
        scheme, host, ours = "", "another address", False
    # a user or password would travel in Authorization
    plain = "@" not in base_url and base_url.isprintable()
    if plain and (ours or host in HOSTED) and (scheme == "https" or is_loopback(host)):
        return
    raise GuardError(
        f"the gateway key is not sent to {printable(host)}",
        where=base_url if plain else "gateway.base_url",
        why="the key goes to the gateway of the policy alone, over TLS",
        fix="put the gateway's address into gateway.base_url of your policy",
        rule="RG106",
    )


def _bounded(response: httpx.Response, until: float) -> bytes:
    """The body, up to MAX_BODY bytes and the time `until` (of time.monotonic)."""
    parts, size = [], 0
    for part in response.iter_bytes():
        size += len(part)
        if time.monotonic() > until:
            # each piece came in time, the whole does not
            raise _endless(response.url.host)
        if size > MAX_BODY:
            raise GatewayError(
                "not-portkey",
                f"the reply is longer than {MAX_BODY >> 20} MB; the rest was not read",
                where=response.url.host,
                fix=CHECK_URL,
            )
        parts.append(part)
    return b"".join(parts)


def _endless(where: str) -> GatewayError:
    return GatewayError("timeout", "the gateway's reply does not end", where=where, fix=TRY_AGAIN)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _items(body: Any, url: str) -> list[Any]:
    """The list in `body`: `data`, or the answer itself."""
    items = body.get("data") if isinstance(body, dict) else body
    if not isinstance(items, list):
        raise GatewayError(
            "not-portkey",
            f"unexpected reply from {url.rpartition('/')[2]}: no list in it",
            where=url,
            fix=CHECK_URL,
        )
    return items


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def _reason(causes: list[BaseException]) -> str:
    """What the system said, where it did: texts of HTTP libraries can quote what was sent."""
    return next((os.strerror(e.errno) for e in causes if isinstance(e, OSError) and e.errno), "")


def _backoff(attempt: int) -> float:
    return float(min(8.0, 0.5 * 2**attempt)) * (0.75 + random.random() / 2)  # noqa: S311


def _asked_to_wait(headers: Mapping[str, str], otherwise: float) -> float:
    """Seconds that `Retry-After` asks for (a number, or a date), else `otherwise`."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return otherwise
