"""Plans one launch of opencode 2.x: reads files and stores, decides, prepares directories.

`survey` reads, `plan` decides (pure), `prepare` writes the private directories.

Hot-path module; `json` is imported on first use.
"""

from __future__ import annotations

import os

from guard import net, paths
from guard.agents import adapter, binary, environment
from guard.agents.keys import without_gateway_keys
from guard.agents.opencode import (
    KEEPS,
    OpenCode,
    arguments,
    directories,
    preflight,
    surroundings,
)
from guard.agents.opencode.config import ROUTE_KEYS
from guard.agents.opencode.config import provider_ids as ids_of
from guard.agents.opencode.provider_keys import missing_key, take_keys, with_keys
from guard.agents.opencode.route import Router
from guard.agents.opencode.surroundings import catalogue_ids, same_directory
from guard.agents.opencode2 import config, grammar, kept, store
from guard.agents.opencode2.directories import Places
from guard.agents.opencode2.directories import prepare as make_directories
from guard.agents.opencode2.facts import Facts
from guard.agents.opencode2.variables import REAL_STATE_HOME, SETS, SWITCHES
from guard.agents.plan import Plan, begin
from guard.findings import Finding, unreadable
from guard.paths import REAL_CONFIG_HOME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.policy.values import CompiledPolicy

OLDEST = (2, 0, 30)
"""The oldest release accepted: it knows `integration.use` and the key `policies`, without which a
plugin or MCP server of another directory would be started (read; the release from a third party)"""

"""What proves the route of the binary that is here."""

STANDALONE = "--standalone=true"
"""Gives the launch a server of its own. With the value: `--standalone` takes the next word if that
is `false`. In front of the user's own options: the first one counts (run)."""

_HOMES = ((REAL_CONFIG_HOME, "XDG_CONFIG_HOME"), (REAL_STATE_HOME, "XDG_STATE_HOME"))
"""(name under which the user's own is kept, variable) of the directories that are private ones."""

_UNTOLD = (REAL_CONFIG_HOME, REAL_STATE_HOME)

_FORGET_SOURCES = "delete from kv where key = 'wellknown:sources'"
_FORGET_CONSOLE = "delete from credential where integration_id = 'opencode'"


def survey(
    typed: list[str],
    environ: Mapping[str, str],
    program: str,
    cwd: str,
    *,
    write: bool,
    version: tuple[int, int, int] | None = None,
) -> Facts:
    """Gather what `plan` needs. `write` False leaves no trace, for a plan that is only shown.

    `version` is the program's, if it was asked already.
    """
    own = dict(environ)
    invocation = grammar.read(typed)
    harmless = invocation.kind() == adapter.HARMLESS
    version = version or binary.version(program, own, OpenCode(), ask=not harmless)
    if harmless:
        found = surroundings.Surroundings(home=paths.home(own), directory=cwd)
        stored = store.Store()
    else:
        data = os.path.join(paths.data_home(own), "opencode")
        named = [o.value for o in invocation.named("session") if o.value]
        siblings = os.path.realpath(cwd) if invocation.command == "" else ""
        # each session works in its own directory; it looks up to the root, above the top of a
        # repository, too (run)
        starts = [*store.sessions(data, named, siblings), *_starts(invocation, own, cwd)]
        found = surroundings.gather(own, starts, above=True)
        stored = store.look(data)
    places = Places(own, found.directory)
    return Facts(
        invocation=invocation,
        environ=own,
        version=version,
        found=found,
        store=stored,
        running=store.service(places.real_state),
        left=store.service(places.state),
        suffix=directories.suffix(own, create=write),
        places=places,
        provider_ids=frozenset() if harmless else catalogue_ids(),
        working_directory=cwd,
    )


def _starts(invocation: grammar.Invocation, environ: Mapping[str, str], cwd: str) -> list[str]:
    """The directories the agent may work in, the likeliest first."""
    starts = []
    if invocation.command == "":
        starts += [os.path.join(cwd, word) for _, word in invocation.positionals[:1]]
    starts += [os.path.join(cwd, o.value) for o in invocation.named("directory") if o.value]
    logical = environ.get("PWD", "")
    if same_directory(logical, cwd):
        starts.append(logical)
    return [*starts, cwd]


def restore(own: dict[str, str]) -> None:
    """Undo what an outer launch set, if it was one: the names alone may come from anywhere."""
    outer = dict(own)
    for name, variable in _HOMES:
        real = outer.pop(name, "")
        if real:
            outer[variable] = real
        else:
            outer.pop(variable, None)
    if not is_private(own, Places(outer)):
        return
    shims = Places(outer).bin
    outer["PATH"] = ":".join(p for p in outer.get("PATH", "").split(":") if p != shims)
    own.clear()
    own.update(outer)


def is_private(environ: Mapping[str, str], places: Places) -> bool:
    """Whether the directories in `environ` are those that a launch makes."""
    from guard.agents.opencode2.directories import is_ours

    return is_ours(places, environ.get("XDG_CONFIG_HOME", "")) and (
        environ.get("XDG_STATE_HOME") == places.state
    )


def plan(policy: CompiledPolicy, facts: Facts, program: str, now: float) -> Plan:
    """Decide what the launch becomes. Pure but for digest-pinned exceptions.

    `now` is in Unix seconds.
    """
    invocation, environ = facts.invocation, facts.environ
    result = begin(
        OpenCode.id, invocation.kind(), program, invocation.argv, environ, policy, now, keeps=KEEPS
    )
    if result.kind == adapter.HARMLESS:
        without_gateway_keys(result, policy)
        result.findings = []
        result.directory = "/"
        return result
    result.findings += _judge_version(facts, program)
    result.findings += _judge_arguments(facts, policy)
    result.findings += _judge_login(invocation, policy, now)
    result.findings += environment.proxies(environ, policy, now)
    result.findings += preflight.check_project(facts.found, policy, environ, now)
    result.findings += _judge_store(facts, policy, now)
    result.findings += _judge_user(facts)
    # every command that asks a server is pinned: it opens the project
    result.guarded = True
    _pin(policy, facts, result)
    if result.kind == adapter.LOCAL:
        without_gateway_keys(result, policy)
        result.keys = []
        result.route = ""
    return result


def _judge_version(facts: Facts, program: str) -> list[Finding]:
    shown = ".".join(map(str, facts.version))
    oldest = ".".join(map(str, OLDEST))
    if facts.version == binary.NO_VERSION:
        message, fix = "its version is unknown", "opencode upgrade"
    elif facts.version < OLDEST:
        message = (
            f"version {shown} has no policy that keeps plugins and MCP servers of other "
            f"directories out ({oldest} has)"
        )
        fix = "opencode upgrade"
    else:
        return []
    return [Finding("RG204", program, message, where=program, fix=fix)]


def _judge_arguments(facts: Facts, policy: CompiledPolicy) -> list[Finding]:
    invocation, where = facts.invocation, "command line"
    spec = invocation.spec
    findings = [
        Finding(
            "RG205",
            name,
            f"routeguard does not know {name} of opencode 2",
            where=where,
            fix="leave it out; opencode --help lists what there is",
        )
        for name in dict.fromkeys(invocation.unknown)
    ]
    findings += [
        Finding(
            "RG205",
            f"--{name}",
            f"--{name} in front of {invocation.command} is an error in opencode 2",
            where=where,
            fix=f"put it behind {invocation.command}",
        )
        for name in dict.fromkeys(invocation.early)
    ]
    if spec.why:
        rule = "RG301" if spec.name.startswith("plugin") else "RG203"
        rule = "RG302" if spec.kind == adapter.LOCAL and rule == "RG203" else rule
        message = f"`opencode {spec.name}` {spec.why}"
        findings.append(Finding(rule, spec.name, message, where=where, fix=spec.instead))
    elif spec.kind == adapter.SERVER and policy.servers != "allow":
        findings.append(
            Finding(
                "RG203",
                spec.name,
                f"{spec.name} lets other programs drive the agent, in directories that were not "
                "checked",
                where=where,
                fix='use the TUI or `opencode run`; or set servers = "allow" under '
                f"[agents.{OpenCode.id}] in your policy",
            )
        )
    for option in invocation.named("server"):
        findings.append(
            Finding(
                "RG202",
                option.value or "--server",
                "another agent server would make the calls, with its own keys and config",
                where=where,
                fix="start opencode without --server",
            )
        )
    if invocation.uses_shared_server():
        findings.append(
            Finding(
                "RG202",
                "--standalone",
                "the shared background server would make the calls, with the environment and "
                "config that it was started with",
                where=where,
                fix="leave the option out: a guarded launch has a server of its own",
            )
        )
    if not spec.private and spec.kind == adapter.LOCAL and facts.left is not None:
        findings.append(
            Finding(
                "RG202",
                f"pid:{facts.left.pid}",
                f"an earlier `opencode {spec.name}` left a server behind (process "
                f"{facts.left.pid}), and this one would use it",
                where=facts.left.path,
                fix=f"kill {facts.left.pid}",
            )
        )
    return findings


def _judge_login(
    invocation: grammar.Invocation, policy: CompiledPolicy, now: float
) -> list[Finding]:
    """Findings for `auth login URL`: the server at URL adds configuration from then on.

    The name of an integration is no URL; what may be one counts as one.
    """
    if invocation.command != "auth login":
        return []
    does, without = "lets that server", "opencode auth login  (without a URL)"
    return [
        arguments.login_server(word, does, "command line", without, policy, now)
        for _, word in invocation.positionals
        if any(mark in word for mark in ".:/")
    ]


def _judge_store(facts: Facts, policy: CompiledPolicy, now: float) -> list[Finding]:
    found = facts.store
    findings = [
        unreadable(path, why, fix="close what holds it, repair it or move it away")
        for path, why in dict.fromkeys((*found.unreadable, *facts.found.unreadable_store))
    ]
    for path, url in found.sources:
        without = arguments.shown(["sqlite3", path, _FORGET_SOURCES])
        if url:
            does = "lets that server"
            findings.append(arguments.login_server(url, does, path, without, policy, now))
        else:
            message = "a stored login lets a server add configuration to every launch"
            findings.append(Finding("RG305", path, message, where=path, fix=without))
    consoles = [*found.console, *(path for path, _ in facts.found.accounts)]
    for path in dict.fromkeys(consoles):
        findings.append(
            Finding(
                "RG302",
                path,
                "opencode is logged in to its Console, whose policies outrank the pinned ones",
                where=path,
                fix=f"disconnect it in opencode, started without the guard, or:\n"
                f"{arguments.shown(['sqlite3', path, _FORGET_CONSOLE])}",
            )
        )
    stored = [
        *found.stored,
        *(n for n, k in facts.found.credentials if k != surroundings.WELLKNOWN),
    ]
    if stored:
        findings.append(
            Finding(
                "RG304",
                ", ".join(dict.fromkeys(stored)),
                "stored, and not used under the guard",
                where=os.path.dirname(facts.found.credentials_file),
                fix="opencode auth logout PROVIDER removes it for good",
            )
        )
    return findings


def _judge_user(facts: Facts) -> list[Finding]:
    findings = [
        unreadable(c.path, c.error) for c in (*facts.found.user, *facts.found.managed) if c.error
    ]
    findings += facts.found.about_user
    if facts.found.user_code:
        findings.append(
            Finding(
                "RG301",
                ", ".join(facts.found.user_code),
                "not loaded under the guard: plugins run inside the agent and can send by "
                "themselves",
                where="your own opencode directory",
                severity="note",
            )
        )
    # a release may read them above the global file; the newest one that was read does not
    findings += facts.found.about_managed
    for c in facts.found.managed:
        # where a release reads the one that routeguard wrote, it allows the gateway alone
        keys = [] if c.ours else [k for k in ROUTE_KEYS if c.content.get(k)]
        if keys:
            findings.append(
                Finding(
                    "RG302",
                    keys[0],
                    f"the administrator's opencode config sets {', '.join(dict.fromkeys(keys))}, "
                    "which may outrank the pinned route",
                    where=c.path,
                    fix="ask the administrator to leave the route to routeguard's system policy",
                )
            )
    return findings


def _pin(policy: CompiledPolicy, facts: Facts, result: Plan) -> None:
    calls = result.kind != adapter.LOCAL
    usable, key_variables = take_keys(policy, facts.environ, result)
    if not calls:
        result.findings = [f for f in result.findings if f.rule != "RG106"]
    ids = ids_of(policy, facts.suffix)
    # what routeguard wrote there says what the pin says
    own = [layer for layer in facts.found.user if not layer.ours]
    foreign = facts.provider_ids | {
        name
        for layer in (*own, *facts.found.project)
        for group in ("provider", "providers")
        for name in layer.content.get(group) or ()
    }
    router = Router(policy, ids, foreign)
    first = _first_counts(facts.invocation)
    rewriting = arguments.rewrite(first, router, ids)
    result.findings += rewriting.findings
    route = rewriting.route
    result.route = str(route)
    result.findings += _judge_variant(config.split(route.model)[1])
    result.argv = _own_server(first.again(rewriting.argv))
    result.rewritten = _told(facts, result, rewriting.told)
    missing = [p for p in policy.providers if p.name not in usable]
    for entry in missing if calls else ():
        needed = entry.name in (route.provider, router.default().provider)
        result.findings.append(missing_key(entry, needed=needed))
    if calls and (any(p.name == route.provider for p in missing) or not usable):
        return
    reachable = with_keys(policy, usable) if usable else policy
    withheld = policy.gateway_keys
    project = facts.found.project if policy.project_config == "read" else []
    found = kept.keep(own, project, router, ids, result.environ, withheld)
    result.findings += found.findings
    result.findings += _judge_named(facts, found)
    pinned = config.pinned(reachable, ids, key_variables, router.default(), [route, *found.routes])
    rest = config.others(found.servers, found.user, found.project)
    texts = config.render(pinned, found.values, config.routes_only(ids), rest)
    text = texts.inline
    if len(text) > config.MAX_CONTENT:
        result.findings.append(
            Finding(
                "RG501",
                "gateway.providers",
                f"the models of the policy and your own opencode config take {len(text)} bytes, "
                f"and one environment variable holds {config.MAX_CONTENT}",
                where="policy",
                fix="declare fewer models (others can still be named with -m), or move agents "
                "from opencode.json into Markdown files",
            )
        )
    facts.texts = texts
    _set_environment(policy, facts, result, text)


def _first_counts(invocation: grammar.Invocation) -> grammar.Invocation:
    """The arguments without what repeats an option that names the route: the first one counts."""
    again = [o for name in ("model", "provider") for o in invocation.named(name)[1:]]
    argv = list(invocation.argv)
    for option in sorted(again, key=lambda o: -o.start):
        if not option.letters and option.end - option.start <= 2:
            del argv[option.start : option.end]
    fewer = grammar.read(argv)
    same = [w for _, w in fewer.positionals] == [w for _, w in invocation.positionals]
    return fewer if same and fewer.command == invocation.command else invocation


def _own_server(invocation: grammar.Invocation) -> list[str]:
    argv = list(invocation.argv)
    if invocation.spec.private:
        argv.insert(invocation.behind, STANDALONE)
    return argv


def _told(facts: Facts, result: Plan, told: str) -> str:
    """What became of the arguments, in one sentence; of a server only where one is passed over."""
    if facts.running is not None and facts.invocation.spec.private:
        said = (
            f"opencode's background server (process {facts.running.pid}) is not used: this launch "
            "has its own"
        )
        return f"{told}; {said}" if told else said
    return told


def _judge_variant(variant: str) -> list[Finding]:
    if not variant or variant in config.EFFORTS:
        return []
    return [
        Finding(
            "RG205",
            f"#{variant}",
            f"the variant {variant} is not one that a gateway's model has",
            where="command line",
            fix=f"use one of {', '.join('#' + each for each in config.EFFORTS)}, or none",
        )
    ]


def _judge_named(facts: Facts, found: kept.Kept) -> list[Finding]:
    """A finding for `--agent` that names an agent which this launch does not have."""
    known = {*kept.BUILT_IN, *found.values.get("agents", {})}
    known.update(d.name for d in facts.found.user_definitions if d.linked and d.kind == "agent")
    return [
        Finding(
            "RG302",
            option.value,
            f"the agent {option.value} is not one of yours, and opencode may run another one in "
            "its place; agents of a project are not loaded in opencode 2",
            where="command line",
            fix="name another agent, or copy its file into your own opencode directory",
        )
        for option in facts.invocation.named("agent")
        if option.value and option.value not in known
    ]


def _set_environment(policy: CompiledPolicy, facts: Facts, result: Plan, content: str) -> None:
    places, environ = facts.places, result.environ
    sets = dict(SWITCHES)
    sets["OPENCODE_CONFIG_CONTENT"] = content
    sets["XDG_CONFIG_HOME"] = places.config
    sets["XDG_STATE_HOME"] = places.state
    sets[REAL_CONFIG_HOME] = facts.environ.get("XDG_CONFIG_HOME", "")
    sets[REAL_STATE_HOME] = facts.environ.get("XDG_STATE_HOME", "")
    sets["PATH"] = ":".join([places.bin, *filter(None, [environ.get("PATH", "")])])
    if not same_directory(environ.get("PWD", ""), facts.working_directory):
        sets["PWD"] = facts.working_directory
    hosts = list(net.LOOPBACK)
    if policy.base_url.startswith("http://") and not policy.gateway_proxy:
        hosts.append(net.host_of(policy.base_url))
    # the client asks its own server over HTTP, with the password of that server (run)
    sets.update(net.without_proxy(environ, *hosts))
    result.environ.update(sets)
    result.changes += [
        environment.Change("set", name, "", SETS[name]) for name in sets if name not in _UNTOLD
    ]


def prepare(policy: CompiledPolicy, facts: Facts, shims: Mapping[str, str]) -> list[str]:
    """Make the private directories that the plan's environment names. Raises GuardError.

    Returns a sentence for each file that had to be put somewhere else.
    """
    instructions = []
    if policy.project_config == "read":
        # 2.x knows no other name (documentation)
        instructions = [p for p in facts.found.instructions if p.endswith("/AGENTS.md")]
    own = {name: text for name, text in shims.items() if name in OpenCode.names}
    assert facts.texts is not None, "nothing was planned"
    return make_directories(facts.places, facts.texts, instructions, own)
