"""Plans one launch of opencode 1.x: reads files and stores, decides, prepares directories.

`survey` reads, `prepare` writes the private directories, the others decide: they are pure, but for
exceptions that are pinned by a digest.

Hot-path module; `json` is imported on first use.
"""

from __future__ import annotations

import os

from guard import paths
from guard.agents import binary
from guard.agents.kinds import HARMLESS, REMOTE
from guard.agents.opencode import (
    arguments,
    config,
    directories,
    grammar,
    outcome,
    preflight,
    surroundings,
)
from guard.agents.opencode.adapter import AGENT
from guard.agents.opencode.facts import Facts
from guard.agents.opencode.instructions import is_plain_path
from guard.agents.opencode.provider_keys import has_key, take_keys, with_keys
from guard.agents.opencode.route import ProviderModel, Router
from guard.agents.opencode.store import OAUTH, WELLKNOWN, credentials_in, session_directories
from guard.agents.opencode.surroundings import catalogue_ids, same_directory
from guard.agents.opencode.variables import SETS, SWITCHES
from guard.agents.plan import asked_directly, shims_first
from guard.files import jsonc
from guard.findings import Finding
from guard.paths import REAL_CONFIG_HOME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy


PERMISSION = "OPENCODE_PERMISSION"
REAL_PERMISSION = "ROUTEGUARD_OPENCODE_PERMISSION"
"""Where a launch keeps the user's OPENCODE_PERMISSION for launches below it."""


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
    sessions, unreadable = _session_directories(invocation, own, cwd)
    starts = sessions + _starts(invocation, own, cwd)
    elsewhere = starts_elsewhere(invocation, program)
    found = surroundings.gather(own, starts, elsewhere=elsewhere)
    found.unreadable_store += [u for u in unreadable if u not in found.unreadable_store]
    return Facts(
        invocation=invocation,
        environ=own,
        # also for a plan that is only shown: what is not known would be refused
        version=version or binary.version(program, own, AGENT, ask=True),
        found=found,
        suffix=directories.suffix(own, create=write),
        directories=directories.Directories(own),
        provider_ids=catalogue_ids(),
        working_directory=cwd,
        elsewhere=elsewhere,
    )


def starts_elsewhere(invocation: grammar.Invocation, program: str) -> bool:
    """Whether this command of `program`, "" for none, can start in an empty directory.

    `run` works where PWD says, and `models` and `debug` need no project (read in the source of
    1.18.33, and run); the TUI changes to its project before it starts its worker, and the others
    work in the directory they are started in. A command that opens no project starts in the root.
    Behind a script all others start in their project, as the TUI does: a shell sets PWD to the
    directory that it is in, and opencode would work there, and read what lies above it (run).
    """
    if program and not binary.is_agent_itself(program, AGENT):
        return invocation.kind == HARMLESS
    return (
        invocation.kind == HARMLESS
        or invocation.command.name in ("run", "models")
        or invocation.command.name.startswith("debug")
    )


def restore(own: dict[str, str]) -> None:
    """Undo what an outer launch set, if it was one: the name alone may come from anywhere."""
    real = own[REAL_CONFIG_HOME]
    outer = {name: value for name, value in own.items() if name != REAL_CONFIG_HOME}
    if real:
        outer["XDG_CONFIG_HOME"] = real
    else:
        outer.pop("XDG_CONFIG_HOME", None)
    ours = directories.Directories(outer)
    if own.get("XDG_CONFIG_HOME") != ours.config:
        return
    outer["PATH"] = ":".join(p for p in outer.get("PATH", "").split(":") if p != ours.bin)
    permission = outer.pop(REAL_PERMISSION, "")
    if permission and outer.get(PERMISSION, "{}") == "{}":
        outer[PERMISSION] = permission
    own.clear()
    own.update(outer)


def _session_directories(
    invocation: grammar.Invocation, environ: Mapping[str, str], cwd: str
) -> tuple[list[str], list[tuple[str, str]]]:
    """Where the sessions lie that this launch may continue: each works in its own directory.

    Second comes what cannot be read, as (path, why).
    """
    named = [o.value for o in invocation.named("session", "s") if o.value]
    if not named and invocation.command.name != "":
        return [], []
    data = os.path.join(paths.data_home(environ), "opencode")
    return session_directories(
        data, named, os.path.realpath(cwd) if invocation.command.name == "" else ""
    )


def _starts(invocation: grammar.Invocation, environ: Mapping[str, str], cwd: str) -> list[str]:
    """The directories the agent may work in, the likeliest first."""
    starts = []
    named = [o.value for o in invocation.named("dir", "cwd", "project") if o.value]
    if invocation.command.name == "":
        named += invocation.words[:1]
    starts += [os.path.join(cwd, path) for path in named]
    # opencode starts from PWD, not from the directory it is in (read in the source of 1.18.33);
    # the plan sets it right, but a logical path through a link is still a second chain
    logical = environ.get("PWD", "")
    if same_directory(logical, cwd):
        starts.append(logical)
    starts.append(cwd)
    return starts


def renews_logins(facts: Facts) -> bool:
    """Whether opencode would renew a login at its provider when it starts."""
    return any(kind == OAUTH for _, kind in facts.found.credentials)


def open_project(result: Plan, policy: CompiledPolicy, facts: Facts, now: float) -> None:
    """Judge what opening the project starts: its plugins would run, its MCP servers start."""
    result.findings += arguments.logins(facts.invocation, policy, now)
    result.findings += preflight.check_project(facts.found, policy, facts.environ, now)
    result.findings += preflight.check_store(facts.found, policy, now)
    _judge_inline_store(result, policy, now)
    result.environ.update(SWITCHES)
    result.set(shims_first(result, paths.installed_shims(facts.environ)), SETS)


def judge_arguments(
    invocation: grammar.Invocation, policy: CompiledPolicy, now: float
) -> list[Finding]:
    """What a launch refuses of a command line, but for its model."""
    return arguments.other_servers(invocation, policy, now)


def judge_files(result: Plan, policy: CompiledPolicy, facts: Facts, now: float) -> None:
    """Add every finding about the files and stores around."""
    result.findings += preflight.check(facts.found, policy, facts.environ, now)
    _judge_inline_store(result, policy, now)
    if result.kind == REMOTE:
        result.environ.update(SWITCHES)


def _judge_inline_store(result: Plan, policy: CompiledPolicy, now: float) -> None:
    content = result.environ.get("OPENCODE_AUTH_CONTENT", "")
    result.findings += preflight.check_inline_store(content, policy, now)


def _others(facts: Facts, result: Plan) -> set[str]:
    """The ids of providers that are not ours: the catalogue's, and those of stored logins."""
    others = set(facts.provider_ids)
    others.update(name for name, kind in facts.found.credentials if kind != WELLKNOWN)
    content = result.environ.get("OPENCODE_AUTH_CONTENT", "")
    if content:
        try:
            stored = credentials_in(jsonc.parse(content))
        except jsonc.UnreadableError:
            return others  # the launch is refused, see `preflight.check_inline_store`
        others.update(name for name, kind in stored if kind != WELLKNOWN)
    return others


def pin(result: Plan, policy: CompiledPolicy, facts: Facts) -> None:
    """Pin the arguments, the inline config and the directories."""
    environ = facts.environ
    usable, key_variables = take_keys(policy, environ, result)
    installed = next((one for one in facts.found.managed if one.ours), None)
    ids = config.provider_ids(policy, installed.ours if installed else facts.suffix)
    layers = (*facts.found.user, *facts.found.project)
    foreign = facts.provider_ids | config.providers_in(layer.content for layer in layers)
    router = Router(policy, ids, foreign)
    rewriting = arguments.rewrite(facts.invocation, router, ids)
    result.findings += rewriting.findings
    result.argv, result.rewritten = rewriting.argv, rewriting.told
    route = rewriting.route
    if facts.invocation.command.name == "github run":
        route = _model_of_environment(result, router, ids, route)
    result.route = str(route)
    if not has_key(result, policy, usable, route, router):
        return
    kept = facts.outcome = outcome.decide(policy, facts, router, ids, result.environ)
    result.findings += kept.findings
    policy_of_keys = with_keys(policy, usable)
    others = _others(facts, result).difference(ids.values())
    pinned = config.pinned(
        policy_of_keys, ids, key_variables, router.default(), [route, *kept.routes], others
    )
    if rewriting.typed_route and facts.invocation.command.name != "agent create":
        pinned["model"] = f"{ids[route.provider]}/{route.model}"
    elif kept.main:
        result.route = str(router.resolve(kept.main, None))
    if installed:
        result.findings += _judge_installed(installed, pinned, ids)
    if kept.primary_tools:
        pinned["experimental"] = {**pinned["experimental"], "primary_tools": kept.primary_tools}
    instructions = []
    if policy.project_config == "read":
        instructions = [p for p in facts.found.instructions if is_plain_path(p)]
        why = "left out: its path holds a character that opencode would replace"
        for path in facts.found.instructions:
            if not is_plain_path(path):
                result.report("RG302", path, why, where=path, severity="warning")
    text, left_out = config.render(pinned, kept.parts, instructions)
    for key in left_out:
        result.report(
            "RG302",
            key,
            "left out: the config would not fit into one environment variable",
            where="your own opencode config",
            severity="warning",
        )
    config.judge_size(result, text)
    _set_environment(result, policy, facts, text)


def _judge_installed(
    installed: surroundings.Config, pinned: dict[str, Any], ids: Mapping[str, str]
) -> list[Finding]:
    """Findings where the file that routeguard wrote for the administrator is not what pins this
    launch, which it outranks. Its default models become those of `pinned`.
    """
    theirs = {key: installed.content[key] for key in installed.content if key in config.ROUTE_KEYS}
    for key in ("model", "small_model"):
        pinned[key] = theirs.get(key, pinned[key])
    merged = config.merge(pinned, theirs)
    names = {own: name for name, own in ids.items()}
    for own, table in pinned["provider"].items():
        taken = merged["provider"][own]["whitelist"]
        closed = [model for model in table["whitelist"] if model not in taken]
        if closed and own in merged["enabled_providers"]:
            return [
                Finding(
                    "RG201",
                    closed[0],
                    f"the administrator's file allows no model {', '.join(closed)} of {names[own]}",
                    where=installed.path,
                    fix=f"name one of {', '.join(taken)}; or an administrator adds it to models "
                    f"under [gateway.providers.{names[own]}], then:\n"
                    "sudo routeguard managed install",
                )
            ]
        table["whitelist"] = taken
        table["models"] = {**merged["provider"][own]["models"]}
    return [
        Finding(
            "RG302",
            key,
            f"{installed.path} says another {key} than the policy of this launch",
            where=installed.path,
            fix="where the system policy has changed since:\nsudo routeguard managed install\n"
            "or take providers out of your own policy that the system's does not have",
        )
        for key in pinned
        if merged[key] != pinned[key]
    ][:1]


def _model_of_environment(
    result: Plan, router: Router, ids: Mapping[str, str], route: ProviderModel
) -> ProviderModel:
    # `github run` takes its model from MODEL (read in the source of 1.18.33)
    typed = result.environ.get("MODEL", "")
    resolved = router.resolve(typed or None, None)
    if isinstance(resolved, Finding):
        resolved.where = "environment variable MODEL"
        result.findings.append(resolved)
        return route
    model = f"{ids[resolved.provider]}/{resolved.model}"
    result.set({"MODEL": model}, {"MODEL": f"github run starts with {resolved}"})
    return resolved


def _set_environment(result: Plan, policy: CompiledPolicy, facts: Facts, content: str) -> None:
    places, environ = facts.directories, result.environ
    sets = dict(SWITCHES)
    sets["OPENCODE_CONFIG_CONTENT"] = content
    sets["OPENCODE_TEST_HOME"] = places.home
    if policy.project_config == "read" and facts.found.project_folders:
        sets["OPENCODE_CONFIG_DIR"] = places.project(facts.found.directory)
    sets["XDG_CONFIG_HOME"] = places.config
    sets[REAL_CONFIG_HOME] = facts.environ.get("XDG_CONFIG_HOME", "")
    if environ.get(PERMISSION):
        # as a layer of its own it outranks ours; a nested launch gets it back
        sets[PERMISSION] = "{}"
        sets[REAL_PERMISSION] = facts.environ.get(PERMISSION, "")
    # a nested `opencode` by name meets a guard whatever the shell's own PATH holds
    sets["PATH"] = ":".join([places.bin, *filter(None, [environ.get("PATH", "")])])
    if not same_directory(environ.get("PWD", ""), facts.working_directory):
        sets["PWD"] = facts.working_directory
    if facts.elsewhere:
        result.directory = places.empty
    sets |= asked_directly(policy, environ)
    result.set(sets, SETS)


def prepare(policy: CompiledPolicy, facts: Facts, shim: str) -> list[str]:
    """Make the private directories that the plan's environment names. Raises GuardError.

    Returns a sentence for each file that had to be put somewhere else.
    """
    texts = facts.outcome.texts if facts.outcome is not None else {}
    version = ".".join(map(str, facts.version))
    kept = directories.prepare(facts.directories, version, shim, texts)
    if policy.project_config == "read" and facts.found.project_folders:
        kept += directories.prepare_project(
            facts.directories,
            facts.found.directory,
            facts.found.project_folders,
            facts.found,
            version,
            texts,
        )
    return kept
