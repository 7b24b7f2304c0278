"""What the gateway will do with one planned launch, by what was last seen of the account.

Asks nobody and fetches no key: a key that a command would have to print is not looked up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from guard.launch import bare_calls
from guard.policy.values import CompiledPolicy
from guard.report.words import ago

ASK = "routeguard portkey status"


def outlook(route: str, policy: CompiledPolicy, environ: Mapping[str, str]) -> dict[str, Any]:
    """What becomes of a call for `route` (`entry/model`), as `explain` carries it.

    Keys: `known` (bool), `says` (words), `target`, `config`, `tree` (lines), `seen_at` (Unix
    seconds, 0 if nothing was seen), `age` (words).
    """
    entry = policy.provider(route.partition("/")[0])
    if entry is None:
        return _nothing("unknown: no provider entry of the policy")
    if not entry.key_env:
        return _nothing("unknown: the key comes from a command, which `explain` does not run")
    key = environ.get(entry.key_env, "")
    if not key or not os.path.isdir(bare_calls.directory(environ)):
        return _nothing(f"unknown until you run: {ASK}")
    # only now: it brings an HTTP library with it
    from guard.portkey import store
    from guard.portkey.routing import drawn, predict

    account = store.load(policy.base_url, key, environ)
    if account is None:
        return _nothing(f"unknown for this key until you run: {ASK}")
    found = predict(
        account, provider=entry.slug, model=route.partition("/")[2], config=entry.config
    )
    age = ago(account.fetched_at)
    return {
        "known": found.known,
        "says": found.sentence,
        "target": found.target,
        "config": found.config,
        "tree": drawn(found.tree) if found.tree else [],
        "seen_at": int(account.fetched_at),
        "age": f"{age}, out of date" if store.is_old(account) else age,
    }


def _nothing(says: str) -> dict[str, Any]:
    return {
        "known": False,
        "says": says,
        "target": "",
        "config": "",
        "tree": [],
        "seen_at": 0,
        "age": "",
    }
