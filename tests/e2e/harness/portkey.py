"""Portkey as the agent sees it: a control plane in front of the real open-source gateway.

The hosted control plane (keys, `@slug` providers, `pc-` configs) is not to be had, so
`PortkeyFront` plays it, by the recorded and documented answers; routing, streaming and the wire
format are the real gateway's. Behind it stands `Upstream`, the model provider.
"""

from __future__ import annotations

import http.client
import json
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import control_plane as plane
from harness.tools import send_command
from harness.waiting import PATIENCE

from guard.launch.loopback_gateway import send_completion, send_items, send_message, send_response
from guard.launch.recorder import RecordingServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.launch.recorder import Exchange, Request

ANSWER = "The word is quokka."
"""What the model behind the gateway says to everything."""

PROVIDER_CREDENTIAL = "held-by-portkey-1f5c0a"
"""The provider's key as Portkey stores it: no client ever holds it."""

WIRES: Final = {"openrouter": "", "together-ai": ""}
"""Vendors that the gateway speaks to in OpenAI's format, and the path it takes for granted in their
address (run: facts portkey.md 8.3). Every other vendor of the tests is played by OpenAI's own."""

STALL = "please-stall"
"""A prompt with this word is answered once `Upstream.go_on` is set, but tools are called first."""


class Upstream(RecordingServer):
    """The model providers, each below its slug: `ANSWER` to whoever brings the stored credential.

    `busy` counts, by slug, how many more calls are answered with 429. `asks_for` are the calls of
    tools that the model behind `/responses` asks for, once and first, as items of its output.
    `runs` has, by a word of a prompt, a command that the agent which sends it first is told to run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.busy: dict[str, int] = {}
        self.asks_for: list[dict[str, Any]] = []
        self.runs: dict[str, str] = {}

    def answer(self, request: Request, exchange: Exchange) -> None:
        """A chat completion, a message or a response, or 401, 404, 429."""
        slug, _, path = request.path.removeprefix("/").partition("/")
        asks_for: list[dict[str, Any]] = []
        if path == "v1/responses":
            asks_for, self.asks_for = self.asks_for, []
        if STALL.encode() in request.body and not asks_for:
            self.go_on.wait(PATIENCE)
        wanted = next((word for word in self.runs if word.encode() in request.body), "")
        if wanted and send_command(request, exchange, self.runs[wanted]):
            del self.runs[wanted]
        elif path == "v1/messages":
            if request.header("x-api-key") == PROVIDER_CREDENTIAL:
                send_message(request, exchange, ANSWER)
            else:
                exchange.send_json(401, {"error": {"message": "invalid x-api-key"}})
        elif request.header("authorization") != f"Bearer {PROVIDER_CREDENTIAL}":
            exchange.send_json(401, {"error": {"message": "Incorrect API key provided"}})
        elif path == "v1/responses":
            if asks_for:
                send_items(request, exchange, asks_for)
            else:
                send_response(request, exchange, ANSWER)
        elif path != "v1/chat/completions":
            exchange.send_json(404, {"error": {"message": "no such path"}})
        elif self.busy.get(slug, 0) > 0:
            self.busy[slug] -= 1
            _send_busy(exchange)
        else:
            send_completion(request, exchange, ANSWER)

    def served(self, since: int = 0) -> list[tuple[str, str]]:
        """(slug, model) of every request after the first `since`, in order."""
        return [(r.target.split("/")[1], r.model) for r in self.requests[since:]]


class PortkeyFront(plane.ControlPlane):
    """The hosted Portkey: its control plane, and inference handed over to the real gateway.

    Routes as the facts say: a config that the call names, else the one on the key, decides before
    `x-portkey-provider` and `@slug/model` do; raw provider names are blocked, as by default in
    organisations of today. Where the workspace has a `default_route`, a call that names nothing
    goes to its first provider: whatever the dashboard may be set to, where a test is not about it.
    """

    def __init__(self, gateway_url: str, upstream_url: str) -> None:
        super().__init__(small_workspace())
        self._gateway = urlsplit(gateway_url).netloc
        self._upstream = upstream_url

    def complete(self, request: Request, exchange: Exchange) -> None:
        """400 without a route, else what the gateway answers."""
        provider = request.header("x-portkey-provider")
        if provider and not provider.startswith("@"):
            self.send(exchange, 400, plane.INLINE_BLOCKED)
            return
        route = self._route(request)
        if route is None:
            self.send(exchange, 400, plane.NO_ROUTE)
            return
        config, model = route
        if request.path.endswith("/messages"):
            # the gateway hands this format on to Anthropic's address alone (run: facts, case 92)
            config = {**config, "provider": "anthropic"}
        self._forward(request, exchange, config, model)

    def _route(self, request: Request) -> tuple[dict[str, Any], str] | None:
        """The config as the gateway takes it, and the model's name; None if no route leads on."""
        name = request.header("x-portkey-config") or self._default_config(
            request.header("x-portkey-api-key")
        )
        slug = request.header("x-portkey-provider").removeprefix("@")
        model = request.model
        if model.startswith("@"):
            slug, _, model = model[1:].partition("/")
        config = self.workspace.details.get(name) if name else {}
        if config is None or not model:
            return None
        if "targets" in config or "provider" in config:
            return self._resolved(config), model
        if not slug and self.workspace.default_route:
            slug = self.workspace.providers[0]["slug"]
        target = self._target(slug)
        return ({**config, **target}, model) if target else None

    def _default_config(self, key: str) -> str:
        """The slug of the config on `key`, "" if there is none."""
        for row in self.workspace.api_keys:
            if row["key"] == plane.masked(key):
                wanted = row["defaults"]["config_id"]
                for config in self.workspace.configs:
                    if wanted and wanted in (config["id"], config["slug"]):
                        return str(config["slug"])
        return ""

    def _resolved(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """`config` with every `@slug` in it replaced by an address and the stored credential."""
        found = dict(config)
        if "targets" in found:
            found["targets"] = [self._resolved(target) for target in found["targets"]]
        slug = found.pop("provider", "").removeprefix("@")
        return found | (self._target(slug) if slug else {})

    def _target(self, slug: str) -> dict[str, Any]:
        """Provider `slug` as the gateway takes it; empty if there is none."""
        row = next((row for row in self.workspace.providers if row["slug"] == slug), None)
        if row is None:
            return {}
        vendor = row.get("provider") or ""
        return {
            "provider": vendor if vendor in WIRES else "openai",
            "custom_host": f"{self._upstream}/{slug}{WIRES.get(vendor, '/v1')}",
            "api_key": PROVIDER_CREDENTIAL,
        }

    def _forward(
        self, request: Request, exchange: Exchange, config: Mapping[str, Any], model: str
    ) -> None:
        resolved = ("x-portkey-config", "x-portkey-provider", "x-portkey-api-key")
        kept = {
            name: value
            for name, value in request.headers
            if name.lower().startswith("x-portkey-") and name.lower() not in resolved
        }
        connection = http.client.HTTPConnection(self._gateway, timeout=180)
        try:
            connection.request(
                request.method,
                request.target,
                json.dumps(request.json() | {"model": model}).encode(),
                {
                    **kept,
                    "content-type": "application/json",
                    "x-portkey-config": json.dumps(config),
                },
            )
            _relay(connection.getresponse(), exchange)
        finally:
            connection.close()


def small_workspace() -> plane.Workspace:
    """Three providers with a model each, and one config that nobody uses yet."""
    return plane.Workspace(
        default_route=True,
        providers=[
            plane.provider("openai-prod"),
            plane.provider("anthropic-prod", "anthropic"),
            plane.provider("openrouter-main", "openrouter"),
        ],
        configs=[plane.config_row("pc-smart-0a1b2c")],
        details={"pc-smart-0a1b2c": {"provider": "@openai-prod"}},
        models=[
            plane.model("openai-prod", "gpt-4o"),
            plane.model("anthropic-prod", "claude-sonnet-4-5"),
            plane.model("openrouter-main", "mistralai/mistral-7b-instruct"),
        ],
    )


def _send_busy(exchange: Exchange) -> None:
    """429, and come back in a while: longer than anybody who is watched would wait."""
    body = json.dumps({"error": {"message": "slow down", "type": "rate_limit"}}).encode()
    exchange.send_response(429)
    exchange.send_header("content-type", "application/json")
    exchange.send_header("content-length", str(len(body)))
    exchange.send_header("retry-after", "3600")
    exchange.end_headers()
    exchange.wfile.write(body)


def _relay(answer: http.client.HTTPResponse, exchange: Exchange) -> None:
    """Hand on what the gateway answers, with the headers that say who served it, as it comes."""
    exchange.send_response(answer.status)
    for name, value in answer.getheaders():
        if name.lower().startswith(("content-type", "retry-after", "x-portkey-")):
            exchange.send_header(name, value)
    exchange.send_header("transfer-encoding", "chunked")
    exchange.end_headers()
    while piece := answer.read1(1 << 16):
        exchange.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        exchange.wfile.flush()
    exchange.wfile.write(b"0\r\n\r\n")
