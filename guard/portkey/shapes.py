"""The recorded shapes of Portkey's answers, read tolerantly: what is missing is None, what is new
is passed over (facts: portkey.md 4, from the fixtures and the OpenAPI document named there).

Configs can hold provider keys. They are taken out here, before anything is kept or shown.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from guard.errors import printable

_SECRET_KEYS: Final = frozenset(
    (
        *("api_key", "apikey", "authorization", "key", "secret", "password", "token"),
        *("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
        *("vertex_service_account_json", "azure_ad_token", "headers", "forward_headers"),
        *("openai_organization", "cache_key", "custom_headers"),
    )
)
"""Keys of a config object whose values are credentials, or can carry one."""

_KEEP_TEXT = 200
_MAX_DEPTH = 12


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


def without_secrets(value: Any, depth: int = 0) -> Any:
    """`value` of a config without what is, or can carry, a credential."""
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return {
            printable(str(key)[:_KEEP_TEXT]): without_secrets(inner, depth + 1)
            for key, inner in value.items()
            if not _is_secret(str(key))
        }
    if isinstance(value, list):
        return [without_secrets(item, depth + 1) for item in value[:1000]]
    return printable(value[:_KEEP_TEXT]) if isinstance(value, str) else value


def _is_secret(key: str) -> bool:
    lowered = key.lower().replace("-", "_")
    return lowered in _SECRET_KEYS or lowered.endswith(("_key", "_token", "_secret", "_password"))
