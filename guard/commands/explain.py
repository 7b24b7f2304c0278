"""`routeguard explain -- CMD…`: the plan of a launch, shown and not carried out."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING, Any

import click

from guard.agents.adapter import NO_MODEL
from guard.agents.registry import AGENTS
from guard.errors import ExitCode, printable
from guard.masking import remember_names, without_secrets

if TYPE_CHECKING:
    from guard.agents.adapter import Facts
    from guard.agents.plan import Plan
    from guard.agents.today import Today
    from guard.policy.values import CompiledPolicy

SCHEMA_VERSION = 1


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=f"""\b
Examples:
  routeguard explain -- {AGENTS[0].example}
  routeguard explain --format json -- {AGENTS[0].names[0]} | jq .route

\b
Exit status: 0 it would start, 1 it would be refused, 3 policy, 127 agent not found.""",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Text for people, or JSON with a schema_version.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARG]…")
def explain(format_: str, command: tuple[str, ...]) -> int:
    """Show what a launch would become, without starting it.

    First today's route with each layer's say, then the guarded one: the arguments, what the
    gateway does with the call as far as `routeguard portkey status` saw it, what is removed from
    the environment and why, what is set, what was left out of the agent's config, and what
    forbids the launch. Names only, no values. No key is fetched. An agent that does not say its
    version in its package is asked for it once. Nothing is written but two caches: the compiled
    policy and that version.
    """
    from guard.agents.registry import agent_of
    from guard.launch import process
    from guard.launch.agent import plan_agent
    from guard.launch.execute import command_of, plan_other

    words = command_of(["--", *command])
    environ = process.environment_at_start()
    agent = agent_of(words[0])
    if agent is None:
        plan = plan_other(words, environ)
        policy = process.load_policy(environ)
        return _show(plan, policy, None, None, words, format_)
    plan, policy, facts = plan_agent(agent, words, environ, write=False)
    return _show(plan, policy, facts, agent.today(facts), words, format_)


def _show(
    plan: Plan,
    policy: CompiledPolicy,
    facts: Facts | None,
    today: Today | None,
    words: list[str],
    format_: str,
) -> int:
    remember_names(entry.key_env for entry in policy.providers)
    plan.findings = [without_secrets(finding) for finding in plan.findings]
    if format_ == "json":
        click.echo(json.dumps(_as_json(plan, policy, facts, today, words), indent=2))
    else:
        for line in _as_text(plan, policy, facts, today, words):
            click.echo(printable(line))
    return ExitCode.FINDINGS if plan.forbidden_by else ExitCode.OK


def _as_json(
    plan: Plan,
    policy: CompiledPolicy,
    facts: Facts | None,
    today: Today | None,
    words: list[str],
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
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
        if today and plan.kind not in NO_MODEL
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


def _as_text(
    plan: Plan,
    policy: CompiledPolicy,
    facts: Facts | None,
    today: Today | None,
    words: list[str],
) -> list[str]:
    lines = [f"today    {shlex.join(words)}"]
    if today is not None and plan.kind not in NO_MODEL:
        lines.append(f"  goes to   {today.route}")
        lines += [f"  {s.layer:<17} {_where(s.where)}{s.says}" for s in today.says]
    version = f" {'.'.join(map(str, facts.version))}" if facts and any(facts.version) else ""
    lines += ["", f"guarded  {shlex.join([words[0], *plan.argv])}"]
    lines.append(f"  program   {_short(plan.program)}{version}")
    if plan.route:
        lines.append(f"  goes to   {plan.route} at {policy.base_url}")
        then = _outlook(plan, policy, facts)
        if then is not None:
            seen = f" (seen {then['age']})" if then["age"] else ""
            lines.append(f"  and then  {then['says']}{seen}")
            lines += [f"            {line}" for line in then["tree"]]
    elif plan.kind in NO_MODEL:
        lines.append("  calls no model: started with a clean environment, without the gateway key")
    if policy.proxies_fence != "off" and plan.kind not in NO_MODEL:
        from guard.launch import fence

        lines.append(f"  {fence.describe(policy, plan.environ).replace(': ', '     ', 1)}")
    layers = ", ".join(f"{layer} {_short(path)}" for layer, path in policy.layers)
    lines.append(f"  policy    {layers or 'built in, no file'}")
    for action in ("removed", "set"):
        reasons: dict[str, list[str]] = {}
        for change in plan.changes:
            if change.action == action:
                rule = f" [{change.rule}]" if change.rule else ""
                reasons.setdefault(change.reason + rule, []).append(change.name)
        lines += [f"  {action:<9} {', '.join(names)}: {why}" for why, names in reasons.items()]
    for finding in plan.findings:
        if finding.severity != "error":
            where = f" ({_short(finding.where)})" if finding.where else ""
            lines.append(
                f"  {finding.severity:<9} {finding.subject}: {finding.message}{where}"
                f" [{finding.rule}]"
            )
    forbidden = plan.forbidden_by
    lines.append("")
    if not forbidden:
        lines.append("it would start")
        return lines
    lines.append("it would be refused")
    for finding in forbidden:
        lines.append(f"  {finding.message} [{finding.rule}]")
        if finding.where:
            lines.append(f"    where: {finding.where}")
        if finding.fix:
            lines.append("    fix:   " + finding.fix.replace("\n", "\n           "))
    return [part for line in lines for part in line.split("\n")]


def _where(where: str) -> str:
    return f"{_short(where)} " if where else ""


def _short(path: str) -> str:
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if path.startswith(home + "/") else path
