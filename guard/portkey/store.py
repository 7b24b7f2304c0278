"""The account as it was last seen: a private file in the cache, by gateway and key.

`explain` and `models` read it, so that they need no network. It holds no key: the file is named
by a keyed digest, and configs come without their secrets. Anything wrong with it counts as absent.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from guard import paths
from guard.check import digest_key
from guard.errors import GuardError
from guard.files.read import read_own
from guard.files.write import write
from guard.findings import digest
from guard.portkey.account import Account

SCHEMA_VERSION = 1
MAX_BYTES = 16 * 1024 * 1024
STALE = 24 * 3600.0
"""Seconds after which what was seen is asked again; `explain` asks nobody and shows it still."""

_ACCOUNT = TypeAdapter(Account)


def save(account: Account, key: str, environ: Mapping[str, str]) -> None:
    """Keep `account`. A cache that cannot be written costs nothing but the next question."""
    text = json.dumps(
        {"schema_version": SCHEMA_VERSION, "account": _ACCOUNT.dump_python(account, mode="json")}
    )
    try:
        paths.private_directory(paths.routeguard_cache(environ))
        directory = paths.private_directory(_directory(environ))
        write(_path(directory, account.base_url, key, environ), text.encode())
    except (OSError, GuardError):
        pass


def load(base_url: str, key: str, environ: Mapping[str, str]) -> Account | None:
    """What was last seen with this key at this gateway, None if nothing (or nothing readable)."""
    path = _path(_directory(environ), base_url, key, environ)
    raw = read_own(path, MAX_BYTES)
    if raw is None:
        return None
    try:
        content: Any = json.loads(raw)
        if content["schema_version"] != SCHEMA_VERSION:
            return None
        account = _ACCOUNT.validate_python(content["account"])
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
        return None
    return account if account.base_url == base_url else None


def forget(environ: Mapping[str, str]) -> None:
    """Remove everything that was kept."""
    directory = _directory(environ)
    try:
        for name in os.listdir(directory):
            if name.endswith(".json"):
                os.unlink(os.path.join(directory, name))
    except OSError:
        pass


def is_old(account: Account, now: float | None = None) -> bool:
    """Whether the account was seen longer ago than STALE, or in the future."""
    passed = (time.time() if now is None else now) - account.fetched_at
    return not 0 <= passed <= STALE


def age(account: Account, now: float | None = None) -> str:
    """How long ago the account was seen, in words."""
    seconds = max(0.0, (time.time() if now is None else now) - account.fetched_at)
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _directory(environ: Mapping[str, str]) -> str:
    return os.path.join(paths.routeguard_cache(environ), "portkey")


def _path(directory: str, base_url: str, key: str, environ: Mapping[str, str]) -> str:
    name = digest(f"{base_url}\n{key}", digest_key.load(environ))
    return os.path.join(directory, f"{name}.json")
