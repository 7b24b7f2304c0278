"""What the user's policy should say, after what was found at the gateway: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from guard import errors
from guard.agents.adapter import Agent
from guard.agents.registry import adapters
from guard.errors import UsageError
from guard.policy import model
from guard.policy.values import CompiledPolicy
from guard.portkey.account import Account
from guard.portkey.routing import predict
from guard.portkey.shapes import ProviderRow

UNIVERSAL: Final = "portkey"
"""The entry that leaves the provider to the call: one key, smart routing in the dashboard."""

MAX_ENTRIES: Final = 100
"""Entries that `guard.policy.model` accepts."""

Layout = Literal["one", "each"]

_SHORT = {"together-ai": "together", "mistral-ai": "mistral", "azure-openai": "azure"}
_DEFAULTS = ("gpt-4o", "gpt-4.1", "claude-sonnet-4", "gpt", "claude", "gemini", "mistral")


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """One entry of gateway.providers as it should be. `key_env` "" means the gateway's own key."""

    name: str
    slug: str
    title: str
    models: tuple[str, ...]
    key_env: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """The whole: entries, the default model where one is proposed, and what was left out.

    `base_url` and `key` (a table of the policy, such as `{"env": "PORTKEY_API_KEY"}`) are those of
    the gateway, where they are to change. `routes` has the provider of an agent that names none
    itself, by its id.
    """

    entries: tuple[PolicyEntry, ...] = ()
    default: str = ""
    notes: tuple[str, ...] = ()
    base_url: str = ""
    key: Mapping[str, str | list[str]] = field(default_factory=dict)
    routes: Mapping[str, str] = field(default_factory=dict)


def layout_of(policy: CompiledPolicy) -> Layout:
    """How the policy names providers today: an entry for each, or one for all."""
    return "each" if any(entry.slug for entry in policy.providers) else "one"


def entry_name(slug: str, vendor: str | None, taken: Iterable[str]) -> str:
    """A name for the entry of provider `slug`: by its vendor, if that is free, else by the slug.

    `openrouter-main` of the vendor openrouter becomes `portkey-openrouter`.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", slug.lower()).strip("-")
    vendor = (vendor or "").lower()
    short = _SHORT.get(vendor, vendor)
    if not short and "-" in plain:
        short = plain.partition("-")[0]
    for candidate in (short, re.sub(r"-[0-9a-f]{6}$", "", plain), plain):
        name = f"{UNIVERSAL}-{candidate}"[:64].rstrip("-")
        if candidate and name not in set(taken):
            return name
    return f"{UNIVERSAL}-{plain}"[:64]


def wish(
    account: Account,
    policy: CompiledPolicy,
    *,
    layout: Layout,
    providers: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
    keys: Mapping[str, str] | None = None,
) -> Wish:
    """The entries for what `account` shows. Raises UsageError if nothing is left to write.

    `providers` are slugs and `words` parts of names that limit the models; `keys` maps a slug to
    the variable that holds its own key.
    """
    notes: list[str] = []
    rows = _chosen(account, providers, notes)
    models = _models(account, [row.slug for row in rows], words, notes)
    if not rows or not any(models.values()):
        raise UsageError(
            "there is nothing to write",
            why="; ".join(notes) or "the key shows no models",
            fix="what the key reaches:\nrouteguard portkey status",
        )
    if layout == "one":
        listed = [f"@{slug}/{name}" for slug, names in models.items() for name in names]
        entries = [PolicyEntry(UNIVERSAL, "", "Portkey", tuple(listed))]
    else:
        entries = _each(rows, models, policy, keys or {})
    _require_room(entries)
    if account.default_config.value:
        notes.append(
            f"the config {account.default_config.value} on this key decides where every call "
            "goes, whichever model is chosen"
        )
    default = _default(account, policy, entries)
    if default:
        notes.append(
            f"the default model {policy.default_model} names no provider, so the gateway refuses "
            f"it; {default} works"
        )
    routes = _routes(rows, policy, notes)
    return Wish(tuple(entries), default, tuple(notes), routes=routes)


def usable(agent: Agent, rows: Iterable[ProviderRow]) -> list[str]:
    """The providers of `rows` that `agent` can use, as `@slug`: all where it is not choosy."""
    fits = agent.vendors
    return [f"@{row.slug}" for row in rows if not fits or row.provider in fits]


def _routes(rows: list[ProviderRow], policy: CompiledPolicy, notes: list[str]) -> dict[str, str]:
    """The provider for each guarded agent that has none and can use only one of `rows`."""
    found = {}
    for agent in adapters():
        if not agent.vendors or agent.id in policy.unguarded or policy.route_of(agent.id).provider:
            continue
        able = usable(agent, rows)
        if len(able) == 1:
            found[agent.id] = able[0]
        elif able:
            notes.append(
                f"{agent.title} can use {', '.join(able)}: name one as provider under "
                f"[agents.{agent.id}]"
            )
        elif any(not row.provider for row in rows):
            notes.append(
                f"this key does not see which provider serves {agent.title}: name one as provider "
                f"under [agents.{agent.id}]"
            )
    return found


def _require_room(entries: list[PolicyEntry]) -> None:
    """Raise UsageError where a policy has no room for `entries`."""
    largest = max(entries, key=lambda entry: len(entry.models))
    if len(largest.models) > model.MAX_ITEMS:
        count, room = f"{len(largest.models)} models", f"one entry holds {model.MAX_ITEMS}"
    elif len(entries) > MAX_ENTRIES:
        count, room = f"{len(entries)} providers", f"a policy holds {MAX_ENTRIES}"
    else:
        return
    slugs = (entry.slug or name[1:].partition("/")[0] for entry in entries for name in entry.models)
    raise UsageError(
        f"{count} are too many: {room}",
        fix="choose a provider, or words that the model names contain:\n"
        f"routeguard portkey sync --provider {next(slugs)} --dry-run\n"
        "routeguard portkey sync gpt mini --dry-run",
    )


def _chosen(account: Account, providers: tuple[str, ...], notes: list[str]) -> list[ProviderRow]:
    rows = account.providers.value or []
    wanted = [slug.removeprefix("@") for slug in providers]
    unknown = [slug for slug in wanted if all(row.slug != slug for row in rows)]
    if unknown:
        raise UsageError(
            f"this key reaches no provider {', '.join(unknown)}",
            why=errors.listed("it sees", [f"@{row.slug}" for row in rows]),
        )
    chosen = []
    for row in rows:
        if wanted and row.slug not in wanted:
            continue
        if row.status not in (None, "active"):
            notes.append(f"@{row.slug} is left out: it is {row.status}")
        elif not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,127}", row.slug):
            notes.append(f"@{row.slug} is left out: a policy cannot contain that name")
        else:
            chosen.append(row)
    return chosen


def _models(
    account: Account, slugs: list[str], words: tuple[str, ...], notes: list[str]
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {slug: [] for slug in slugs}
    unusable = failing = 0
    for row in account.models.value or ():
        name = row.id.partition("/")[2]
        if row.provider not in found or not all(w.lower() in row.id.lower() for w in words):
            continue
        if account.probed.get(row.id, "works") not in ("works", "rate-limited"):
            failing += 1
        elif name and _is_model(name) and _is_model(row.id):
            found[row.provider].append(name)
        else:
            unusable += 1
    if unusable:
        notes.append(f"{unusable} models are left out: a policy cannot contain their names")
    if failing:
        notes.append(f"{failing} models are left out: a probe found that they do not work")
    if account.models.value is None:
        notes.append(f"models: not visible to this key ({account.models.scope or 'failed'})")
    return found


def _is_model(name: str) -> bool:
    try:
        model.Provider(models=[name])
    except ValueError:
        return False
    return True


def _each(
    rows: list[ProviderRow],
    models: dict[str, list[str]],
    policy: CompiledPolicy,
    keys: Mapping[str, str],
) -> list[PolicyEntry]:
    by_slug = {entry.slug: entry for entry in policy.providers if entry.slug}
    taken = {entry.name for entry in policy.providers}
    entries = []
    for row in rows:
        known = by_slug.get(row.slug)
        name = known.name if known else entry_name(row.slug, row.provider, taken)
        taken.add(name)
        title = known.title if known else f"{row.name or row.slug} through Portkey"
        entries.append(
            PolicyEntry(
                name, row.slug, _title(title), tuple(models[row.slug]), keys.get(row.slug, "")
            )
        )
    return entries


def _title(text: str) -> str:
    return re.sub(r"[{}\"'\\`\x00-\x1f]", "", text)[:100] or "Portkey"


def _default(account: Account, policy: CompiledPolicy, entries: list[PolicyEntry]) -> str:
    """A default model that works, where the one of the policy is known not to; else ""."""
    name, _, bare = policy.default_model.partition("/")
    entry = policy.provider(name)
    slug, config = (entry.slug, entry.config) if entry else ("", "")
    now = predict(account, provider=slug, model=bare, config=config)
    there = any(e.name == name and bare in e.models for e in entries)
    if there or not (now.known and not now.target):
        return ""
    return proposed(entries, bare)


def proposed(entries: Iterable[PolicyEntry], bare: str) -> str:
    """The model of `entries` (as ENTRY/MODEL) to offer as default where `bare` was; "" if none."""
    offered = [(entry.name, name) for entry in entries for name in entry.models]
    last = bare.rpartition("/")[2]
    words = [word for word in (last, *_DEFAULTS) if word]
    whole = [o for word in words for o in offered if o[1].rpartition("/")[2] == word]
    part = [o for word in _DEFAULTS for o in offered if word in o[1].lower()]
    chosen = next(iter((*whole, *part, *offered)), None)
    return "/".join(chosen) if chosen else ""
