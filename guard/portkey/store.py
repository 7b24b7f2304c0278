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
from guard.errors import GuardError
from guard.files.read import read_own
from guard.files.write import write
from guard.launch import bare_calls
from guard.portkey.account import Account
from guard.portkey.routing import predict

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
    refused = predict(account).sentence.startswith("refused: ")
    try:
        paths.private_directory(paths.routeguard_cache(environ))
        paths.private_directory(bare_calls.directory(environ))
        path = bare_calls.account_path(account.base_url, key, environ)
        write(f"{path}.json", text.encode())
        if refused:
            write(path + bare_calls.REFUSED, b"")
        elif os.path.lexists(path + bare_calls.REFUSED):
            os.unlink(path + bare_calls.REFUSED)
    except (OSError, GuardError):
        pass


def load(base_url: str, key: str, environ: Mapping[str, str]) -> Account | None:
    """What was last seen with this key at this gateway, None if nothing (or nothing readable)."""
    raw = read_own(f"{bare_calls.account_path(base_url, key, environ)}.json", MAX_BYTES)
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


def is_old(account: Account) -> bool:
    """Whether the account was seen longer ago than STALE, or in the future."""
    return not 0 <= time.time() - account.fetched_at <= STALE
