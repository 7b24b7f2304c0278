"""What was found at the gateway, as edits of the user's policy: pure but for `write`.

tomlkit keeps every comment and blank line of the file. Nothing is taken away that this did not
put there: an entry of the user's keeps its name and its key, only its models are brought up to
date.
"""

from __future__ import annotations

import difflib
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from guard import errors, paths
from guard.agents.adapter import Agent
from guard.agents.registry import adapters, default_agent
from guard.errors import PolicyError, UsageError, printable
from guard.files.read import UnreadableError, read_bytes
from guard.policy import model
from guard.policy.compile import compile_files
from guard.policy.layers import MAX_BYTES
from guard.policy.values import CompiledPolicy
from guard.policy.write import write_policy
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
_ROOM = 0.8


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


def edited(text: str, wished: Wish, current: CompiledPolicy) -> str:
    """`text` of the user's policy with `wished` in it. Raises PolicyError if it cannot be edited.

    New entries are tables; where the policy writes its gateway inline or with dotted keys, which
    no table may reopen, they are inline tables. What comes out is read back and compared with
    what was meant.
    """
    try:
        document = tomlkit.parse(text)
        meant = _put_all(tomllib.loads(text), wished, current, dict)
    except (TOMLKitError, tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        raise PolicyError(
            "the policy cannot be edited: it is not a valid policy",
            why=printable(str(error)),
            fix="routeguard policy validate",
        ) from None
    for kind in (tomlkit.table, tomlkit.inline_table):
        try:
            after = tomlkit.dumps(_put_all(document, wished, current, kind))
            if tomllib.loads(after) == meant:
                return after if text.endswith("\n\n") else after.rstrip("\n") + "\n"
        except (TOMLKitError, tomllib.TOMLDecodeError, TypeError, AttributeError, ValueError):
            pass  # this style does not go with what is there
        document = tomlkit.parse(text)
    raise PolicyError(
        "the policy is written in a way that cannot be edited safely",
        why="[gateway] mixes styles of TOML",
        fix="write [gateway.providers.NAME] as tables, and run it again",
    )


def _put_all(document: Any, wished: Wish, current: CompiledPolicy, kind: Callable[[], Any]) -> Any:
    """`document` (of tomlkit, or plain) with `wished` in it; `kind` makes what is new."""
    gateway = _table(document, "gateway", kind)
    if wished.base_url and gateway.get("base_url") != wished.base_url:
        gateway["base_url"] = wished.base_url
    if wished.key and gateway.get("key") != wished.key:
        gateway["key"] = tomlkit.inline_table()
        gateway["key"].update(wished.key)
    for agent, provider in wished.routes.items():
        agents = _table(document, "agents", kind)
        _table(agents, agent, kind)["provider"] = provider
    if not wished.entries:
        return document
    providers = _table(gateway, "providers", kind)
    last = None
    for entry in wished.entries:
        last = _put(providers, entry, kind)
    default = str(gateway.get("default") or "")
    if wished.default and not default:
        gateway["default"] = wished.default
    named = str(gateway.get("default") or current.default_model).partition("/")[0]
    if named not in providers and named == UNIVERSAL:
        # the default model names it, and a policy with entries has no other
        last = _new(providers, UNIVERSAL, {"name": "Portkey"}, kind)
    if isinstance(last, Table) and not last.is_super_table():
        last.add(tomlkit.nl())
    return document


def _table(parent: Any, name: str, kind: Callable[[], Any]) -> Any:
    if name not in parent:
        # [gateway.providers] and [agents] have no header of their own
        bare = kind is tomlkit.table and name in ("providers", "agents")
        parent[name] = tomlkit.table(is_super_table=True) if bare else kind()
    return parent[name]


def _new(providers: Any, name: str, content: dict[str, Any], kind: Callable[[], Any]) -> Any:
    table = kind()
    table.update(content)
    providers[name] = table
    return providers[name]


def _put(providers: Any, entry: PolicyEntry, kind: Callable[[], Any]) -> Any:
    """Write `entry`; returns its table if it is new."""
    content: dict[str, Any] = {"name": entry.title}
    if entry.slug:
        content["slug"] = entry.slug
    if entry.key_env:
        content["key"] = tomlkit.inline_table()
        content["key"]["env"] = entry.key_env
    if entry.name not in providers:
        content["models"] = _array(entry, multiline=kind is tomlkit.table)
        return _new(providers, entry.name, content, kind)
    table = providers[entry.name]
    if entry.key_env:
        table["key"] = content["key"]
    if list(table.get("models") or ()) != list(entry.models):
        table["models"] = _array(entry, multiline=isinstance(table, Table))
    return None


def _array(entry: PolicyEntry, *, multiline: bool) -> Any:
    models = tomlkit.array()
    models.extend(entry.models)
    return models.multiline(multiline and len(entry.models) > 1)


def diff(before: str, after: str, path: str) -> list[str]:
    """What changes, as a unified diff; empty if nothing does."""
    return list(
        difflib.unified_diff(
            before.splitlines(),
            after.splitlines(),
            f"{path} (as it is)",
            f"{path} (as it will be)",
            n=2,
            lineterm="",
        )
    )


def tried(after: str, path: str, wished: Wish) -> CompiledPolicy:
    """Compile the policy as it would be: system and user layer.

    Raises PolicyError if it would not hold, or not fit.
    """
    draft = ""
    try:
        with tempfile.TemporaryDirectory(prefix="routeguard-") as directory:
            draft = os.path.join(directory, "policy.toml")
            with open(draft, "w", encoding="utf-8") as file:
                file.write(after)
            policy = compile_files(paths.SYSTEM_POLICY, draft, ())[0]
    except OSError as error:
        raise PolicyError(
            "the new policy cannot be tried",
            where=tempfile.gettempdir(),
            why=error.strerror or str(error),
            fix="make room in TMPDIR",
            rule="",
        ) from None
    except PolicyError as error:
        error.where = error.where.replace(draft, path)
        raise
    if wished.base_url and policy.base_url.rstrip("/") != wished.base_url.rstrip("/"):
        raise PolicyError(
            "the system policy sets gateway.base_url, so yours would not count",
            where=paths.SYSTEM_POLICY,
            fix="ask whoever administers it to change the gateway",
            rule="",
        )
    there = {entry.name: entry.models for entry in policy.providers}
    if not all(there.get(entry.name) == entry.models for entry in wished.entries):
        raise PolicyError(
            "the system policy sets gateway.providers and overrides yours",
            where=paths.SYSTEM_POLICY,
            fix="ask your administrator to add these entries",
            rule="",
        )
    _fits(policy)
    return policy


def proposed(entries: Iterable[PolicyEntry], bare: str) -> str:
    """The model of `entries` (as ENTRY/MODEL) to offer as default where `bare` was; "" if none."""
    offered = [(entry.name, name) for entry in entries for name in entry.models]
    last = bare.rpartition("/")[2]
    words = [word for word in (last, *_DEFAULTS) if word]
    whole = [o for word in words for o in offered if o[1].rpartition("/")[2] == word]
    part = [o for word in _DEFAULTS for o in offered if word in o[1].lower()]
    chosen = next(iter((*whole, *part, *offered)), None)
    return "/".join(chosen) if chosen else ""


def _fits(policy: CompiledPolicy) -> None:
    taken, most = default_agent().pinned_size(policy)
    if taken > most * _ROOM:
        count = sum(len(entry.models) for entry in policy.providers)
        raise UsageError(
            f"{count} models are more than one launch can carry",
            why=f"they take {taken} bytes of the {most} of one variable",
            fix="choose: --provider SLUG, or words that the model names contain",
        )


def write(path: str, before: str, after: str) -> str:
    """Replace the policy in one step; returns where the old one was kept, "" if there was none.

    Raises PolicyError if the file is no longer what it was, or cannot be written.
    """
    if read(path) != before:
        raise PolicyError(
            "the policy changed while this ran; nothing was written",
            where=path,
            fix="run it again",
            rule="",
        )
    return write_policy(path, after, 0o600, force=True)


def read(path: str) -> str:
    """The text of the user's policy, "" if there is none. Raises PolicyError if unreadable."""
    try:
        return (read_bytes(path, MAX_BYTES) or b"").decode()
    except (UnreadableError, UnicodeDecodeError) as error:
        raise PolicyError(
            "the policy cannot be read",
            where=path,
            why="it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error),
            fix="routeguard policy validate",
        ) from None
