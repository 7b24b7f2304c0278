"""Plans one launch of Claude Code: reads its files, judges, pins. Hot-path module."""

from __future__ import annotations

from guard import paths
from guard.agents.behind import Route, choose, headers
from guard.agents.binary import NO_VERSION, version
from guard.agents.claude_code import grammar, own, settings
from guard.agents.claude_code.adapter import AGENT
from guard.agents.claude_code.facts import (
    MERGE,
    Facts,
    given_settings,
    managed_files,
    managed_servers,
)
from guard.agents.claude_code.variables import SETS, SWITCHES, TOKEN, base_url
from guard.agents.command_line import judge_command, judge_options
from guard.agents.keys import take_key
from guard.agents.kinds import GUARDED, NO_MODEL
from guard.agents.managed import meet
from guard.agents.plan import LONGEST, asked_directly, is_too_long, shims_first
from guard.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy

KEY = "ROUTEGUARD_GATEWAY_KEY"
"""Where the key of a command waits until the header is made; the agent does not get it."""

_NO_SERVERS = "--strict-mcp-config"
_STRICT = ("--setting-sources=user", _NO_SERVERS)
"""What holds a project's code without our restrictions: only the user's settings, no MCP server."""


def survey(
    typed: list[str],
    environ: Mapping[str, str],
    program: str,
    cwd: str,
    *,
    write: bool = False,
    root: str = "",
) -> Facts:
    """Gather what a plan needs; `root` stands before the paths of an administrator's files.

    It writes nothing, whatever `write` says.
    """
    invocation = grammar.read(typed)
    calls = invocation.kind == GUARDED
    given, wrong = given_settings(invocation.values("--settings"), cwd)
    managed = managed_files(root) if calls else []
    return Facts(
        invocation=invocation,
        environ=dict(environ),
        # what calls no model is not judged by it, and it takes longer to read than all else
        version=NO_VERSION
        if invocation.kind in NO_MODEL
        else version(program, environ, AGENT, ask=calls),
        managed=managed,
        met=meet([one.path for one in managed], root),
        managed_servers=managed_servers(root) if calls else "",
        shims=paths.installed_shims(environ),
        given=given,
        given_wrong=wrong,
        working_directory=cwd,
        own=own.read(environ, cwd) if calls else own.Own(),
    )


def open_project(result: Plan, policy: CompiledPolicy, facts: Facts, now: float) -> None:
    """Keep a command that opens the project from other hosts than the gateway, and let an agent
    that one of its servers starts meet the guard."""
    result.set({**SWITCHES, **shims_first(result, facts.shims)}, SETS)


def judge_arguments(
    invocation: grammar.Invocation, policy: CompiledPolicy, now: float
) -> list[Finding]:
    """What a launch refuses of a command line."""
    refused = judge_command(invocation, AGENT, "claude, or claude -p PROMPT")
    if refused:
        return refused
    where = "command line"
    if invocation.two_readings:
        word = invocation.words[0]
        message = f"{word} can be a subcommand or a prompt here"
        fix = "put the subcommand first, or -p first and the prompt in quotes behind it"
        return [Finding("RG205", word, message, where=where, fix=fix)]
    findings = []
    for name in invocation.unknown:
        message = f"routeguard does not know the option {name} of Claude Code {AGENT.tested}"
        findings.append(Finding("RG205", name, message, where=where, fix="leave it out"))
    findings += judge_options(invocation, grammar.REFUSED)
    return findings + judge_options(invocation, grammar.CLOSED)[:1]


def judge_files(result: Plan, policy: CompiledPolicy, facts: Facts, now: float) -> None:
    """Add what there is to say about an administrator's files."""
    result.findings += facts.met.findings


def pin(result: Plan, policy: CompiledPolicy, facts: Facts) -> None:
    """Set the route in the environment, and the restrictions in front of the arguments."""
    typed = [option.value for option in facts.invocation.named("--model")]
    route = choose(result, policy, AGENT, typed)
    if route is None:
        return
    if facts.given_wrong:
        result.report(
            "RG303",
            "--settings",
            f"--settings: {facts.given_wrong}",
            fix="give a file that holds a JSON object, or leave the option out",
        )
    if take_key(result, route.entry, facts.environ, KEY):
        _set_route(result, policy, facts, route)
        _set_arguments(result, policy, facts, route)


def _set_route(result: Plan, policy: CompiledPolicy, facts: Facts, route: Route) -> None:
    key = "" if route.entry.key_command else facts.environ[route.entry.key_env]
    lines = {"x-portkey-api-key": key, **headers(route)}
    sets = {
        **SWITCHES,
        "ANTHROPIC_BASE_URL": base_url(policy),
        "ANTHROPIC_AUTH_TOKEN": TOKEN,
        "ANTHROPIC_CUSTOM_HEADERS": "\n".join(f"{name}: {text}" for name, text in lines.items()),
    }
    if route.model and not route.typed:
        sets["ANTHROPIC_MODEL"] = route.model
    if route.small:
        sets["ANTHROPIC_DEFAULT_HAIKU_MODEL"] = route.small
    sets |= shims_first(result, facts.shims)
    sets |= asked_directly(policy, facts.environ)
    result.set(sets, SETS)


def prepare(result: Plan, policy: CompiledPolicy, facts: Facts) -> None:
    """Make what the arguments of `result` refer to; put the key of a command into its header.

    Raises GuardError where there is no place for a file of ours.
    """
    key = result.environ.pop(KEY, "")
    if key:
        text = result.environ["ANTHROPIC_CUSTOM_HEADERS"]
        result.environ["ANTHROPIC_CUSTOM_HEADERS"] = text.replace(": ", f": {key}", 1)
    own.prepare(facts.own, _handed_over(policy, facts), result.argv)


def _handed_over(policy: CompiledPolicy, facts: Facts) -> own.Chosen:
    """The user's servers and hooks that this launch takes.

    Beside an administrator's settings no hooks: these could undo what keeps a project's out.
    Beside an administrator's servers none of the user's: Claude Code takes no other then, and with
    `disableSideloadFlags` it does not start with `--mcp-config`.
    """
    chosen = own.choose(facts.own, policy.route_of(AGENT.id), facts.invocation)
    if facts.managed and chosen.hooks:
        chosen.hooks, chosen.hooks_closed_by = {}, facts.managed[0].path
    closed = [f.path for f in facts.managed if f.unreadable or f.content.get(settings.FOR_OWN)]
    closed += [facts.managed_servers] * bool(facts.managed_servers)
    if closed and chosen.servers:
        chosen.servers, chosen.servers_closed_by = {}, closed[0]
    return chosen


def _set_arguments(result: Plan, policy: CompiledPolicy, facts: Facts, route: Route) -> None:
    invocation = facts.invocation
    argv = list(invocation.argv)
    for option in reversed(invocation.options):
        if option.name == "--settings":
            del argv[option.start : option.end]
        elif option.name == "--model" and result.rewritten:
            argv[option.start : option.end] = [f"--model={route.model}"]
    wanted = policy.route_of(AGENT.id)
    chosen = _handed_over(policy, facts)
    result.findings += own.findings(facts.own, wanted, chosen)
    plugin = own.PLUGIN if chosen.hooks else ""
    # in front: a `--` of the user's would end the options
    ours = [
        f"--settings={settings.settings(facts.given, result.environ, plugin)}",
        f"--managed-settings={settings.restrictions(chosen.allowed(), plugin, wanted.models)}",
    ]
    helpers = [key for key in settings.HELPERS if key in facts.given]
    if helpers:
        result.report(
            "RG302",
            helpers[0],
            f"{', '.join(helpers)} of --settings is left out: {settings.NO_HELPER}",
            fix=settings.without_helper(helpers[0]),
            severity="warning",
        )
    if is_too_long(ours):
        result.report(
            "RG303",
            "--settings",
            "--settings, or the commands of your MCP servers, hold more than fits into an "
            "argument, and a guarded launch passes them as one",
            fix=f"put less than {LONGEST // 1024} KiB into these settings",
        )
    if chosen.hooks:
        ours.insert(0, f"--plugin-dir={facts.own.directory}")
    if chosen.servers:
        # takes every word up to the next option
        ours[:0] = [own.SERVERS, _NO_SERVERS]
    loose = [f for f in facts.managed if f.unreadable or f.content.get(MERGE) != "merge"]
    if loose:
        # Claude Code does not start with both an administrator's servers and this option
        ours += [word for word in _STRICT if not (facts.managed_servers and word == _NO_SERVERS)]
        _judge_loose(result, invocation, loose[0].path)
    result.argv = [*ours, *argv]


def _judge_loose(result: Plan, invocation: grammar.Invocation, path: str) -> None:
    """Say what a launch does beside an administrator's settings at `path` that replace ours."""
    if any(value not in ("", "user") for value in invocation.values("--setting-sources")):
        result.report(
            "RG302",
            "--setting-sources",
            "--setting-sources would take a project's settings without routeguard's restrictions",
            fix="leave it out",
        )
    result.report(
        "RG302",
        path,
        "an administrator's settings replace routeguard's restrictions; this launch takes "
        "no settings, instructions or MCP servers of the project",
        where=path,
        fix=f'an administrator can add "{MERGE}": "merge" there',
        severity="warning",
    )
