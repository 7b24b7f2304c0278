"""Putting what was found at the gateway into the text of the user's policy: pure but for `write`.

tomlkit keeps every comment and blank line of the file. Nothing is taken away that this did not
put there: an entry of the user's keeps its name and its key, only its models are brought up to
date.
"""

from __future__ import annotations

import difflib
import os
import tempfile
import tomllib
from collections.abc import Callable
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from guard import paths
from guard.agents.registry import default_agent
from guard.errors import PolicyError, UsageError, printable
from guard.files.read import UnreadableError, read_bytes
from guard.policy.compile import compile_files
from guard.policy.trusted_file import MAX_BYTES
from guard.policy.values import CompiledPolicy
from guard.policy.write import write_policy
from guard.portkey.wishes import UNIVERSAL, PolicyEntry, Wish

_ROOM = 0.8


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
