"""`routeguard explain -- CMD…`: the plan of a launch, shown and not carried out."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import click

from guard.agents.kinds import LEFT_OUT, NO_MODEL
from guard.agents.plan import Plan
from guard.agents.registry import AGENTS
from guard.errors import ExitCode, printable
from guard.masking import remember_names, without_secrets
from guard.report.document import show_document
from guard.report.table import fields
from guard.report.terminal import paint, show
from guard.report.words import short

if TYPE_CHECKING:
    from guard.agents.adapter import Facts
    from guard.agents.today import Today
    from guard.policy.values import CompiledPolicy

_LONG = 120
"""Characters from which on a JSON object among the arguments is shown below them."""

_WRAPPER = (
    "this program may start the agent rather than be it: a launch first runs it with --version, "
    "and refuses it if it changes the environment or the directory on the way [RG207]"
)


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=f"""\b
Examples:
  routeguard explain -- {AGENTS[0].example}
  routeguard explain --json -- {AGENTS[0].names[0]} | jq .route

Exit status: 0 it would start, 1 it would be refused, 2 usage, 3 policy, 127 agent not found.""",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), hidden=True)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARG]…")
def explain(as_json: bool, format_: str | None, command: tuple[str, ...]) -> int:
    """Show what a launch would become without starting it.

    First today's route with what each layer says, then the guarded one: the arguments, what the
    gateway does with the call as far as `routeguard portkey status` saw it, what is removed from
    the environment and why, what is set, what was left out of the agent's config, and what
    forbids the launch. Names only, no values. No key is fetched. An agent that does not say its
    version in its package is asked for it once. Nothing is written but two caches: the compiled
    policy and that version.
    """
    from guard.agents.binary import starts_another
    from guard.launch import process
    from guard.launch.agent import plan_agent
    from guard.launch.execute import agent_or_plan, command_of

    words = command_of(["--", *command])
    environ = process.environment_at_start()
    started = agent_or_plan(words, environ)
    facts, today, wrapper = None, None, False
    if isinstance(started, Plan):
        plan, policy = started, process.load_policy(environ)
    else:
        plan, policy, facts = plan_agent(started, words, environ, write=False)
        if facts is not None and plan.kind not in NO_MODEL:
            today = facts.adapter(started).today(facts)
        if facts is not None and plan.guarded:
            wrapper = starts_another(plan.program, facts.adapter(started))
    remember_names(policy.gateway_keys)
    plan.findings = [without_secrets(finding) for finding in plan.findings]
    if as_json or format_ == "json":
        show_document(_as_dict(plan, policy, facts, today, words) | {"wrapper": wrapper})
    else:
        show(_text(plan, policy, facts, today, words, wrapper=wrapper))
    return ExitCode.FINDINGS if plan.forbidden_by else ExitCode.OK


def _as_dict(
    plan: Plan,
    policy: CompiledPolicy,
    facts: Facts | None,
    today: Today | None,
    words: list[str],
) -> dict[str, Any]:
    return {
        "command": words,
        "agent": plan.agent,
        "program": plan.program,
        "version": ".".join(map(str, facts.version)) if facts else "",
        "kind": plan.kind,
        "starts": not plan.forbidden_by,
        "today": {
            "route": today.route,
            "layers": [{"layer": s.layer, "where": s.where, "says": s.says} for s in today.says],
        }
        if today
        else None,
        "gateway": policy.base_url,
        "route": plan.route,
        "portkey": _outlook(plan, policy, facts),
        "argv": plan.argv,
        "rewritten": plan.rewritten,
        "policy": [{"layer": layer, "path": path} for layer, path in policy.layers],
        "changes": [change.as_dict() for change in plan.changes],
        "findings": [finding.as_dict() for finding in plan.findings],
    }


def _outlook(plan: Plan, policy: CompiledPolicy, facts: Facts | None) -> dict[str, Any] | None:
    """What the gateway does with the call, as far as was seen; None where none is made."""
    if not plan.route or facts is None:
        return None
    from guard.portkey.outlook import outlook

    return outlook(plan.route, policy, facts.environ)


def _text(
    plan: Plan,
    policy: CompiledPolicy,
    facts: Facts | None,
    today: Today | None,
    words: list[str],
    *,
    wrapper: bool,
) -> str:
    parts = [_part("today", words, _today(today) if today else [])]
    argv, documents = _without_documents(plan.argv)
    parts.append(
        _part("guarded", [words[0], *argv], _guarded(plan, policy, facts, wrapper=wrapper))
    )
    parts += [fields(documents, indent=2)] * bool(documents)
    if not plan.forbidden_by:
        unless = ", unless its wrapper changes something" if wrapper else ""
        return "\n\n".join([*parts, paint(f"it would start{unless}", "good")])
    lines = [paint("it would be refused", "bad")]
    for finding in plan.forbidden_by:
        lines.append(f"  {printable(finding.message)} [{finding.rule}]")
        below = [("where:", short(finding.where)), ("fix:", finding.fix)]
        lines.append(fields(below, indent=4))
    return "\n\n".join([*parts, "\n".join(filter(None, lines))])


def _without_documents(argv: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """`argv` with `{…}` for each long JSON object in it, and what those hold, a key a line."""
    words, rows = [], []
    for word in argv:
        start = word.find("{")
        try:
            held = json.loads(word[start:]) if start >= 0 and len(word) > _LONG else None
        except ValueError:
            held = None
        if not isinstance(held, dict):
            words.append(word)
            continue
        words.append(word[:start] + "{…}")
        lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in held.items()]
        rows.append((word[:start].rstrip("=") or "{…}", "\n".join(lines)))
    return words, rows


def _part(title: str, command: list[str], rows: list[tuple[str, str]]) -> str:
    head = f"{title:<8} {paint(printable(shlex.join(command)), 'strong')}"
    return "\n".join(filter(None, (head, fields(rows, indent=2))))


def _today(today: Today) -> list[tuple[str, str]]:
    says = [(s.layer, f"{short(s.where)} {s.says}".lstrip()) for s in today.says]
    return [("goes to", today.route), *says]


def _guarded(
    plan: Plan, policy: CompiledPolicy, facts: Facts | None, *, wrapper: bool
) -> list[tuple[str, str]]:
    version = ".".join(map(str, facts.version)) if facts and any(facts.version) else ""
    rows = [("program", f"{short(plan.program)} {version}".rstrip())]
    if wrapper:
        rows.append(("wrapper", _WRAPPER))
    calls = plan.kind not in NO_MODEL
    if plan.kind == LEFT_OUT:
        rows.append(("left out", "by [agents] guard of your policy: it starts as it is"))
    if plan.route:
        rows.append(("goes to", f"{plan.route} at {policy.base_url}"))
        then = _outlook(plan, policy, facts)
        if then is not None:
            seen = f" (seen {then['age']})" if then["age"] else ""
            rows.append(("and then", "\n".join([f"{then['says']}{seen}", *then["tree"]])))
    elif not calls:
        rows.append(("model", "none: it gets a clean environment and no gateway key"))
    if policy.proxies_fence != "off" and calls:
        from guard.launch import fence

        rows.append(("fence", fence.describe(policy, plan.environ).removeprefix("fence: ")))
    layers = ", ".join(f"{layer} {short(path)}" for layer, path in policy.layers)
    rows.append(("policy", layers or "built in, no file"))
    for action in ("removed", "set"):
        reasons: dict[str, list[str]] = {}
        for change in plan.changes:
            if change.action == action:
                rule = f" [{change.rule}]" if change.rule else ""
                reasons.setdefault(change.reason + rule, []).append(change.name)
        rows += [(action, f"{', '.join(names)}: {why}") for why, names in reasons.items()]
    for finding in plan.findings:
        if finding.severity != "error":
            where = f" ({short(finding.where)})" if finding.where else ""
            text = f"{finding.subject}: {finding.message}{where} [{finding.rule}]"
            rows.append((finding.severity, text))
    return rows
