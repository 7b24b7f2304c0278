"""A stand-in for the hosted control plane: answers in the recorded shapes (facts: portkey.md 4, 6).

The hosted one cannot be had here. Every body below is one of the recordings, with invented names.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from guard.launch.loopback_gateway import INVALID_KEY as BAD_KEY
from guard.launch.recorder import RecordingServer

if TYPE_CHECKING:
    from guard.launch.recorder import Exchange, Request

ADMIN = frozenset(
    (
        *("completions.write", "providers.list", "providers.read", "virtual_keys.list"),
        *("configs.list", "configs.read", "workspace_user_api_keys.list"),
    )
)
WORKSPACE = frozenset(("completions.write", "providers.list", "providers.read"))
WEAK = frozenset(("completions.write",))
"""What an auto-created user key may do."""

NEEDS = {
    "providers": ("providers.list",),
    "virtual-keys": ("virtual_keys.list",),
    "configs": ("configs.list",),
    "api-keys": ("workspace_user_api_keys.list",),
    "models": ("completions.write", "virtual_keys.list"),
}

NO_ROUTE = {
    "status": "failure",
    "message": "Either x-portkey-config or x-portkey-provider header is required",
}
_BLOCKED = "Inline providers are blocked for this organisation"
INLINE_BLOCKED = {
    "status": "failure",
    "error": {
        "code": "inline_provider_blocked",
        "message": _BLOCKED,
        "field": "x-portkey-provider",
    },
    "message": _BLOCKED,
}
AB03 = {
    "success": False,
    "data": {
        "message": "You do not have enough permissions to execute this request",
        "errorCode": "AB03",
    },
}
EXHAUSTED = {
    "status": "failure",
    "message": "Portkey Error: Portkey API Key Usage Limit Exceeded. Error Code: 04",
}
COMPLETION = {
    "id": "chatcmpl-recorded",
    "object": "chat.completion",
    "created": 0,
    "model": "recorded",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "ok"},
        }
    ],
}
CAPTIVE = "<!DOCTYPE html><html><head><title>Welcome to Hotel WiFi</title></head></html>"


def provider(slug: str, vendor: str | None = "openai", **more: Any) -> dict[str, Any]:
    """One item of `GET /providers` (4.2)."""
    row: dict[str, Any] = {
        "id": "00000000-0000-0000-0000-000000000001",
        "slug": slug,
        "name": slug.replace("-", " ").title(),
        "provider": vendor,
        "integration_id": f"{slug}-main",
        "workspace_id": "ws-demo",
        "workspace_name": "Demo",
        "status": "active",
        "note": None,
        "usage_limits": None,
        "rate_limits": [{"type": "requests", "unit": "rpm", "value": 60}],
        "reset_usage": None,
        "expires_at": None,
        "created_at": "2026-01-01T00:00:00Z",
        "model_config": None,
        "object": "provider",
        **more,
    }
    if vendor is None:
        del row["provider"]
    return row


def config_row(slug: str, **more: Any) -> dict[str, Any]:
    """One item of `GET /configs` (4.4)."""
    return {
        "id": f"00000000-0000-0000-0000-0000000000{len(slug):02}",
        "name": slug,
        "slug": slug,
        "workspace_id": "ws-demo",
        "organisation_id": "org",
        "is_default": 0,
        "status": "active",
        "owner_id": "o",
        "updated_by": "o",
        "created_at": "2026-01-01T00:00:00Z",
        "last_updated_at": "2026-01-01T00:00:00Z",
        "object": "config",
        **more,
    }


def masked(key: str) -> str:
    """`key` as Portkey shows it in its list (4.5)."""
    return f"{key[:2]}*****{key[-3:]}"


def key_row(key: str, scopes: frozenset[str], **more: Any) -> dict[str, Any]:
    """One item of `GET /api-keys` (4.5), with Portkey's mask of `key`."""
    return {
        "id": "00000000-0000-0000-0000-000000000003",
        "key": masked(key),
        "name": "default_user_key",
        "type": "workspace-user",
        "organisation_id": "org",
        "workspace_id": "ws-demo",
        "user_id": "u",
        "status": "active",
        "creation_mode": "auto",
        "rate_limits": [],
        "usage_limits": None,
        "expires_at": None,
        "scopes": sorted(scopes),
        "defaults": {"metadata": None, "config_id": None, "allow_config_override": True},
        "allow_config_override": None,
        "object": "api-key",
        **more,
    }


def model(provider_slug: str, name: str) -> dict[str, Any]:
    """One item of `GET /models` with the catalogue header (4.1)."""
    return {
        "id": f"@{provider_slug}/{name}",
        "slug": name,
        "canonical_slug": name,
        "object": "model",
    }


@dataclass
class Workspace:
    """What the stand-in knows: keys with their scopes, and the lists they may ask for.

    `details` are configs by slug, as objects. `flat` chooses the recorded shape of
    `GET /configs/{slug}` (flat, `config` a JSON string) over the one of the specification.
    `default_route` has a completion that names no provider answered, as by a config on the key;
    without it, one is answered where it names `@slug` and the catalogue holds the model. `slow`
    is how many seconds every answer takes.
    `trouble` maps a path's first part to what is answered instead: (status, body, headers).
    """

    keys: dict[str, frozenset[str]] = field(default_factory=dict)
    providers: list[dict[str, Any]] = field(default_factory=list)
    configs: list[dict[str, Any]] = field(default_factory=list)
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: list[dict[str, Any]] = field(default_factory=list)
    api_keys: list[dict[str, Any]] = field(default_factory=list)
    flat: bool = True
    paging: bool = True
    trouble: dict[str, list[tuple[int, Any, dict[str, str]]]] = field(default_factory=dict)
    default_route: bool = False
    slow: float = 0.0


class ControlPlane(RecordingServer):
    """The endpoints of section 4 below `/v1`, on loopback. A context manager."""

    def __init__(self, workspace: Workspace | None = None) -> None:
        super().__init__()
        self.workspace = workspace or Workspace()

    @property
    def base_url(self) -> str:
        """What `gateway.base_url` is set to."""
        return f"{self.url}/v1"

    def answer(self, request: Request, exchange: Exchange) -> None:
        time.sleep(self.workspace.slow)
        url = urlsplit(request.target)
        first, _, rest = url.path.removeprefix("/v1/").partition("/")
        trouble = self.workspace.trouble.get(first) or self.workspace.trouble.get("*")
        if trouble:
            status, body, headers = trouble[0] if len(trouble) == 1 else trouble.pop(0)
            self.send(exchange, status, body, headers)
            return
        scopes = self.workspace.keys.get(request.header("x-portkey-api-key"))
        if scopes is None:
            self.send(exchange, 401, BAD_KEY)
        elif (first, rest, request.method) in (
            ("chat", "completions", "POST"),
            ("messages", "", "POST"),
            ("responses", "", "POST"),
        ):
            self.complete(request, exchange)
        elif first not in NEEDS:
            self.send(exchange, 404, {"message": "Not Found", "ok": False})
        elif not scopes & set(NEEDS[first]):
            self.send(exchange, 403, AB03)
        elif rest:
            self._detail(exchange, first, rest, scopes)
        else:
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            self.send(exchange, 200, self._page(self._list(first), query))

    def complete(self, request: Request, exchange: Exchange) -> None:
        """A completion in the order of facts 5: config, provider, `@slug/model`, nothing."""
        named = request.header("x-portkey-provider")
        name = f"{named}/{request.model}" if named.startswith("@") else request.model
        slug = name.partition("/")[0].removeprefix("@")
        served = {
            "x-portkey-provider": "openai",
            "x-portkey-last-used-option-index": "config.targets[0]",
        }
        if named and not named.startswith("@"):
            self.send(exchange, 400, INLINE_BLOCKED)
        elif request.header("x-portkey-config") or self.workspace.default_route:
            self.send(exchange, 200, COMPLETION, served)
        elif not name.startswith("@"):
            self.send(exchange, 400, NO_ROUTE)
        elif any(row["id"] == name for row in self.workspace.models):
            vendor = {"x-portkey-provider": slug, "x-portkey-last-used-option-index": "config"}
            self.send(exchange, 200, COMPLETION, vendor)
        else:
            error = {"message": f"{slug} error: The model does not exist", "code": "404"}
            self.send(exchange, 404, {"error": error, "provider": slug})

    def _list(self, name: str) -> list[dict[str, Any]]:
        space = self.workspace
        if name == "virtual-keys":
            return [{**row, "object": "virtual-key"} for row in space.providers]
        return {
            "providers": space.providers,
            "configs": space.configs,
            "api-keys": space.api_keys,
            "models": space.models,
        }[name]

    def _page(self, items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        shown = items
        if self.workspace.paging:
            size = int(query.get("page_size") or query.get("limit") or 50)
            start = int(query.get("offset") or int(query.get("current_page", 0)) * size)
            shown = items[start : start + size]
        return {"object": "list", "total": len(items), "data": shown}

    def _detail(self, exchange: Exchange, kind: str, slug: str, scopes: frozenset[str]) -> None:
        row = next((row for row in self._list(kind) if row.get("slug") == slug), None)
        if kind != "configs" or row is None:
            self.send(exchange, 404, {"success": False, "data": {"errorCode": "AB08"}})
        elif "configs.read" not in scopes:
            self.send(exchange, 403, AB03)
        elif self.workspace.flat:
            config = json.dumps(self.workspace.details[slug])
            self.send(
                exchange, 200, {**row, "config": config, "format": "json", "type": "ORG_CONFIG"}
            )
        else:
            config = self.workspace.details[slug]
            self.send(exchange, 200, {"success": True, "data": {**row, "config": config}})

    def send(
        self, exchange: Exchange, status: int, body: Any, headers: dict[str, str] | None = None
    ) -> None:
        """Answer with `body`: a dict or list as JSON, text as it is."""
        text = body if isinstance(body, str) else json.dumps(body)
        kind = "text/html" if isinstance(body, str) else "application/json"
        # head and body are two writes, and Nagle's algorithm holds the second back for 40 ms
        exchange.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        exchange.send_response(status)
        raw = text.encode()
        for name, value in {
            "content-type": kind,
            "content-length": str(len(raw)),
            **(headers or {}),
        }.items():
            exchange.send_header(name, value)
        exchange.end_headers()
        exchange.wfile.write(raw)
