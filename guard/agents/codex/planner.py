"""Plans one launch of Codex: reads its files, decides. Hot-path module."""

from __future__ import annotations

import os

from guard import net, paths
from guard.agents import adapter, binary, environment
from guard.agents.behind import Route, headers, resolve
from guard.agents.codex import Codex, grammar, settings
from guard.agents.codex import facts as read
from guard.agents.codex.facts import Facts
from guard.agents.codex.variables import KEY, PREFIXES, PROXIES, SETS
from guard.agents.keys import take_key, without_gateway_keys
from guard.agents.plan import Plan, begin
from guard.agents.suffix import SUFFIX_LENGTH, suffix
from guard.findings import Finding, unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from guard.policy.values import CompiledPolicy

TESTED = "0.171.0"
"""The release on which every measure was tried."""

_LONGEST = 128 * 1024
"""What Linux takes as one argument, in bytes, its end included; macOS takes more."""

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
    """Gather what `plan` needs; `root` stands before the paths of an administrator's files.

    `write` False leaves no trace, for a plan that is only shown.
    """
    invocation = grammar.read(typed)
    calls = invocation.kind == adapter.GUARDED
    home = read.codex_home(environ, cwd)
    found: list[read.Settings] = []
    dotenv: tuple[dict[str, str], str] = ({}, "")
    ours: str = ""
    managed: list[Finding] = []
    if calls:
        places = [cwd, *(os.path.join(cwd, value) for value in invocation.values("--cd"))]
        found = read.read_settings(home, invocation.values("--profile"), places, root)
        dotenv = read.read_dotenv(home)
        ours, managed = read.look_at_managed(found, root)
    return Facts(
        invocation=invocation,
        environ=dict(environ),
        # what calls no model is not judged by it, and it takes longer to read than all else
        version=binary.NO_VERSION
        if invocation.kind in adapter.NO_MODEL
        else binary.version(program, environ, Codex(), ask=calls),
        program=read.native(program) if calls and program else program,
        home=home,
        settings=found,
        dotenv=dotenv[0],
        dotenv_wrong=dotenv[1],
        environments=calls and os.path.lexists(os.path.join(home, "environments.toml")),
        shims=paths.installed_shims(environ),
        suffix=suffix(environ, Codex.id, create=write and calls),
        token=os.urandom(8).hex() if write else "x" * SUFFIX_LENGTH,
        login=calls and os.path.lexists(os.path.join(home, "auth.json")),
        ours=ours,
        managed=managed,
    )


def plan(policy: CompiledPolicy, facts: Facts, program: str, now: float) -> Plan:
    """Decide what the launch becomes. Pure."""
    invocation = facts.invocation
    result = begin(
        Codex.id, invocation.kind, program, invocation.argv, facts.environ, policy, now,
        keeps=Codex.keeps, prefixes=PREFIXES,
    )  # fmt: skip
    if result.kind != adapter.GUARDED:
        without_gateway_keys(result, policy)
    if result.kind == adapter.HARMLESS:
        result.findings = []
        return result
    if result.kind == adapter.LOCAL:
        _set(result, _path(facts, result))
        return result
    result.findings += binary.judge_version(facts.version, TESTED, program, Codex())
    result.findings += judge_arguments(invocation)
    result.findings += environment.proxies(facts.environ, policy, now, PROXIES)
    if result.kind != adapter.GUARDED:
        return result
    result.guarded = True
    result.program = facts.program
    result.findings += _judge_files(facts, policy, now)
    _pin(policy, facts, result)
    return result


def judge_arguments(invocation: grammar.Invocation) -> list[Finding]:
    """What a launch refuses of the words that were typed; `check` says the same of files."""
    where = "command line"
    command = invocation.command
    if command.why:
        rule = "RG203" if command.kind == adapter.SERVER else "RG202"
        message = f"`codex {command.name}` {command.why}"
        fix = "codex, or codex exec PROMPT"
        return [Finding(rule, command.name, message, where=where, fix=fix)]
    findings = [
        Finding("RG205", word, f"{word} {what}", where=where, fix=fix)
        for word, what, fix in invocation.wrong
    ]
    for option in invocation.named(*grammar.REFUSED):
        rule, why = grammar.REFUSED[option.name]
        findings.append(
            Finding(rule, option.name, f"{option.name} {why}", where=where, fix="leave it out")
        )
    for key, _ in settings.typed(invocation.values("--config")):
        first = key.partition(".")[0]
        rule, why = settings.REFUSED.get(first, ("", ""))
        if first.startswith("experimental_realtime"):
            rule, why = "RG302", "names another server"
        if rule:
            message = f"-c {key} {why}, past the policy"
            findings.append(Finding(rule, key, message, where=where, fix="leave it out"))
    return findings


def _judge_files(facts: Facts, policy: CompiledPolicy, now: float) -> list[Finding]:
    """Findings for files in CODEX_HOME and settings that a launch cannot override."""
    findings = [unreadable(one.path, one.unreadable) for one in facts.settings if one.unreadable]
    dotenv = os.path.join(facts.home, ".env")
    if facts.dotenv_wrong:
        findings.append(unreadable(dotenv, facts.dotenv_wrong))
    findings += judge_dotenv(dotenv, facts.dotenv, policy, now)
    findings += facts.managed
    if facts.environments:
        findings.append(elsewhere(os.path.join(facts.home, "environments.toml")))
    return findings


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
        variables, policy, now, keeps=Codex.keeps, agent=True, prefixes=PREFIXES
    )
    ours = {*SETS, *_DIRECTORIES, *policy.gateway_keys}
    return [name for name in variables if name not in kept or name in ours or name.startswith(KEY)]


def _pin(policy: CompiledPolicy, facts: Facts, result: Plan) -> None:
    invocation = facts.invocation
    models = invocation.values("--model")
    others = [
        str(settings.typed_value(text))
        for key, text in settings.typed(invocation.values("--config"))
        if key == "model"
    ]
    if len(models) + len(others) > 1:
        result.findings.append(
            Finding(
                "RG205",
                "--model",
                f"the model is named {len(models) + len(others)} times",
                where="command line",
                fix="name one model",
            )
        )
        return
    typed = next(iter((*models, *others)), None)
    route = resolve(policy, Codex(), typed)
    if isinstance(route, Finding):
        result.findings.append(route)
        return
    result.route = str(route)
    key = mark = KEY + facts.token
    if facts.ours and route.entry.key_env:
        # the administrator's file, which outranks the arguments, takes it from there
        key = route.entry.key_env
    if not take_key(result, route.entry, facts.environ, key):
        return
    sets = _path(facts, result)
    if route.entry.key_env:
        # by the mark a running one is known as guarded
        sets |= dict.fromkeys((key, mark), facts.environ[route.entry.key_env])
    for entry in policy.providers:
        if result.environ.pop(entry.key_env, None) is not None and entry.key_env != key:
            why = f"Codex gets the key as {KEY}…, and its commands get none"
            result.changes.append(environment.Change("removed", entry.key_env, "", why))
    if policy.base_url.startswith("http://") and not policy.gateway_proxy:
        sets.update(net.without_proxy(facts.environ, net.host_of(policy.base_url)))
    _set(result, sets)
    result.findings += _judge_identity(facts)
    pinned = _pinned(policy, facts, route, key, result)
    fix = "the policy has changed since: sudo routeguard managed install" if facts.ours else ""
    for one in facts.of(*read.ADMINISTRATORS):
        required = one.layer == read.REQUIRED
        content = settings.demanded(one.content) if required else one.content
        result.findings += judge_managed(one.path, content, pinned, fix)
    pin = settings.words(pinned, settings.switches(facts))
    if any(len(word.encode()) >= _LONGEST for word in pin):
        result.findings.append(
            Finding(
                "RG303",
                "mcp_servers",
                f"the settings around {facts.home} and this directory define more MCP servers than "
                "a launch can close",
                where=facts.settings[-1].path,
                fix="take servers that nobody uses out of these settings",
            )
        )
    _set_arguments(invocation, result, route, typed, pin)


def _path(facts: Facts, result: Plan) -> dict[str, str]:
    if not facts.shims:
        return {}
    search = result.environ.get("PATH", os.defpath)
    return {"PATH": paths.behind_shims(search, facts.shims)}


def _why(name: str) -> str:
    return SETS.get(name, "the gateway key, where the administrator's file takes it from")


def _set(result: Plan, sets: dict[str, str]) -> None:
    result.environ.update(sets)
    result.changes += [
        environment.Change("set", name, "", SETS[KEY] if name[: len(KEY)] == KEY else _why(name))
        for name in sets
    ]


def _pinned(
    policy: CompiledPolicy, facts: Facts, route: Route, key: str, result: Plan
) -> dict[str, Any]:
    """The settings by which a launch holds Codex, by their dotted keys."""
    identity = PROVIDER + (facts.ours or facts.suffix)
    pinned: dict[str, Any] = {
        "model_provider": identity,
        f"model_providers.{identity}": settings.provider(policy.base_url, key, headers(route)),
        **settings.PINNED,
        settings.HIDDEN: settings.hidden(facts, f"{KEY}*", *(key,) * bool(facts.ours)),
    }
    if route.model and not route.typed:
        pinned["model"] = route.model
    wanted = policy.route_of(Codex.id).mcp
    closed, taken = settings.servers(facts, wanted)
    if closed:
        pinned["mcp_servers"] = closed
    for name, one in taken.items():
        result.findings.append(
            Finding(
                "RG301",
                name,
                f"the MCP server {name} of your policy is not started: the project has one of that "
                "name",
                where=one.path,
                fix=f"give one of them another name, or take {name} out of {one.path}",
                severity="warning",
            )
        )
    own = sorted(
        {name for one in facts.of(*read.OWN) for name in one.table("mcp_servers")} & closed.keys()
    )
    if own and not taken:
        result.findings.append(
            Finding(
                "RG301",
                "mcp_servers",
                f"not started, because your policy does not name them: {', '.join(own)}",
                where=os.path.join(facts.home, "config.toml"),
                fix=f"name those that you want in your policy:\n[agents.{Codex.id}]\n"
                f"mcp = {settings.toml(list(own))}",
                severity="note",
            )
        )
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
    invocation: grammar.Invocation, result: Plan, route: Route, typed: str | None, pin: list[str]
) -> None:
    argv, at = list(invocation.argv), invocation.separator
    if typed is not None and route.model != typed:
        result.rewritten = f"--model {typed} goes to {route}"
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
