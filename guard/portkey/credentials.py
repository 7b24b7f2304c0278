"""Named entries in opencode's own credential store, for those who want to see them there.

A guarded launch needs none: the key goes in by the environment, and the pinned providers carry
ids of their own. So an entry made here is a name with a placeholder, never a key. The store is
`auth.json` in opencode's data directory, `{"NAME": {"type": "api", "key": "…"}}` (facts:
opencode.md, run on 1.18.33).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from guard import paths
from guard.agents.opencode.jsonc import UnreadableError, read_bytes
from guard.agents.opencode.mirror import replace
from guard.agents.opencode.surroundings import PLACEHOLDER
from guard.errors import ExitCode, GuardError


def store_path(environ: Mapping[str, str]) -> str:
    """Where opencode keeps its credentials."""
    return os.path.join(paths.data_home(environ), "opencode", "auth.json")


def add(names: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """Add an entry for each of `names` that has none; returns those that were added.

    Raises GuardError if the store cannot be read or written; nothing of it is ever lost.
    """
    before, store = _read(environ)
    added = [name for name in names if name not in store]
    if added:
        store.update({name: {"type": "api", "key": PLACEHOLDER} for name in added})
        _write(store, before, environ)
    return added


def remove(environ: Mapping[str, str]) -> list[str]:
    """Take away every entry that `add` made; returns their names. Raises GuardError as `add`."""
    before, store = _read(environ)
    ours = [
        name
        for name, entry in store.items()
        if isinstance(entry, dict) and entry.get("key") == PLACEHOLDER
    ]
    if ours:
        kept = {name: entry for name, entry in store.items() if name not in ours}
        _write(kept, before, environ)
    return ours


def _read(environ: Mapping[str, str]) -> tuple[bytes | None, dict[str, Any]]:
    """The store's bytes (None if there is no store yet), and what they say."""
    path = store_path(environ)
    raw = _bytes(path)
    try:
        content = json.loads(raw) if raw is not None else {}
    except (ValueError, RecursionError):
        raise _unusable(path, "it is not JSON") from None
    if not isinstance(content, dict):
        raise _unusable(path, "it is not a JSON object")
    return raw, content


def _bytes(path: str) -> bytes | None:
    try:
        return read_bytes(path)
    except UnreadableError as error:
        raise _unusable(path, str(error)) from None


def _write(store: Mapping[str, Any], before: bytes | None, environ: Mapping[str, str]) -> None:
    path = os.path.realpath(store_path(environ))
    if _bytes(path) != before:
        # opencode saves it too, after a login and whenever a token is renewed
        raise _unusable(path, "it was changed in the meantime: run this again")
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        replace(path, json.dumps(store, indent=2).encode() + b"\n", 0o600)
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be written") from None


def _unusable(path: str, why: str) -> GuardError:
    return GuardError(
        "opencode's credential store was left as it is",
        where=path,
        why=why,
        fix="a guarded launch does not need it",
        exit_code=ExitCode.CONFIG,
    )
