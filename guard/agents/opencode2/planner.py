"""Plans one launch of opencode 2.x: reads files and stores, decides, prepares directories.

`survey` reads, `prepare` writes the private directories, the others decide: they are pure, but for
exceptions that are pinned by a digest.

Hot-path module; `json` is imported on first use.
"""

from __future__ import annotations

import os

from guard import net, paths
from guard.agents import binary
from guard.agents.command_line import judge_command
from guard.agents.keys import without_gateway_keys
from guard.agents.kinds import HARMLESS, LOCAL, SERVER
from guard.agents.opencode import arguments, directories, preflight, surroundings
from guard.agents.opencode.config import ROUTE_KEYS, judge_size, providers_in
from guard.agents.opencode.config import provider_ids as ids_of
from guard.agents.opencode.provider_keys import has_key, take_keys, with_keys
from guard.agents.opencode.route import Router
from guard.agents.opencode.store import WELLKNOWN
from guard.agents.opencode.surroundings import catalogue_ids, same_directory
from guard.agents.opencode2 import config, grammar, kept, store
from guard.agents.opencode2.adapter import AGENT
from guard.agents.opencode2.directories import Places
from guard.agents.opencode2.directories import prepare as make_directories
from guard.agents.opencode2.facts import Facts
from guard.agents.opencode2.variables import REAL_STATE_HOME, SETS, SWITCHES
from guard.agents.plan import asked_directly
from guard.findings import Finding, unreadable
from guard.paths import REAL_CONFIG_HOME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy

STANDALONE = "--standalone=true"
"""Gives the launch a server of its own. With the value: `--standalone` takes the next word if that
is `false`. In front of the user's own options: the first one counts (run)."""

_HOMES = ((REAL_CONFIG_HOME, "XDG_CONFIG_HOME"), (REAL_STATE_HOME, "XDG_STATE_HOME"))
"""(name under which the user's own is kept, variable) of the directories that are private ones."""

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
    harmless = invocation.kind == HARMLESS
    version = version or binary.version(program, own, AGENT, ask=not harmless)
    if harmless:
        found = surroundings.Surroundings(home=paths.home(own), directory=cwd)
        stored = store.Store()
    else:
        data = os.path.join(paths.data_home(own), "opencode")
        named = [o.value for o in invocation.named("session") if o.value]
        siblings = os.path.realpath(cwd) if invocation.command.name == "" else ""
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
    if invocation.command.name == "":
        starts += [os.path.join(cwd, word) for word in invocation.words[:1]]
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


def judge_arguments(
    invocation: grammar.Invocation, policy: CompiledPolicy, now: float
) -> list[Finding]:
    """What a launch refuses of a command line, but for its model."""
    row, where = invocation.command, "command line"
    findings = []
    for name in dict.fromkeys(invocation.unknown):
        message = f"routeguard does not know {name} of opencode 2"
        fix = "leave it out; opencode --help lists what there is"
        findings.append(Finding("RG205", name, message, where=where, fix=fix))
    for name in dict.fromkeys(invocation.early):
        message = f"--{name} in front of {row.name} is an error in opencode 2"
        fix = f"put it behind {row.name}"
        findings.append(Finding("RG205", f"--{name}", message, where=where, fix=fix))
    if row.why:
        findings += judge_command(invocation, AGENT, "")
    elif row.kind == SERVER and policy.servers != "allow":
        findings.append(arguments.serves(row.name))
    for option in invocation.named("server"):
        fix = "start opencode without --server"
        subject = option.value or "--server"
        findings.append(Finding("RG202", subject, arguments.OTHER_SERVER, where=where, fix=fix))
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
    if row.name == "auth login":
        does, without = "lets that server", "opencode auth login"
        # the name of an integration is no URL; what may be one counts as one
        findings += [
            arguments.login_server(word, does, where, without, policy, now)
            for word in invocation.words
            if any(mark in word for mark in ".:/")
        ]
    return findings


def judge_files(result: Plan, policy: CompiledPolicy, facts: Facts, now: float) -> None:
    """Add every finding about the files, stores and servers around."""
    row, left = facts.invocation.command, facts.left
    if not row.private and row.kind == LOCAL and left is not None:
        result.report(
            "RG202",
            f"pid:{left.pid}",
            f"an earlier `opencode {row.name}` left a server behind (process "
            f"{left.pid}), and this one would use it",
            where=left.path,
            fix=f"kill {left.pid}",
        )
    result.findings += preflight.check_project(facts.found, policy, facts.environ, now)
    result.findings += _judge_store(facts, policy, now)
    _judge_user(result, facts)


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
        *(n for n, k in facts.found.credentials if k != WELLKNOWN),
    ]
    where = os.path.dirname(facts.found.credentials_file)
    return findings + preflight.not_used(list(dict.fromkeys(stored)), where)


def _judge_user(result: Plan, facts: Facts) -> None:
    found = facts.found
    for one in (*found.user, *found.managed):
        if one.error:
            result.findings.append(unreadable(one.path, one.error))
    result.findings += found.about_user
    result.findings += preflight.not_loaded(found.user_code, "plugins")
    # a release may read them above the global file; the newest one that was read does not
    result.findings += found.about_managed
    for one in found.managed:
        # where a release reads the one that routeguard wrote, it allows the gateway alone
        keys = [] if one.ours else [k for k in ROUTE_KEYS if one.content.get(k)]
        if keys:
            result.report(
                "RG302",
                keys[0],
                f"the administrator's opencode config sets {', '.join(keys)}, which may outrank "
                "the pinned route",
                where=one.path,
                fix="ask the administrator to leave the route to routeguard's system policy",
            )


def pin(result: Plan, policy: CompiledPolicy, facts: Facts) -> None:
    """Pin the arguments, the configuration and the directories.

    A command that calls no model gets no key: it asks its server about the project.
    """
    calls = result.kind != LOCAL
    usable, key_variables = take_keys(policy, facts.environ, result)
    if not calls:
        result.findings = [f for f in result.findings if f.rule != "RG106"]
    _pin(result, policy, facts, usable, key_variables, calls=calls)
    if not calls:
        without_gateway_keys(result, policy)
        result.keys = []
        result.route = ""


def _pin(
    result: Plan,
    policy: CompiledPolicy,
    facts: Facts,
    usable: set[str],
    key_variables: Mapping[str, str],
    *,
    calls: bool,
) -> None:
    ids = ids_of(policy, facts.suffix)
    # what routeguard wrote there says what the pin says
    own = [layer for layer in facts.found.user if not layer.ours]
    layers = (*own, *facts.found.project)
    foreign = facts.provider_ids | providers_in(layer.content for layer in layers)
    router = Router(policy, ids, foreign)
    first = _first_counts(facts.invocation)
    rewriting = arguments.rewrite(first, router, ids)
    result.findings += rewriting.findings
    route = rewriting.route
    result.route = str(route)
    _judge_variant(result, config.split(route.model)[1])
    result.argv = _own_server(first.again(rewriting.argv))
    result.rewritten = _told(facts, rewriting.told)
    if calls and not has_key(result, policy, usable, route, router):
        return
    reachable = with_keys(policy, usable) if usable else policy
    project = facts.found.project if policy.project_config == "read" else []
    found = kept.keep(own, project, router, ids, result.environ, policy.gateway_keys)
    result.findings += found.findings
    _judge_named(result, facts, found)
    pinned = config.pinned(reachable, ids, key_variables, router.default(), [route, *found.routes])
    rest = config.others(found.servers, found.user, found.project)
    facts.texts = config.render(pinned, found.values, config.routes_only(ids), rest)
    judge_size(result, facts.texts.inline)
    _set_environment(result, policy, facts, facts.texts.inline)


def _first_counts(invocation: grammar.Invocation) -> grammar.Invocation:
    """The arguments without what repeats an option that names the route: the first one counts."""
    again = [o for name in ("model", "provider") for o in invocation.named(name)[1:]]
    argv = list(invocation.argv)
    for option in sorted(again, key=lambda o: -o.start):
        if not option.letters and option.end - option.start <= 2:
            del argv[option.start : option.end]
    fewer = grammar.read(argv)
    same = fewer.words == invocation.words and fewer.command is invocation.command
    return fewer if same else invocation


def _own_server(invocation: grammar.Invocation) -> list[str]:
    argv = list(invocation.argv)
    if invocation.command.private:
        argv.insert(invocation.behind, STANDALONE)
    return argv


def _told(facts: Facts, told: str) -> str:
    """What became of the arguments, in one sentence; of a server only where one is passed over."""
    if facts.running is not None and facts.invocation.command.private:
        said = (
            f"opencode's background server (process {facts.running.pid}) is not used: this launch "
            "has its own"
        )
        return f"{told}; {said}" if told else said
    return told


def _judge_variant(result: Plan, variant: str) -> None:
    if variant and variant not in config.EFFORTS:
        known = ", ".join(f"#{each}" for each in config.EFFORTS)
        message = f"the variant {variant} is not one that a gateway's model has"
        result.report("RG205", f"#{variant}", message, fix=f"use one of {known}, or none")


def _judge_named(result: Plan, facts: Facts, found: kept.Kept) -> None:
    """Refuse `--agent` that names an agent which this launch does not have."""
    known = {*kept.BUILT_IN, *found.values.get("agents", {})}
    known.update(d.name for d in facts.found.user_definitions if d.linked and d.kind == "agent")
    for name in filter(None, facts.invocation.values("agent")):
        if name not in known:
            result.report(
                "RG302",
                name,
                f"the agent {name} is not one of yours, and opencode may run another one in its "
                "place; agents of a project are not loaded in opencode 2",
                fix="name another agent, or copy its file into your own opencode directory",
            )


def _set_environment(result: Plan, policy: CompiledPolicy, facts: Facts, content: str) -> None:
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
    # the client asks its own server over HTTP, with the password of that server (run)
    sets |= asked_directly(policy, environ, *net.LOOPBACK)
    result.set(sets, SETS)


def prepare(policy: CompiledPolicy, facts: Facts, shims: Mapping[str, str]) -> list[str]:
    """Make the private directories that the plan's environment names. Raises GuardError.

    `shims` are the texts of PATH shims by name. Returns a sentence for each file that had to be
    put somewhere else.
    """
    instructions = []
    if policy.project_config == "read":
        # 2.x knows no other name (documentation)
        instructions = [p for p in facts.found.instructions if p.endswith("/AGENTS.md")]
    assert facts.texts is not None, "nothing was planned"
    return make_directories(facts.places, facts.texts, instructions, shims)
