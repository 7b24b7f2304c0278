"""One conversation with the gateway of the policy, and what is remembered of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from guard.launch.keys import Key
from guard.policy.values import CompiledPolicy
from guard.portkey import store
from guard.portkey.account import Account, gather
from guard.portkey.client import Client, Timeouts
from guard.portkey.probe import ProbeResult


def open_client(
    policy: CompiledPolicy,
    environ: Mapping[str, str],
    key: Key,
    *,
    progress: Callable[[str], None],
    timeouts: Timeouts | None = None,
) -> Client:
    """A client for the gateway of `policy`. Raises GuardError as Client does."""
    return Client(
        policy.base_url,
        key.value,
        environ=environ,
        policy=policy,
        timeouts=timeouts or Timeouts(),
        progress=progress,
    )


def read_account(
    policy: CompiledPolicy,
    environ: Mapping[str, str],
    key: Key,
    *,
    refresh: bool,
    progress: Callable[[str], None],
) -> Account:
    """The account: as it was last seen, if that is recent and `refresh` is not set, else asked."""
    known = store.load(policy.base_url, key.value, environ)
    if known is not None and not refresh and not store.is_old(known):
        return known
    with open_client(policy, environ, key, progress=progress) as client:
        account = gather(client, key.value, progress=progress)
    if known is not None:
        account = dataclasses.replace(account, probed=known.probed, observed=known.observed)
    store.save(account, key.value, environ)
    return account


def remember(
    results: list[ProbeResult], account: Account, key: Key, environ: Mapping[str, str]
) -> None:
    """Keep what canaries taught: which models work, and what became of a call without provider."""
    probed = dict(account.probed)
    observed = account.observed
    for result in results:
        model = result.canary.model
        if result.canary.kind == "header":
            model = f"{dict(result.canary.headers)['x-portkey-provider']}/{model}"
        if result.canary.kind in ("slug", "header"):
            probed[model] = result.verdict
        elif result.canary.kind == "bare" and result.verdict in ("works", "needs-provider"):
            through = f" through {result.through}" if result.through not in ("", "config") else ""
            observed = (
                f"served by {result.served or 'a provider it did not name'}{through}"
                if result.verdict == "works"
                else "refused: it needs a provider"
            )
    store.save(dataclasses.replace(account, probed=probed, observed=observed), key.value, environ)
