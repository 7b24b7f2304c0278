"""`routeguard portkey probe`: does it really work?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from guard.agents.registry import AGENTS
from guard.commands import complete
from guard.commands.portkey import entry_option, here
from guard.errors import ExitCode, UsageError, counted, printable
from guard.launch.keys import find_key
from guard.portkey import probe as canaries
from guard.portkey import store
from guard.portkey.answer import GatewayError
from guard.portkey.session import open_client, read_account, remember
from guard.report.document import show_document
from guard.report.terminal import Progress, can_ask, columns, paint, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.launch.keys import Key
    from guard.policy.values import CompiledPolicy
    from guard.portkey.account import Account
    from guard.portkey.probe import Canary, ProbeResult
    from guard.report.terminal import Meaning

_ROOM_FOR_VERDICT = 30
_MEANINGS: dict[str, Meaning] = {"works": "good", "rate-limited": "warning"}


@click.command(
    epilog="""\b
Examples:
  routeguard portkey probe --dry-run                 what would be asked, and what it may cost
  routeguard portkey probe                           three well-known models
  routeguard portkey probe gpt-4o --provider openai-prod --yes
  routeguard portkey probe @openrouter-main/mistralai/mistral-7b --yes

Each request is a completion of a few tokens and costs money: what would be sent is shown first,
and without a terminal nothing is sent without --yes.

Exit status: 0 every model works under some name, 1 one does not, 2 usage, 3 policy, 126 refused."""
)
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=complete.models)
@click.option(
    "--provider",
    "providers",
    multiple=True,
    metavar="SLUG",
    shell_complete=complete.providers,
    help="Also through this provider.",
)
@click.option(
    "--config", "configs", multiple=True, metavar="pc-SLUG", help="Also through this config."
)
@click.option("--dry-run", is_flag=True, help="Only show what would be sent.")
@click.option("--yes", is_flag=True, help="Send without asking.")
@entry_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def probe(
    models: tuple[str, ...],
    providers: tuple[str, ...],
    configs: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    entry: str,
    as_json: bool,
) -> int:
    """Try each MODEL with a few tokens under each of its names.

    Bare, as @slug/model, with a provider header, through a config: who served the call and through
    which target of a config, or what the gateway said instead.
    """
    policy, environ = here()
    key = find_key(policy, environ, entry)
    _check(models, providers, configs)
    account = _account(policy, environ, key)
    plan = canaries.plan(models or canaries.SEEDS, account, providers=providers, configs=configs)
    if dry_run and as_json:
        show_document(_plan_as_json(plan, policy))
    elif not (as_json and yes):
        show("\n".join(printable(line) for line in _announced(plan, policy)), err=not dry_run)
    if dry_run:
        return ExitCode.OK
    if not yes:
        if not can_ask():
            raise UsageError(
                "nothing was sent: it costs tokens, and there is no terminal to ask on",
                fix="--yes sends, --dry-run shows what would be sent",
            )
        click.confirm("Send them?", abort=True, err=True)
    done: list[ProbeResult] = []
    with (
        Progress(f"0 of {len(plan)}") as progress,
        open_client(policy, environ, key, progress=progress) as client,
    ):

        def told(result: ProbeResult) -> None:
            done.append(result)
            progress(f"{len(done)} of {len(plan)}")

        results = canaries.send(client, plan, told=told)
    if account is not None:
        remember(results, account, key, environ)
    working = canaries.works(results)
    if as_json:
        show_document(_as_json(results, working, policy))
    else:
        show("\n".join(_lines(results, working, policy)))
    return ExitCode.OK if all(working.values()) else ExitCode.FINDINGS


def _check(models: tuple[str, ...], providers: tuple[str, ...], configs: tuple[str, ...]) -> None:
    """What goes into a header or a body is one line of plain characters. Raises UsageError."""
    for word in (*models, *providers, *configs):
        if not word.strip() or not word.isprintable() or not word.isascii() or len(word) > 200:
            raise UsageError(f"not the name of a model, provider or config: {printable(word)!r}")
    for model in models:
        if model.startswith("-"):
            raise UsageError(f"not the name of a model: {model!r}")


def _account(policy: CompiledPolicy, environ: Mapping[str, str], key: Key) -> Account | None:
    """What is known of the account; a gateway without one (the open-source one) has none."""
    try:
        with Progress("asking the gateway") as progress:
            return read_account(policy, environ, key, refresh=False, progress=progress)
    except GatewayError as error:
        if error.kind not in ("not-found", "not-portkey", "open-source-gateway"):
            raise
    return store.load(policy.base_url, key.value, environ)


def _announced(plan: list[Canary], policy: CompiledPolicy) -> list[str]:
    count = len(plan)
    lines = [
        f"{counted(count, 'request')} to {policy.base_url}, "
        f"up to {canaries.MAX_TOKENS} tokens each ({count * canaries.MAX_TOKENS} in all);",
        f"{canaries.MORE_TOKENS} for models with a higher minimum:",
    ]
    return lines + [f"  {canary.form}" for canary in plan]


def _lines(
    results: list[ProbeResult],
    working: dict[str, list[ProbeResult]],
    policy: CompiledPolicy,
) -> list[str]:
    lines = []
    width = max(len(result.canary.form) for result in results) if results else 0
    terminal = columns()
    # on a narrow terminal the verdict goes below the form
    narrow = bool(terminal) and width + _ROOM_FOR_VERDICT > terminal
    for asked, worked in working.items():
        lines.append(printable(asked))
        for result in results:
            if result.canary.asked != asked:
                continue
            verdict = canaries.WORDS[result.verdict]
            form, about = printable(result.canary.form), printable(_about(result))
            said = paint(verdict, _MEANINGS.get(result.verdict, "bad")) + about
            if narrow:
                lines += [f"  {form}", f"      {said}"]
            else:
                lines.append(f"  {form:<{width}}  {said}")
        best = _best(worked, policy)
        lines.append(f"  {AGENTS[0].title}: {f'-m {printable(best)}' if best else 'no name works'}")
    return lines


def _about(result: ProbeResult) -> str:
    parts = []
    if result.served:
        parts.append(f"served by {result.served}")
    if result.through not in ("", "config"):
        parts.append(f"through {result.through}")
    if result.verdict == "works":
        parts.append(f"{result.seconds:.1f} s")
    elif result.says:
        parts.append(result.says)
    return f"  ({', '.join(parts)})" if parts else ""


def _best(worked: list[ProbeResult], policy: CompiledPolicy) -> str:
    """What `-m` of the agent takes for the first form that works, "" if none can be named there."""
    order = {"slug": 0, "header": 1, "bare": 2, "config": 3, "raw": 4}
    for result in sorted(worked, key=lambda r: order[r.canary.kind]):
        model, headers = result.canary.model, dict(result.canary.headers)
        slug = headers.get("x-portkey-provider", "").removeprefix("@")
        for entry in policy.providers:
            if result.canary.kind in ("slug", "bare") and not entry.slug and not entry.config:
                return f"{entry.name}/{model}"
            if result.canary.kind == "header" and entry.slug == slug:
                return f"{entry.name}/{model}"
            if result.canary.kind == "config" and entry.config == headers["x-portkey-config"]:
                return f"{entry.name}/{model}"
    return ""


def _plan_as_json(plan: list[Canary], policy: CompiledPolicy) -> dict[str, Any]:
    return {
        "gateway": policy.base_url,
        "max_tokens": canaries.MAX_TOKENS,
        "requests": [
            {
                "asked": canary.asked,
                "kind": canary.kind,
                "model": canary.model,
                "headers": dict(canary.headers),
            }
            for canary in plan
        ],
    }


def _as_json(
    results: list[ProbeResult], working: dict[str, list[ProbeResult]], policy: CompiledPolicy
) -> dict[str, Any]:
    return {
        "gateway": policy.base_url,
        "models": {
            asked: {"works": bool(worked), AGENTS[0].id: _best(worked, policy)}
            for asked, worked in working.items()
        },
        "requests": [
            {
                "asked": result.canary.asked,
                "kind": result.canary.kind,
                "model": result.canary.model,
                "headers": dict(result.canary.headers),
                "verdict": result.verdict,
                "status": result.status,
                "served_by": result.served,
                "through": result.through,
                "says": result.says,
                "seconds": round(result.seconds, 3),
            }
            for result in results
        ],
    }
