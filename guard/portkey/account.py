"""What one key shows of its account, as far as its scopes reach: asked once, kept without secrets.

Three answers look alike and are not: nothing is there, this key may not see it, the question
failed. `Reply` keeps them apart, so that nobody reads "none" where the truth is "not visible".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from guard.portkey import shapes
from guard.portkey.answer import GatewayError, require
from guard.portkey.client import Client

T = TypeVar("T")

SCOPES = {
    "providers": "providers.list",
    "configs": "configs.list",
    "config": "configs.read",
    "models": "completions.write or virtual_keys.list",
    "key": "workspace_user_api_keys.list",
}
"""The scope that each question needs (facts: portkey.md 4)."""

MAX_CONFIGS = 50
"""Configs whose content is asked for, one request each."""

CATALOGUE = {"x-portkey-fetch-integrated-models": "true"}
"""Without it, a key with a default config answers with its upstream's models (portkey.md 4.1)."""


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """`known` with a value, `hidden` by a missing `scope`, or `failed` for a `reason`."""

    state: Literal["known", "hidden", "failed"]
    value: T | None = None
    scope: str = ""
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return self.state == "known"


@dataclass(frozen=True, slots=True)
class Account:
    """What the key showed. `fetched_at` is in Unix seconds.

    `default_config` is the slug (or id) of the config that the key adds to every call, "" if it
    adds none. `providers_from` tells which question answered: `providers`, `virtual-keys`, or
    `models` (then only slugs are known). What probes taught: `probed` maps a model's id to the
    verdict on it, `observed` says in words what became of a call that named no provider.
    """

    base_url: str
    fetched_at: float
    providers: Reply[list[shapes.ProviderRow]]
    configs: Reply[list[shapes.ConfigRow]]
    models: Reply[list[shapes.ModelRow]]
    key: Reply[shapes.KeyRow]
    default_config: Reply[str]
    override_allowed: Reply[bool]
    providers_from: str = "providers"
    notes: tuple[str, ...] = field(default=())
    probed: dict[str, str] = field(default_factory=dict)
    observed: str = ""

    def config(self, name: str) -> shapes.ConfigRow | None:
        """The config whose slug or id is `name`: a key names it by either (portkey.md 4.5)."""
        for row in self.configs.value or ():
            if name and name in (row.slug, row.id):
                return row
        return None


def gather(
    client: Client,
    key: str,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> Account:
    """Ask everything the key may see. `key` is only compared with Portkey's masks of it.

    Raises GatewayError where no question can be answered: offline, an unknown key, no Portkey.
    """
    errors: list[GatewayError] = []
    progress("asking for models")
    models = _models(client, errors)
    progress("asking for providers")
    providers, source = _providers(client, models, errors)
    progress("asking for configs")
    configs, notes = _configs(client, errors)
    progress("asking for the key's own settings")
    row = _own_row(client, key, errors)
    if errors and all(seen.state == "failed" for seen in (models, providers, configs, row)):
        # a budget that is used up, a login page: every question has the same answer
        raise errors[0]
    return Account(
        base_url=client.base_url,
        fetched_at=time.time(),
        providers=providers,
        configs=configs,
        models=models,
        key=row,
        default_config=_default(row, configs),
        override_allowed=_override(row),
        providers_from=source,
        notes=tuple(notes),
    )


_DECISIVE = frozenset(
    ("dns", "offline", "open-source-gateway", "redirected", "timeout", "tls", "wrong-key")
)
"""Kinds of GatewayError that every further question would end in, too."""


def _seen(ask: Callable[[], Any], scope: str, errors: list[GatewayError]) -> Reply[Any]:
    try:
        return Reply("known", ask())
    except GatewayError as error:
        if error.kind in _DECISIVE:
            raise
        if error.kind == "missing-scope":
            return Reply("hidden", scope=scope, reason=error.why)
        errors.append(error)
        return Reply("failed", reason=error.what + (f" ({error.why})" if error.why else ""))


def _rows(kind: type[shapes.Row], items: Iterable[Any], what: str) -> list[Any]:
    """The rows in `items`. Raises GatewayError where there are items, and none is a row."""
    given = list(items)
    found = shapes.rows(kind, given)
    if given and not found:
        raise GatewayError(
            "not-portkey", f"unexpected reply: none of the {len(given)} {what} in it has a name"
        )
    return found


def _models(client: Client, errors: list[GatewayError]) -> Reply[list[shapes.ModelRow]]:
    def ask() -> list[shapes.ModelRow]:
        pages = client.pages("/models", headers=CATALOGUE, scope=SCOPES["models"], by_offset=True)
        unique = {row.id: row for row in _rows(shapes.ModelRow, pages, "models")}
        return list(unique.values())

    return _seen(ask, SCOPES["models"], errors)


def _providers(
    client: Client,
    models: Reply[list[shapes.ModelRow]],
    errors: list[GatewayError],
) -> tuple[Reply[list[shapes.ProviderRow]], str]:
    """The providers, by the first question that this key may ask."""
    first: Reply[list[shapes.ProviderRow]] | None = None
    for path, scope in (
        ("/providers", SCOPES["providers"]),
        ("/virtual-keys", "virtual_keys.list"),
    ):

        def ask(path: str = path, scope: str = scope) -> list[shapes.ProviderRow]:
            return _rows(shapes.ProviderRow, client.pages(path, scope=scope), "providers")

        seen = _seen(ask, scope, errors)
        if seen.known:
            return seen, path.removeprefix("/")
        first = first or seen
    slugs = dict.fromkeys(row.provider for row in models.value or () if row.provider)
    if slugs:
        return Reply(
            "known", [shapes.ProviderRow.model_validate({"slug": slug}) for slug in slugs]
        ), "models"
    assert first is not None
    return first, "providers"


def _configs(
    client: Client, errors: list[GatewayError]
) -> tuple[Reply[list[shapes.ConfigRow]], list[str]]:
    notes: list[str] = []

    def ask() -> list[shapes.ConfigRow]:
        found = _rows(
            shapes.ConfigRow, client.pages("/configs", scope=SCOPES["configs"]), "configs"
        )
        if len(found) > MAX_CONFIGS:
            notes.append(f"only the first {MAX_CONFIGS} of {len(found)} configs were read")
        return [*(_detail(client, row, notes) for row in found[:MAX_CONFIGS]), *found[MAX_CONFIGS:]]

    return _seen(ask, SCOPES["configs"], errors), notes


def _detail(client: Client, row: shapes.ConfigRow, notes: list[str]) -> shapes.ConfigRow:
    if not _is_slug(row.slug):
        return row
    try:
        answer = require(client.get(f"/configs/{row.slug}"), scope=SCOPES["config"])
    except GatewayError as error:
        if error.kind in _DECISIVE:
            raise
        hidden = f"not visible to this key ({SCOPES['config']})"
        notes.append(f"{row.slug}: {hidden if error.kind == 'missing-scope' else error.what}")
        return row
    detail = shapes.config_detail(answer.body)
    if detail is None or detail.config is None:
        notes.append(f"{row.slug}: unexpected reply: no config in it")
        return row
    return row.model_copy(update={"config": detail.config})


def _is_slug(text: str) -> bool:
    # it becomes part of a URL
    return text.isascii() and all(c.isalnum() or c in "-_." for c in text) and ".." not in text


def _own_row(client: Client, key: str, errors: list[GatewayError]) -> Reply[shapes.KeyRow]:
    """The key's own row, by Portkey's mask: there is no endpoint that says "me" (portkey.md 4)."""

    def ask() -> list[shapes.KeyRow]:
        own = f"{key[:2]}*****{key[-3:]}"
        listed = shapes.rows(shapes.KeyRow, list(client.pages("/api-keys", scope=SCOPES["key"])))
        return [row for row in listed if row.key == own]

    seen = _seen(ask, SCOPES["key"], errors)
    if not seen.known:
        return seen
    if not seen.value:
        return Reply("failed", reason="the list of keys does not show this key")
    if len(seen.value) > 1:
        return Reply("failed", reason="several keys share this masked form")
    return Reply("known", seen.value[0])


def _default(row: Reply[shapes.KeyRow], configs: Reply[list[shapes.ConfigRow]]) -> Reply[str]:
    if row.value is None:
        return _unseen(row)
    config_id = row.value.defaults.config_id if row.value.defaults is not None else None
    for config in configs.value or ():
        if config_id and config_id in (config.id, config.slug):
            return Reply("known", config.slug)
    return Reply("known", config_id or "")


def _override(row: Reply[shapes.KeyRow]) -> Reply[bool]:
    if row.value is None:
        return _unseen(row)
    allowed = row.value.override_allowed
    if allowed is None:
        return Reply("failed", reason="the key's row does not say")
    return Reply("known", allowed)


def _unseen(row: Reply[Any]) -> Reply[Any]:
    return Reply(row.state, scope=row.scope, reason=row.reason)
