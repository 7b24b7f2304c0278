"""One conversation with the gateway of the policy: which key, whence, and what is remembered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from guard.agents.keys import unusable_key
from guard.errors import GuardError, UsageError
from guard.findings import mask
from guard.launch import keys
from guard.policy.values import CompiledPolicy, GatewayProvider
from guard.portkey import store
from guard.portkey.account import Account, gather
from guard.portkey.client import Client, Timeouts
from guard.portkey.probe import ProbeResult


@dataclass(frozen=True, slots=True)
class Key:
    """The gateway key of one provider entry. `source` says in words where it comes from."""

    value: str = field(repr=False)
    entry: GatewayProvider
    source: str

    @property
    def shown(self) -> str:
        """The key as it may be shown."""
        return mask(self.value)


def find_key(policy: CompiledPolicy, environ: Mapping[str, str], entry: str = "") -> Key:
    """The key that a launch would use for the provider entry called `entry`, by default the first.

    Raises UsageError for an unknown entry, GuardError (RG106) if there is no key or it cannot be
    one of Portkey's.
    """
    chosen = policy.provider(entry) if entry else policy.default_provider
    if chosen is None:
        names = ", ".join(p.name for p in policy.providers)
        raise UsageError(f"no provider entry {entry!r} in the policy", fix=f"there are: {names}")
    if chosen.key_command:
        value = keys.fetch(chosen, environ, unusable_key)
        return Key(value, chosen, f"the command {chosen.key_command[0]} of your policy")
    value = environ.get(chosen.key_env, "")
    if not value.strip():
        raise GuardError(
            f"no gateway key: {chosen.key_env} is not set",
            where="environment",
            fix=f"export {chosen.key_env}=…  (a Portkey API key: dashboard, API Keys)",
            rule="RG106",
        )
    wrong = unusable_key(value)
    if wrong:
        raise GuardError(
            f"{chosen.key_env} {wrong}",
            where=f"environment variable {chosen.key_env}",
            why="nothing was sent",
            fix=f"set {chosen.key_env} to a Portkey API key (dashboard, API Keys)",
            rule="RG106",
        )
    return Key(value, chosen, f"the environment variable {chosen.key_env}")


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
