"""`routeguard portkey models`: what can be named, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from guard import errors
from guard.agents.registry import AGENTS
from guard.commands import complete
from guard.commands.portkey import entry_option, here
from guard.errors import ExitCode, GuardError, UsageError, printable
from guard.launch.keys import find_key
from guard.portkey.session import read_account
from guard.report.document import show_document
from guard.report.terminal import Progress, show
from guard.report.words import ago

if TYPE_CHECKING:
    from guard.policy.values import CompiledPolicy
    from guard.portkey.shapes import ModelRow


@click.command(
    epilog=f"""\b
Examples:
  routeguard portkey models                       all of them
  routeguard portkey models gpt mini              those with both words
  routeguard portkey models --provider openrouter-main
  routeguard portkey models --refresh --json | jq -r .models[].{AGENTS[0].id}

A listed model may still fail: routeguard portkey probe MODEL tries it.

Exit status: 0 found, 1 none found or the gateway says no, 2 usage, 3 policy, 126 refused."""
)
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option(
    "--provider",
    default="",
    metavar="SLUG",
    shell_complete=complete.providers,
    help="Only models of this provider.",
)
@click.option("--refresh", is_flag=True, help="Ask the gateway again.")
@entry_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(words: tuple[str, ...], provider: str, refresh: bool, entry: str, as_json: bool) -> int:
    """List the models your key reaches by the name to type.

    WORDs are searched for in the names, in any letter case. The list is kept for a day.
    """
    policy, environ = here()
    key = find_key(policy, environ, entry)
    with Progress("asking the gateway") as progress:
        account = read_account(policy, environ, key, refresh=refresh, progress=progress)
    if account.models.value is None:
        lacks = account.models.scope
        raise GuardError(
            "the models are not visible to this key"
            if lacks
            else f"GET /models failed: {account.models.reason}",
            where=account.base_url,
            why=f"it lacks {lacks}" if lacks else "",
            fix=f"ask for a key with {lacks}" if lacks else "try again: --refresh",
            exit_code=ExitCode.FINDINGS,
        )
    listed = account.models.value
    wanted = provider.removeprefix("@")
    if wanted and not any(row.provider == wanted for row in listed):
        there = sorted({row.provider for row in listed if row.provider})
        raise UsageError(
            f"no models of provider {wanted!r}",
            why=errors.listed("there are", [f"@{slug}" for slug in there]),
        )
    found = [
        row
        for row in listed
        if (not wanted or row.provider == wanted)
        and all(word.lower() in row.id.lower() for word in words)
    ]
    if as_json:
        show_document(
            {
                "gateway": account.base_url,
                "seen_at": int(account.fetched_at),
                "total": len(listed),
                "models": [_as_json(row, policy) for row in found],
            }
        )
    else:
        for row in found:
            show(printable(name_for_agent(row, policy)))
        seen = f"{len(found)} of {len(listed)} models of {account.base_url}"
        seen += f", seen {ago(account.fetched_at)}"
        show(seen + ("" if refresh else " (--refresh asks again)"), err=True)
    return ExitCode.OK if found else ExitCode.FINDINGS


def name_for_agent(row: ModelRow, policy: CompiledPolicy) -> str:
    """What `-m` of the agent takes for this model under `policy`.

    `ENTRY/model` where an entry of the policy stands for its provider, else the model's own
    `@slug/model` through an entry that leaves the provider open.
    """
    for entry in policy.providers:
        if entry.slug and entry.slug == row.provider:
            return f"{entry.name}/{row.id.partition('/')[2]}"
    for entry in policy.providers:
        if not entry.slug and not entry.config:
            return f"{entry.name}/{row.id}"
    return f"{policy.providers[0].name}/{row.id}"


def _as_json(row: ModelRow, policy: CompiledPolicy) -> dict[str, Any]:
    return {
        "id": row.id,
        "provider": row.provider,
        "model": row.slug or row.id.partition("/")[2],
        AGENTS[0].id: name_for_agent(row, policy),
    }
