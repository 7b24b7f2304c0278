"""Plans one launch of Claude Code: reads its files, decides. Hot-path module."""

from __future__ import annotations

import os

from guard import net, paths
from guard.agents import adapter, environment
from guard.agents.behind import Route, headers, resolve
from guard.agents.binary import NO_VERSION, judge_version, version
from guard.agents.claude_code import ClaudeCode, grammar, own, settings
from guard.agents.claude_code.facts import (
    MERGE,
    Facts,
    about_managed,
    given_settings,
    managed_files,
    managed_servers,
)
from guard.agents.claude_code.variables import PREFIXES, SETS, SWITCHES, TOKEN, base_url
from guard.agents.keys import take_key, without_gateway_keys
from guard.agents.plan import Plan, begin
from guard.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.policy.values import CompiledPolicy

TESTED = "2.1.332"
"""The release on which every measure was tried."""

KEY = "ROUTEGUARD_GATEWAY_KEY"
"""Where the key of a command waits until the header is made; the agent does not get it."""

_LONGEST = 128 * 1024
"""What Linux takes as one argument, in bytes, its end included; macOS takes more."""

_NO_SERVERS = "--strict-mcp-config"
_STRICT = ("--setting-sources=user", _NO_SERVERS)
"""What holds a project's code without our restrictions: only the user's settings, no MCP server."""


def survey(
    typed: list[str], environ: Mapping[str, str], program: str, cwd: str, *, root: str = ""
) -> Facts:
    """Gather what `plan` needs; `root` stands before the paths of an administrator's files."""
    invocation = grammar.read(typed)
    calls = invocation.kind == adapter.GUARDED
    given, wrong = given_settings(
        [value for option in invocation.named("--settings") for value in option.values], cwd
    )
    managed = managed_files(root) if calls else []
    return Facts(
        invocation=invocation,
        environ=dict(environ),
        # what calls no model is not judged by it, and it takes longer to read than all else
        version=NO_VERSION
        if invocation.kind in adapter.NO_MODEL
        else version(program, environ, ClaudeCode(), ask=calls),
        managed=managed,
        about_managed=about_managed(managed, root),
        managed_servers=managed_servers(root) if calls else "",
        shims=paths.installed_shims(environ),
        given=given,
        given_wrong=wrong,
        working_directory=cwd,
        own=own.read(environ, cwd) if calls else own.Own(),
    )


def plan(policy: CompiledPolicy, facts: Facts, program: str, now: float) -> Plan:
    """Decide what the launch becomes. Pure."""
    invocation = facts.invocation
    result = begin(
        ClaudeCode.id, invocation.kind, program, invocation.argv, facts.environ, policy, now,
        keeps=ClaudeCode.keeps, prefixes=PREFIXES,
    )  # fmt: skip
    if result.kind != adapter.GUARDED:
        without_gateway_keys(result, policy)
    if result.kind == adapter.HARMLESS:
        result.findings = []
        return result
    if result.kind == adapter.LOCAL:
        _set(result, dict(SWITCHES))
        return result
    result.findings += judge_version(facts.version, TESTED, program, ClaudeCode())
    result.findings += judge_arguments(invocation)
    result.findings += environment.proxies(facts.environ, policy, now)
    if result.kind != adapter.GUARDED:
        return result
    result.guarded = True
    result.findings += facts.about_managed
    _pin(policy, facts, result)
    return result


def judge_arguments(invocation: grammar.Invocation) -> list[Finding]:
    """What a launch refuses of the words that were typed; `check` says the same of files."""
    where = "command line"
    command = invocation.command
    if command.why:
        rule = "RG203" if command.kind == adapter.SERVER else "RG202"
        message = f"`claude {command.name}` {command.why}"
        return [
            Finding(rule, command.name, message, where=where, fix="claude, or claude -p PROMPT")
        ]
    if invocation.two_readings:
        word = invocation.argv[invocation.operands[0]]
        return [
            Finding(
                "RG205",
                word,
                f"{word} can be a subcommand or a prompt here",
                where=where,
                fix="put the subcommand first, or -p first and the prompt in quotes behind it",
            )
        ]
    findings = [
        Finding(
            "RG205",
            name,
            f"routeguard does not know the option {name} of Claude Code {TESTED}",
            where=where,
            fix="leave it out",
        )
        for name in invocation.unknown
    ]
    for option in invocation.options:
        if option.name in grammar.REFUSED:
            rule, why = grammar.REFUSED[option.name]
            findings.append(
                Finding(rule, option.name, f"{option.name} {why}", where=where, fix="leave it out")
            )
    if invocation.named("--mcp-config"):
        findings.append(
            Finding(
                "RG301",
                "--mcp-config",
                "--mcp-config starts MCP servers, which a guarded launch does not",
                where=where,
                fix="leave it out",
            )
        )
    return findings


def _pin(policy: CompiledPolicy, facts: Facts, result: Plan) -> None:
    invocation = facts.invocation
    models = invocation.named("--model")
    if len(models) > 1:
        result.findings.append(
            Finding(
                "RG205",
                "--model",
                f"the model is named {len(models)} times",
                where="command line",
                fix="name one model",
            )
        )
        return
    typed = models[0].values[0] if models and models[0].values else None
    route = resolve(policy, ClaudeCode(), typed)
    if isinstance(route, Finding):
        result.findings.append(route)
        return
    allowed = policy.route_of(ClaudeCode.id).models
    if allowed and route.typed and route.model not in allowed:
        result.findings.append(
            Finding(
                "RG201",
                route.model,
                f"the policy does not let {ClaudeCode.title} ask for the model {route.model}",
                where="command line",
                fix=f"name one of: {', '.join(allowed)}",
            )
        )
        return
    result.route = str(route)
    if facts.given_wrong:
        result.findings.append(
            Finding(
                "RG303",
                "--settings",
                f"--settings: {facts.given_wrong}",
                where="command line",
                fix="give a file that holds a JSON object, or leave the option out",
            )
        )
    if not take_key(result, route.entry, facts.environ, KEY):
        return
    _set_route(policy, facts, result, route)
    _set_arguments(policy, facts, result, route, typed)


def _headers(route: Route, key: str) -> str:
    """ANTHROPIC_CUSTOM_HEADERS: the gateway's key, and who is behind the gateway."""
    lines = {"x-portkey-api-key": key, **headers(route)}
    return "\n".join(f"{name}: {value}" for name, value in lines.items())


def _set_route(policy: CompiledPolicy, facts: Facts, result: Plan, route: Route) -> None:
    sets = dict(SWITCHES)
    sets["ANTHROPIC_BASE_URL"] = base_url(policy)
    sets["ANTHROPIC_AUTH_TOKEN"] = TOKEN
    key = "" if route.entry.key_command else facts.environ[route.entry.key_env]
    sets["ANTHROPIC_CUSTOM_HEADERS"] = _headers(route, key)
    if route.model and not route.typed:
        sets["ANTHROPIC_MODEL"] = route.model
    if route.small:
        sets["ANTHROPIC_DEFAULT_HAIKU_MODEL"] = route.small
    if facts.shims:
        search = result.environ.get("PATH", os.defpath)
        sets["PATH"] = paths.behind_shims(search, facts.shims)
    if policy.base_url.startswith("http://") and not policy.gateway_proxy:
        sets.update(net.without_proxy(facts.environ, net.host_of(policy.base_url)))
    _set(result, sets)


def _set(result: Plan, sets: dict[str, str]) -> None:
    result.environ.update(sets)
    result.changes += [environment.Change("set", name, "", SETS[name]) for name in sets]


def prepare(plan: Plan, policy: CompiledPolicy, facts: Facts) -> None:
    """Make what the arguments of `plan` refer to; put the key of a command into its header.

    Raises GuardError where there is no place for a file of ours.
    """
    key = plan.environ.pop(KEY, "")
    if key:
        text = plan.environ["ANTHROPIC_CUSTOM_HEADERS"]
        plan.environ["ANTHROPIC_CUSTOM_HEADERS"] = text.replace(": ", f": {key}", 1)
    own.prepare(facts.own, _handed_over(policy, facts), plan.argv)


def _handed_over(policy: CompiledPolicy, facts: Facts) -> own.Chosen:
    """The user's servers and hooks that this launch takes.

    Beside an administrator's settings no hooks: these could undo what keeps a project's out.
    Beside an administrator's servers none of the user's: Claude Code takes no other then, and with
    `disableSideloadFlags` it does not start with `--mcp-config`.
    """
    chosen = own.choose(facts.own, policy.route_of(ClaudeCode.id), facts.invocation)
    if facts.managed and chosen.hooks:
        chosen.hooks, chosen.hooks_closed_by = {}, facts.managed[0].path
    closed = [f.path for f in facts.managed if f.unreadable or f.content.get(settings.FOR_OWN)]
    closed += [facts.managed_servers] * bool(facts.managed_servers)
    if closed and chosen.servers:
        chosen.servers, chosen.servers_closed_by = {}, closed[0]
    return chosen


def _set_arguments(
    policy: CompiledPolicy, facts: Facts, result: Plan, route: Route, typed: str | None
) -> None:
    invocation = facts.invocation
    argv = list(invocation.argv)
    for option in reversed(invocation.options):
        if option.name == "--settings":
            del argv[option.start : option.end]
        elif option.name == "--model" and route.model != typed:
            argv[option.start : option.end] = [f"--model={route.model}"]
    chosen = _handed_over(policy, facts)
    result.findings += own.findings(facts.own, policy.route_of(ClaudeCode.id), chosen)
    plugin = own.PLUGIN if chosen.hooks else ""
    models = policy.route_of(ClaudeCode.id).models
    # in front: a `--` of the user's would end the options
    ours = [
        f"--settings={settings.settings(facts.given, result.environ, plugin)}",
        f"--managed-settings={settings.restrictions(chosen.allowed(), plugin, models)}",
    ]
    helpers = [key for key in settings.HELPERS if key in facts.given]
    if helpers:
        result.findings.append(
            Finding(
                "RG302",
                helpers[0],
                f"{', '.join(helpers)} of --settings is left out: {settings.NO_HELPER}",
                where="command line",
                fix=settings.without_helper(helpers[0]),
                severity="warning",
            )
        )
    if any(len(word.encode()) >= _LONGEST for word in ours):
        result.findings.append(
            Finding(
                "RG303",
                "--settings",
                "--settings, or the commands of your MCP servers, hold more than fits into an "
                "argument, and a guarded launch passes them as one",
                where="command line",
                fix=f"put less than {_LONGEST // 1024} KiB into these settings",
            )
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
        result.findings += _other_sources(invocation)
        result.findings.append(
            Finding(
                "RG302",
                loose[0].path,
                "an administrator's settings replace routeguard's restrictions; this launch takes "
                "no settings, instructions or MCP servers of the project",
                where=loose[0].path,
                fix=f'an administrator can add "{MERGE}": "merge" there',
                severity="warning",
            )
        )
    result.argv = [*ours, *argv]
    if typed is not None and route.model != typed:
        result.rewritten = f"--model {typed} goes to {route}"


def _other_sources(invocation: grammar.Invocation) -> list[Finding]:
    """The finding for `--setting-sources` with any but the user's."""
    sources = invocation.named("--setting-sources")
    if all(value in ("", "user") for option in sources for value in option.values):
        return []
    return [
        Finding(
            "RG302",
            "--setting-sources",
            "--setting-sources would take a project's settings without routeguard's restrictions",
            where="command line",
            fix="leave it out",
        )
    ]
