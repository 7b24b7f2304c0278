"""Portkey as the agent sees it: a control plane in front of the real open-source gateway.

The hosted control plane (keys, `@slug` providers, `pc-` configs) is not to be had, so
`PortkeyFront` plays it, by the recorded and documented answers; routing, streaming and the wire
format are the real gateway's. Behind it stands `Upstream`, the model provider.
"""

from __future__ import annotations

import http.client
import json
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from guard.launch.recorder import INVALID_KEY, RecordingServer, send_completion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.launch.recorder import Exchange, Request

ANSWER = "The word is quokka."
"""What the model behind the gateway says to everything."""

PROVIDER_CREDENTIAL = "held-by-portkey-1f5c0a"
"""The provider's key as Portkey stores it: no client ever holds it."""

ROUTING = ("x-portkey-config", "x-portkey-custom-host", "x-portkey-provider")
"""Headers that the control plane resolves and the gateway gets resolved."""

NO_ROUTE = {
    "status": "failure",
    "message": "Either x-portkey-config or x-portkey-provider header is required",
}


STALL = "please-stall"
"""A prompt with this word is answered only once `Upstream.go_on` is set."""


class Upstream(RecordingServer):
    """The model provider: answers `ANSWER` to whoever brings the stored credential."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def answer(self, request: Request, exchange: Exchange) -> None:
        """A chat completion, or 401 or 404."""
        if STALL.encode() in request.body:
            self.go_on.wait(60)
        if request.header("authorization") != f"Bearer {PROVIDER_CREDENTIAL}":
            exchange.send_json(401, {"error": {"message": "Incorrect API key provided"}})
        elif request.target == "/v1/chat/completions":
            send_completion(request, exchange, ANSWER)
        else:
            exchange.send_json(404, {"error": {"message": "no such path"}})


class PortkeyFront(RecordingServer):
    """The control plane: authenticates, resolves the route, hands over to the real gateway."""

    def __init__(self, gateway_url: str, upstream_url: str, keys: set[str]) -> None:
        super().__init__()
        self._gateway = urlsplit(gateway_url).netloc
        self._upstream = f"{upstream_url}/v1"
        self.keys = keys
        self.slugs = {"openrouter-main", "anthropic-prod", "openai-prod"}
        self.configs = {"pc-smart-0a1b2c"}
        self.has_default_config = True

    def answer(self, request: Request, exchange: Exchange) -> None:
        """401 for a bad key, 400 without a route, else what the gateway answers."""
        bearer = request.header("authorization").removeprefix("Bearer ")
        if (request.header("x-portkey-api-key") or bearer) not in self.keys:
            exchange.send_json(401, INVALID_KEY)
            return
        if request.method != "POST" or not request.json():
            exchange.send_json(404, {"message": "Not Found", "ok": False})
            return
        model = self._resolve(request)
        if model is None:
            exchange.send_json(400, NO_ROUTE)
        else:
            self._forward(request, exchange, model)

    def _resolve(self, request: Request) -> str | None:
        """The model's name at the provider; None if no route leads there."""
        config = request.header("x-portkey-config")
        provider = request.header("x-portkey-provider")
        if config:
            return request.model if config in self.configs else None
        if provider:
            return request.model if provider.removeprefix("@") in self.slugs else None
        if request.model.startswith("@"):
            slug, _, model = request.model[1:].partition("/")
            return model if slug in self.slugs and model else None
        return request.model if self.has_default_config else None

    def _forward(self, request: Request, exchange: Exchange, model: str) -> None:
        kept = {
            name: value
            for name, value in request.headers
            if name.lower().startswith("x-portkey-") and name.lower() not in ROUTING
        }
        connection = http.client.HTTPConnection(self._gateway, timeout=60)
        try:
            connection.request(
                request.method,
                request.target,
                json.dumps(request.json() | {"model": model}).encode(),
                kept
                | {
                    "content-type": "application/json",
                    "x-portkey-provider": "openai",
                    "x-portkey-custom-host": self._upstream,
                    "authorization": f"Bearer {PROVIDER_CREDENTIAL}",
                },
            )
            answer = connection.getresponse()
            content_type = answer.getheader("content-type", "application/json")
            if answer.status == 200 and content_type.startswith("text/event-stream"):
                exchange.stream(content_type, _pieces(answer))
            else:
                exchange.send(answer.status, answer.read(), content_type)
        finally:
            connection.close()


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := answer.read1(1 << 16):
        yield piece
