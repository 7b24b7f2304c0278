"""`routeguard portkey status`: the key, its providers, its configs, in one page."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from guard.agents.adapter import ENDPOINTS
from guard.agents.registry import adapters, typed_name
from guard.commands.portkey import entry_option, here
from guard.errors import ExitCode, printable
from guard.launch.keys import find_key
from guard.portkey import store
from guard.portkey.account import SCOPES, Account, Reply
from guard.portkey.routing import drawn, predict, sentence, tree
from guard.portkey.session import read_account
from guard.portkey.wishes import usable
from guard.report.document import show_document
from guard.report.terminal import Progress, show
from guard.report.words import ago

if TYPE_CHECKING:
    from guard.launch.keys import Key
    from guard.policy.values import CompiledPolicy
    from guard.portkey.shapes import ConfigRow, ProviderRow


@click.command(
    epilog="""\b
Examples:
  routeguard portkey status
  routeguard portkey status --cached            what was last seen
  routeguard portkey status --json | jq .default_route
  routeguard portkey status --entry portkey-openrouter

What the key may not see is named with the scope it lacks.

Exit status: 0 the key works, 1 the gateway or the key says no, 2 usage, 3 policy, 126 refused."""
)
@entry_option
@click.option("--cached", is_flag=True, help="Show what was last seen; ask nobody.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(entry: str, cached: bool, as_json: bool) -> int:
    """Show the providers, configs and fallbacks of your key.

    Asks the gateway of your policy for models, providers, configs and the key's own settings, as
    far as the key may see them. No model is called, so it costs no tokens.
    """
    policy, environ = here()
    key = find_key(policy, environ, entry)
    if cached:
        account = store.load(policy.base_url, key.value, environ)
        if account is None:
            show("nothing seen with this key yet: routeguard portkey status", err=True)
            return ExitCode.FINDINGS
    else:
        with Progress("asking the gateway") as progress:
            account = read_account(policy, environ, key, refresh=True, progress=progress)
    if as_json:
        show_document(_as_json(account, key, policy))
    else:
        show("\n".join(map(printable, _lines(account, key, policy))))
    unread = (account.providers, account.models, account.configs)
    failed = any(seen.state == "failed" for seen in unread)
    return ExitCode.FINDINGS if failed else ExitCode.OK


def _lines(account: Account, key: Key, policy: CompiledPolicy) -> list[str]:
    lines = [sentence(account), ""]
    lines.append(f"key        {key.shown}, from {key.source}")
    lines.append(f"gateway    {account.base_url}, reachable; seen {ago(account.fetched_at)}")
    lines += _of_key(account)
    lines += ["", *_of_providers(account)]
    lines += ["", *_of_agents(account, policy)]
    lines += ["", *_of_configs(account)]
    lines += ["", *_of_policy(account, policy)]
    lines += [f"note: {note}" for note in account.notes]
    return lines


def _of_key(account: Account) -> list[str]:
    row = account.key.value
    if row is None:
        return [f"scopes     {_without(account.key)}"]
    lines = []
    if row.scopes is not None:
        lines.append(f"scopes     {', '.join(row.scopes) or 'none'}")
    about = [part for part in (row.name, row.type, row.status) if part]
    if row.expires_at:
        about.append(f"expires {row.expires_at}")
    about += _limits(row.usage_limits, row.rate_limits)
    if about:
        lines.append(f"is         {', '.join(about)} (probably: by Portkey's masked form)")
    return lines


def _of_providers(account: Account) -> list[str]:
    rows = account.providers.value
    if rows is None:
        return [f"providers  {_without(account.providers)}"]
    if not rows:
        return ["providers  none in this workspace"]
    source = {
        "models": f"  (slugs from the list of models; more needs {SCOPES['providers']})",
        "virtual-keys": "  (as virtual keys)",
    }.get(account.providers_from, "")
    lines = [f"providers  {len(rows)}{source}"]
    width = max(len(row.slug) for row in rows) + 1
    for row in rows[:200]:
        said = ", ".join(_about_provider(row))
        lines.append(f"  @{row.slug:<{width}} {said}".rstrip())
    if len(rows) > 200:
        lines.append(f"  … and {len(rows) - 200} more (--json shows all)")
    return lines


def _of_agents(account: Account, policy: CompiledPolicy) -> list[str]:
    """Which endpoint each guarded agent calls, and which providers of the key answer there."""
    lines = ["agents     the endpoint that each calls, and the providers that it can use there"]
    for one in _agents(account, policy):
        can_use = one["providers"]
        said = "not known: the vendors are not visible to this key"
        if can_use is not None:
            said = ", ".join(can_use) or f"none here: it takes {' or '.join(one['vendors'])}"
        if one["provider"]:
            said += f"; your policy names {one['provider']}"
        lines.append(f"  {typed_name(one['agent']):<12} {one['endpoint']:<21} {said}")
    return lines


def _agents(account: Account, policy: CompiledPolicy) -> list[dict[str, Any]]:
    rows = account.providers.value
    found = []
    for agent in adapters():
        if agent.id in policy.unguarded:
            continue
        known = rows is not None and (not agent.vendors or any(row.provider for row in rows))
        provider = policy.route_of(agent.id).provider
        found.append(
            {
                "agent": agent.id,
                "endpoint": ENDPOINTS[agent.wire],
                "vendors": list(agent.vendors),
                "providers": usable(agent, rows or ()) if known else None,
                "provider": f"@{provider.removeprefix('@')}" if provider else None,
            }
        )
    return found


def _about_provider(row: ProviderRow) -> list[str]:
    about = [part for part in (row.provider, row.status) if part]
    about += _limits(row.usage_limits, row.rate_limits)
    if row.expires_at:
        about.append(f"expires {row.expires_at}")
    return about


def _limits(usage: dict[str, Any] | None, rates: list[dict[str, Any]] | None) -> list[str]:
    said = []
    if usage and usage.get("credit_limit") is not None:
        reset = f" {usage['periodic_reset']}" if usage.get("periodic_reset") else ""
        said.append(f"limit {usage['credit_limit']} {usage.get('type') or ''}{reset}".rstrip())
    for rate in rates or ():
        if isinstance(rate, dict) and rate.get("value") is not None:
            said.append(f"{rate['value']} {rate.get('unit') or rate.get('type') or ''}".rstrip())
    return [str(part) for part in said]


def _of_configs(account: Account) -> list[str]:
    rows = account.configs.value
    if rows is None:
        return [
            f"configs    {_without(account.configs)}",
            "           (fallback rules are in configs)",
        ]
    if not rows:
        return ["configs    none in this workspace"]
    lines = [f"configs    {len(rows)}"]
    for row in rows:
        lines += [f"  {line}" for line in _config(row, account)]
    return lines


def _config(row: ConfigRow, account: Account) -> list[str]:
    title = row.slug + (f" ({row.name})" if row.name and row.name != row.slug else "")
    if account.default_config.value == row.slug:
        override = account.override_allowed
        title += "  on this key" + (
            ", a call may bring another"
            if override.value
            else ", a call may not bring another"
            if override.known
            else ""
        )
    if row.config is None:
        return [f"{title}: its content is not visible to this key ({SCOPES['config']})"]
    return drawn(tree(row.config, title))


def _of_policy(account: Account, policy: CompiledPolicy) -> list[str]:
    lines = [f"calls under your policy (default model {policy.default_model})"]
    for entry in policy.providers:
        model = entry.models[0] if entry.models else ""
        if policy.default_model.startswith(f"{entry.name}/"):
            model = policy.default_model.partition("/")[2]
        found = predict(account, provider=entry.slug, model=model, config=entry.config)
        lines.append(f"  {entry.name}/{model or '…'}: {found.sentence}")
    if not account.default_config.known and not account.observed:
        lines.append("  to try it for a few tokens: routeguard portkey probe")
    return lines


def _without(seen: Reply[Any]) -> str:
    if seen.state == "hidden":
        return f"not visible to this key: it lacks {seen.scope}"
    return f"request failed: {seen.reason}"


def _as_json(account: Account, key: Key, policy: CompiledPolicy) -> dict[str, Any]:
    def seen(value: Reply[Any], shown: Any = None) -> dict[str, Any]:
        return {
            "state": value.state,
            "value": shown if value.known else None,
            "missing_scope": value.scope,
            "reason": value.reason,
        }

    route = predict(account)
    return {
        "summary": sentence(account),
        "gateway": account.base_url,
        "key": {"shown": key.shown, "source": key.source, "entry": key.entry.name},
        "seen_at": int(account.fetched_at),
        "age_seconds": max(0, int(time.time() - account.fetched_at)),
        "key_settings": seen(
            account.key, account.key.value.model_dump() if account.key.value else None
        ),
        "default_config": seen(account.default_config, account.default_config.value),
        "override_allowed": seen(account.override_allowed, account.override_allowed.value),
        "providers_from": account.providers_from,
        "providers": seen(
            account.providers, [row.model_dump() for row in account.providers.value or ()]
        ),
        "agents": _agents(account, policy),
        "configs": seen(account.configs, [row.model_dump() for row in account.configs.value or ()]),
        "models": seen(account.models, len(account.models.value or ())),
        "default_route": {
            "known": route.known,
            "target": route.target,
            "config": route.config,
            "says": route.sentence,
        },
        "notes": list(account.notes),
    }
