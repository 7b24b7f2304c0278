"""The recorded shapes of Portkey's answers, read tolerantly: what is missing is None, what is new
is passed over (facts: portkey.md 4, from the fixtures and the OpenAPI document named there).

Configs can hold provider keys. They are taken out here, before anything is kept or shown.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from guard.catalog.key_shapes import looks_like_key
from guard.errors import printable
from guard.net import authority, read_url

_KNOWN: Final = frozenset(
    (
        *("strategy", "targets", "name", "weight", "provider", "virtual_key", "prompt_id"),
        *("override_params", "default_params", "drop_params", "custom_host", "passthrough"),
        *("request_timeout", "cache", "retry", "cb_config", "metadata", "fetch_integrated_models"),
        *("strict_open_ai_compliance", "input_guardrails", "output_guardrails"),
        *("before_request_hooks", "after_request_hooks"),
    )
)
"""Keys of a config, and of each target in it, that are kept (facts: portkey.md 4.4).

Every provider has names of its own for credentials; a list of what to drop would lag behind.
"""

_CREDENTIALS: Final = ("key", "keyid", "token", "secret", "password", "credentials", "json")
_CARRIERS: Final = ("authorization", "headers", "cookie", "credential", "organization")
"""How names of credentials end, and what carries one, deeper in a config: letters only."""

_KEEP_TEXT = 200
_MAX_DEPTH = 12
_MAX_ITEMS = 1000


class Row(BaseModel):
    """One item of a list: unknown keys are passed over, wrong kinds of values become None."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _tolerant(cls, value: Any, handler: Any, info: Any) -> Any:
        try:
            result = handler(value)
        except ValidationError:
            if (
                info.field_name in ("slug", "id")
                and cls.model_fields[info.field_name].is_required()
            ):
                raise
            return cls.model_fields[info.field_name].get_default(call_default_factory=True)
        return printable(result[:_KEEP_TEXT]) if isinstance(result, str) else result


class ProviderRow(Row):
    """A provider of the workspace (or the virtual key it was): `GET /providers`, `/virtual-keys`.

    `slug` is what `@slug` names; `provider` the vendor, absent in some answers; `status` is
    `active`, `exhausted` or `expired`.
    """

    slug: str
    name: str | None = None
    provider: str | None = None
    status: str | None = None
    integration_id: str | None = None
    workspace_name: str | None = None
    usage_limits: dict[str, Any] | None = None
    rate_limits: list[dict[str, Any]] | None = None
    expires_at: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _vendor(cls, value: Any) -> Any:
        # a virtual key's detail has the vendor under another name (portkey.md 4.2)
        if isinstance(value, dict) and "provider" not in value and "ai_provider_name" in value:
            return {**value, "provider": value["ai_provider_name"]}
        return value


class ConfigRow(Row):
    """A config of the workspace: `GET /configs`; `config` comes with `GET /configs/{slug}`."""

    slug: str
    id: str | None = None
    name: str | None = None
    status: str | None = None
    is_default: int | bool | None = None
    config: dict[str, Any] | None = None


class ModelRow(Row):
    """A model of the catalogue: `GET /models` with `x-portkey-fetch-integrated-models: true`.

    `id` is what a call names: `@provider-slug/model`.
    """

    id: str
    slug: str | None = None
    canonical_slug: str | None = None

    @property
    def provider(self) -> str:
        """The slug of the provider, "" where the id names none."""
        head, slash, _ = self.id.partition("/")
        return head.removeprefix("@") if slash and head.startswith("@") else ""


class KeyDefaults(Row):
    """What a key adds to a call by itself."""

    config_id: str | None = None
    allow_config_override: bool | None = None


class KeyRow(Row):
    """An API key, as a key with the right scope may list it; `key` is Portkey's own mask."""

    key: str | None = None
    name: str | None = None
    type: str | None = None
    status: str | None = None
    scopes: list[str] | None = None
    usage_limits: dict[str, Any] | None = None
    rate_limits: list[dict[str, Any]] | None = None
    expires_at: str | None = None
    defaults: KeyDefaults | None = None
    allow_config_override: bool | None = Field(default=None)

    @property
    def override_allowed(self) -> bool | None:
        """Whether a call may bring its own config; None where the row does not say."""
        if self.defaults is not None and self.defaults.allow_config_override is not None:
            return self.defaults.allow_config_override
        return self.allow_config_override


def rows(kind: type[Row], items: list[Any]) -> list[Any]:
    """The items that are a `kind`; the others are passed over."""
    found = []
    for item in items:
        try:
            found.append(kind.model_validate(item))
        except ValidationError:
            continue
    return found


def config_detail(body: Any) -> ConfigRow | None:
    """The config in an answer of `GET /configs/{slug}`, without secrets; None if there is none.

    Both shapes are read: flat with `config` as a JSON string (recorded), and below `data` with an
    object (in the specification).
    """
    if isinstance(body, dict) and isinstance(body.get("data"), dict):
        body = body["data"]
    if not isinstance(body, dict):
        return None
    config = body.get("config")
    if isinstance(config, str):
        try:
            config = json.loads(config)
        except (ValueError, RecursionError):
            config = None
    kept = {**body, "config": without_secrets(config) if isinstance(config, dict) else None}
    found = rows(ConfigRow, [kept])
    return found[0] if found else None


def without_secrets(config: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """`config` (or one target of it) without what is, or can carry, a credential."""
    kept: dict[str, Any] = {}
    for key, value in config.items():
        if key not in _KNOWN:
            continue
        if key == "targets":
            targets = value if isinstance(value, list) and depth < _MAX_DEPTH else []
            kept[key] = [without_secrets(t, depth + 1) for t in targets[:_MAX_ITEMS] if _is_map(t)]
        elif key == "custom_host" and isinstance(value, str):
            kept[key] = _address(value)
        else:
            kept[key] = _plain(value, depth)
    return kept


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


def _plain(value: Any, depth: int = 0) -> Any:
    """`value` without credentials, of bounded size, printable."""
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return {
            printable(str(key)[:_KEEP_TEXT]): _plain(inner, depth + 1)
            for key, inner in value.items()
            if not _is_secret(str(key))
        }
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value[:_MAX_ITEMS]]
    if isinstance(value, str):
        return "(removed)" if looks_like_key(value) else printable(value[:_KEEP_TEXT])
    return value


def _is_secret(key: str) -> bool:
    letters = "".join(c for c in key.lower() if c.isalnum())
    return letters.endswith(_CREDENTIALS) or any(word in letters for word in _CARRIERS)


def _address(url: str) -> str:
    """`url` without what can hold a password: user, query, fragment."""
    found = read_url(url)
    if found is None:
        return ""
    place = authority(found.host, found.port) if found.port > 0 else found.host
    return printable(f"{found.scheme}://{place}{found.path}"[:200])
