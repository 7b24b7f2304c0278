"""Plans one launch of Codex: reads its files, judges, pins. Hot-path module."""

from __future__ import annotations

import os

from guard import paths
from guard.agents import binary, environment
from guard.agents.behind import Route, choose, headers, not_named
from guard.agents.codex import facts as read
from guard.agents.codex import grammar, settings
from guard.agents.codex.adapter import AGENT
from guard.agents.codex.facts import Facts
from guard.agents.codex.variables import KEY, PREFIXES, SETS
from guard.agents.command_line import judge_command, judge_options
from guard.agents.keys import take_key
from guard.agents.kinds import GUARDED, NO_MODEL
from guard.agents.managed import meet
from guard.agents.plan import asked_directly, is_too_long, shims_first
from guard.agents.suffix import SUFFIX_LENGTH, suffix
from guard.findings import Finding, unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy

PROVIDER = "portkey_"
"""How the provider's id begins. It ends in the user's suffix: a table of the same id in any
settings file would be merged into ours (case 6). It stays the same, because a session belongs to
the id it was made with: Codex resumes it with no other one, and `resume --last` does not see it
(both run on 0.171.0)."""


def survey(
    typed: list[str],
    environ: Mapping[str, str],
    program: str,
    cwd: str,
    *,
    write: bool,
    root: str = "",
) -> Facts:
    """Gather what a plan needs; `root` stands before the paths of an administrator's files.

    `write` False leaves no trace, for a plan that is only shown.
    """
    invocation = grammar.read(typed)
    calls = invocation.kind == GUARDED
    home = read.codex_home(environ, cwd)
    found: list[read.Settings] = []
    outside: list[str] = []
    roles: list[str] = []
    dotenv: tuple[dict[str, str], str] = ({}, "")
    if calls:
        places = [cwd, *(os.path.join(cwd, value) for value in invocation.values("--cd"))]
        found = read.read_settings(home, invocation.values("--profile"), places, root)
        outside = read.documents_outside(places, found)
        roles = read.roles_outside(places, home)
        dotenv = read.read_dotenv(home)
    layers = {one.path: one.layer for one in found if one.layer in read.ADMINISTRATORS}
    met = meet(layers, root)
    return Facts(
        invocation=invocation,
        environ=dict(environ),
        # what calls no model is not judged by it, and it takes longer to read than all else
        version=binary.NO_VERSION
        if invocation.kind in NO_MODEL
        else binary.version(program, environ, AGENT, ask=calls),
        program=read.native(program) if calls and program else program,
        home=home,
        settings=found,
        dotenv=dotenv[0],
        dotenv_wrong=dotenv[1],
        environments=calls and os.path.lexists(os.path.join(home, "environments.toml")),
        shims=paths.installed_shims(environ),
        suffix=suffix(environ, AGENT.id, create=write and calls),
        token=os.urandom(8).hex() if write else "x" * SUFFIX_LENGTH,
        login=calls and os.path.lexists(os.path.join(home, "auth.json")),
        met=met,
        ours=met.suffix if any(layers[path] == read.MANAGED for path in met.ours) else "",
        outside=outside,
        roles_outside=roles,
    )


def open_project(result: Plan, policy: CompiledPolicy, facts: Facts, now: float) -> None:
    """Let an agent that a command of the user's own starts meet the guard."""
    result.set(shims_first(result, facts.shims), SETS)


def judge_arguments(
    invocation: grammar.Invocation, policy: CompiledPolicy, now: float
) -> list[Finding]:
    """What a launch refuses of a command line."""
    refused = judge_command(invocation, AGENT, "codex, or codex exec PROMPT")
    if refused:
        return refused
    where = "command line"
    findings = [
        Finding("RG205", word, f"{word} {what}", where=where, fix=fix)
        for word, what, fix in invocation.wrong
    ]
    findings += judge_options(invocation, grammar.REFUSED)
    for key, _ in settings.typed(invocation.values("--config")):
        first = key.partition(".")[0]
        rule, why = settings.REFUSED.get(first, ("", ""))
        if first.startswith("experimental_realtime"):
            rule, why = "RG302", "names another server"
        if rule:
            message = f"-c {key} {why}, past the policy"
            findings.append(Finding(rule, key, message, where=where, fix="leave it out"))
    return findings


def judge_files(result: Plan, policy: CompiledPolicy, facts: Facts, now: float) -> None:
    """Add findings for files in CODEX_HOME and settings that a launch cannot override."""
    result.findings += [
        unreadable(one.path, one.unreadable) for one in facts.settings if one.unreadable
    ]
    dotenv = os.path.join(facts.home, ".env")
    if facts.dotenv_wrong:
        result.findings.append(unreadable(dotenv, facts.dotenv_wrong))
    result.findings += judge_dotenv(dotenv, facts.dotenv, policy, now)
    result.findings += facts.met.findings
    for path in facts.roles_outside:
        message = f"{path} leads out of the project"
        fix = "put a file in the place of the link"
        result.findings.append(Finding("RG302", path, message, where=path, fix=fix))
    for key, path in read.named_outside(facts.settings):
        message = f"{path}: {key} names a file outside of the project"
        fix = f"take {key} out of {path}"
        result.findings.append(Finding("RG302", key, message, where=path, fix=fix))
    if facts.environments:
        result.findings.append(elsewhere(os.path.join(facts.home, "environments.toml")))


def elsewhere(path: str) -> Finding:
    """The finding for `$CODEX_HOME/environments.toml`; `check` says the same of the file."""
    message = f"{path} lets other machines run the agent's commands"
    return Finding("RG202", path, message, where=path, fix=f"rename {path}")


def judge_dotenv(
    path: str, variables: Mapping[str, str], policy: CompiledPolicy, now: float
) -> list[Finding]:
    """The finding for what `$CODEX_HOME/.env` sets; `check` says the same of the file at `path`."""
    wrong = ", ".join(_overwritten(variables, policy, now))
    if not wrong:
        return []
    message = f"{path} sets {wrong}, over what a launch starts Codex with"
    return [Finding("RG302", path, message, where=path, fix=f"take {wrong} out of {path}")]


_DIRECTORIES = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
"""Variables that would give Codex, or an agent below it, other directories of the user's."""


def _overwritten(variables: Mapping[str, str], policy: CompiledPolicy, now: float) -> list[str]:
    """The names in `variables` that a launch removes or sets, or that move directories."""
    kept, _, _ = environment.clean(
        variables, policy, now, keeps=AGENT.keeps, agent=True, prefixes=PREFIXES
    )
    ours = {*SETS, *_DIRECTORIES, *policy.gateway_keys}
    return [name for name in variables if name not in kept or name in ours or name.startswith(KEY)]


def pin(result: Plan, policy: CompiledPolicy, facts: Facts) -> None:
    """Start the native program, with the route in the last arguments and the key in a variable of
    a name of its own."""
    result.program = facts.program
    invocation = facts.invocation
    typed: list[str | None] = [*invocation.values("--model")]
    typed += [
        str(settings.typed_value(text))
        for key, text in settings.typed(invocation.values("--config"))
        if key == "model"
    ]
    route = choose(result, policy, AGENT, typed)
    if route is None:
        return
    key = mark = KEY + facts.token
    if facts.ours and route.entry.key_env:
        # the administrator's file, which outranks the arguments, takes it from there
        key = route.entry.key_env
    if not take_key(result, route.entry, facts.environ, key):
        return
    sets = shims_first(result, facts.shims)
    if route.entry.key_env:
        # by the mark a running one is known as guarded
        sets |= dict.fromkeys((key, mark), facts.environ[route.entry.key_env])
    for entry in policy.providers:
        if entry.key_env == key:
            continue  # it is set below
        result.remove(entry.key_env, f"Codex gets the key as {KEY}…, and its commands get none")
    sets |= asked_directly(policy, facts.environ)
    reason = "the gateway key, where the administrator's file takes it from"
    result.set(sets, {key: reason, **SETS, mark: SETS[KEY]})
    result.findings += _judge_identity(facts)
    pinned = _pinned(result, policy, facts, route, key)
    fix = "the policy has changed since:\nsudo routeguard managed install" if facts.ours else ""
    for one in facts.of(*read.ADMINISTRATORS):
        required = one.layer == read.REQUIRED
        content = settings.demanded(one.content) if required else one.content
        result.findings += judge_managed(one.path, content, pinned, fix)
    words = settings.words(pinned, settings.switches(facts))
    if is_too_long(words):
        result.report(
            "RG303",
            "mcp_servers",
            f"the settings around {facts.home} and this directory define more MCP servers than "
            "a launch can close",
            where=facts.settings[-1].path,
            fix="take servers that nobody uses out of these settings",
        )
    _set_arguments(result, invocation, route, words)


def _pinned(
    result: Plan, policy: CompiledPolicy, facts: Facts, route: Route, key: str
) -> dict[str, Any]:
    """The settings by which a launch holds Codex, by their dotted keys."""
    identity = PROVIDER + (facts.ours or facts.suffix)
    pinned: dict[str, Any] = {
        "model_provider": identity,
        f"model_providers.{identity}": settings.provider(policy.base_url, key, headers(route)),
        **settings.PINNED,
        settings.HIDDEN: settings.hidden(facts, f"{KEY}*", *(key,) * bool(facts.ours)),
        **settings.chosen(facts, result.environ),
    }
    if route.model and not route.typed:
        pinned["model"] = route.model
    if facts.outside:
        pinned["project_doc_max_bytes"] = 0
        result.report(
            "RG302",
            facts.outside[0],
            f"{facts.outside[0]} leads out of the project; this launch takes no instructions of it",
            where=facts.outside[0],
            fix="put a file in the place of the link",
            severity="warning",
        )
    wanted = policy.route_of(AGENT.id)
    closed, taken = settings.servers(facts, wanted.mcp)
    if closed:
        pinned["mcp_servers"] = closed
    for name, one in taken.items():
        result.report(
            "RG301",
            name,
            f"the MCP server {name} of your policy is not started: the project has one of that "
            "name",
            where=one.path,
            fix=f"give one of them another name, or take {name} out of {one.path}",
            severity="warning",
        )
    own = sorted(
        {name for one in facts.of(*read.OWN) for name in one.table("mcp_servers")} & closed.keys()
    )
    if own and not taken:
        where = os.path.join(facts.home, "config.toml")
        result.findings.append(not_named("mcp", "MCP servers", where, wanted, own))
    return pinned


def _judge_identity(facts: Facts) -> list[Finding]:
    """Findings for settings of the user's with a provider of the id in the administrator's file:
    their headers would be merged into ours (case 6)."""
    identity = PROVIDER + facts.ours
    return [
        Finding(
            "RG302",
            identity,
            f"{one.path} changes the provider {identity}, which is the administrator's",
            where=one.path,
            fix=f"take [model_providers.{identity}] out of it",
        )
        for one in facts.of(*read.OWN)
        if facts.ours and identity in one.table("model_providers")
    ]


def judge_managed(
    path: str, content: dict[str, Any], pinned: dict[str, Any], fix: str = ""
) -> list[Finding]:
    """Findings for `content`, an administrator's file at `path`, over what `pinned` holds.

    `check` says the same of such a file, of what every launch pins.
    """
    return [
        Finding(
            "RG302",
            key,
            f"{path} sets {key}, over what holds the route",
            where=path,
            fix=fix or f"an administrator can take {key} out of it",
        )
        for key in settings.against(content, pinned)
    ]


def _set_arguments(
    result: Plan, invocation: grammar.Invocation, route: Route, pin: list[str]
) -> None:
    argv, at = list(invocation.argv), invocation.separator
    if result.rewritten:
        for option in invocation.named("--model"):
            argv[option.start : option.end] = [f"--model={route.model}"]
            at -= option.end - option.start - 1
        if not invocation.named("--model"):
            pin = [*pin, f"--config=model={settings.toml(route.model)}"]
    if invocation.is_terminal and not invocation.named("--no-daemon"):
        pin = ["--no-daemon", *pin]
    # behind every word of the user's, for the last one wins; in front of a `--`, which ends the
    # options
    argv[at:at] = pin
    result.argv = argv
