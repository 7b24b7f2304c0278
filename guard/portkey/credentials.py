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
from guard.agents.opencode.mirror import replace
from guard.errors import ExitCode, GuardError

PLACEHOLDER = "held-by-routeguard"
"""In the place of a key. Whoever sends it is told by any gateway that it is none."""


def store_path(environ: Mapping[str, str]) -> str:
    """Where opencode keeps its credentials."""
    return os.path.join(paths.data_home(environ), "opencode", "auth.json")


def add(names: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """Add an entry for each of `names` that has none; returns those that were added.

    Raises GuardError if the store cannot be read or written; nothing of it is ever lost.
    """
    store = _read(environ)
    added = [name for name in names if name not in store]
    if added:
        store.update({name: {"type": "api", "key": PLACEHOLDER} for name in added})
        _write(store, environ)
    return added


def remove(environ: Mapping[str, str]) -> list[str]:
    """Take away every entry that `add` made; returns their names. Raises GuardError as `add`."""
    store = _read(environ)
    ours = [
        name
        for name, entry in store.items()
        if isinstance(entry, dict) and entry.get("key") == PLACEHOLDER
    ]
    if ours:
        _write({name: entry for name, entry in store.items() if name not in ours}, environ)
    return ours


def _read(environ: Mapping[str, str]) -> dict[str, Any]:
    path = store_path(environ)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from None
    except (ValueError, RecursionError):
        raise _unusable(path, "it is not JSON") from None
    if not isinstance(content, dict):
        raise _unusable(path, "it is not a JSON object")
    return content


def _write(store: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    path = os.path.realpath(store_path(environ))
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
