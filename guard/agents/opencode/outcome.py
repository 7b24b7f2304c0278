"""What goes into a launch from the files around it: config, agents, commands, and their texts.

Puts the layers that `surroundings` found into the sides that `keeping` joins, and says what
forbids the launch: a permission that cannot be read, and an agent that is named and not there,
in whose place opencode would run another one.

Hot-path module. Pure, but for looking up `instructions`.
"""

from __future__ import annotations

import os

from guard.agents.opencode import (
    config,
    frontmatter,
    keeping,
    permissions,
    surroundings,
)
from guard.agents.opencode.facts import Outcome
from guard.agents.opencode.instructions import is_asked_about, resolve
from guard.files import jsonc, quick_json
from guard.findings import FORBIDS, Finding, unreadable
from guard.paths import is_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from guard.agents.opencode.facts import Facts
    from guard.agents.opencode.markdown import Definition
    from guard.agents.opencode.route import Router
    from guard.agents.opencode.surroundings import Config
    from guard.policy.values import CompiledPolicy


_SUBAGENTS = ("explore", "general")


def decide(
    policy: CompiledPolicy,
    facts: Facts,
    router: Router,
    ids: Mapping[str, str],
    environ: Mapping[str, str],
) -> Outcome:
    """What the launch takes over from the files in `facts`. `environ` is the agent's."""
    result, found = Outcome(), facts.found
    notes = result.findings
    withheld = policy.gateway_keys
    reads_project = policy.project_config == "read"
    of_project = _project(facts) if reads_project else []

    def refused(entry: object) -> str:
        return config.unsafe_substitution(entry, environ, withheld=withheld)

    def refused_to_project(entry: object) -> str:
        if config.reads_variables(entry):
            return "it reads a variable with {env:…}"
        return refused(entry)

    def place_of(name: str) -> str:
        path = os.path.join(found.worktree, name)
        if name.startswith("~/"):
            path = os.path.join(found.home, name[2:])
        inside = os.path.realpath(found.boundary(found.directory))
        real = os.path.realpath(path)
        if os.path.exists(path) and not is_within(real, inside):
            return keeping.OUTSIDE
        return keeping.ASKED if is_asked_about(path) else ""

    user = keeping.side(_user(facts), refused, notes)
    project = keeping.side(of_project, refused_to_project, notes)
    others = _others(facts, notes)
    for side in (user, project, *others):
        notes += [unreadable(where, why, FORBIDS) for where, why in side.errors]
    named = _named(facts)
    kept = keeping.join(user, project, others, named, facts.environ.get("HOME", ""), notes)
    _check_default(kept, user, project, notes)
    try:
        commands = keeping.commands(
            user, project, kept, facts.environ.get("HOME", ""), notes, found.skills, place_of
        )
    except permissions.PermissionFormError as error:
        notes.append(unreadable("a skill of the project", str(error), FORBIDS))
        commands = {}
    _check_named(facts, kept, named, notes)

    agents = {
        name: config.with_our_model(name, entry, router, ids, result.routes, notes)
        for name, entry in kept.agents.items()
    }
    commands = {
        name: config.with_our_model(name, entry, router, ids, result.routes, notes)
        for name, entry in commands.items()
    }
    for c in found.user:
        _further(result, c, config.FROM_USER, environ, withheld)
    for c in reversed(found.project):
        if any(source.where == c.path for source in of_project):
            _further(result, c, config.FROM_PROJECT, environ, withheld)
            said = [key for key in ("permission", "tools") if key in c.content]
            if said:
                why = "what it denies or asks for holds, what it allows does not"
                notes.append(config.note(", ".join(said), why, c.path))
    for path in found.outside if reads_project else ():
        why = "is a dotenv file" if is_asked_about(path) else "leads out of the project"
        message = f"left out: it {why}"
        notes.append(Finding("RG302", path, message, where=path, severity="warning"))
    inline = _inline(facts)
    if inline:
        layer = surroundings.Config("OPENCODE_CONFIG_CONTENT", inline)
        layer.instructions, layer.missing = resolve(
            inline.get("instructions"),
            upwards=found.upwards(),
            within=found.boundary(found.directory),
            home=found.home,
            anywhere=True,
        )
        _further(result, layer, config.FROM_INLINE, environ, withheld)
    part: dict[str, Any] = {}
    given = [*found.user_definitions, *found.project_definitions]
    for kind, entries in (("agent", agents), ("command", commands)):
        table = _texts(result, kind, entries, user, project, given)
        if table:
            part[kind] = table
    if user.permission:
        part["permission"] = user.permission
    if kept.default != "build" or user.default:
        part["default_agent"] = kept.default
    for source in (*_user(facts), *of_project):
        experimental = source.content.get("experimental")
        tools = experimental.get("primary_tools") if isinstance(experimental, dict) else None
        for tool in tools if isinstance(tools, list) else []:
            if isinstance(tool, str) and tool not in result.primary_tools:
                result.primary_tools.append(tool)
    unsafe = config.unsafe_substitution(part, environ, withheld=withheld)
    if unsafe:
        notes.append(unreadable("your own opencode config", unsafe, FORBIDS))
    result.parts.append(part)
    result.main = _main(facts, kept, named, agents, commands)
    return result


def _user(facts: Facts) -> list[keeping.Source]:
    found = facts.found
    sources = [keeping.Source(c.path, c.content, unresolved=c.unresolved) for c in found.user]
    sources += [keeping.Source(d.path, definition=d) for d in found.user_definitions]
    return sources


def _project(facts: Facts) -> list[keeping.Source]:
    """The project's files as opencode merges them: plain files from afar, then the folders."""
    found = facts.found
    inside = [
        c
        for c in found.project
        if is_within(c.path, found.worktree)
        and not c.error
        and os.path.dirname(c.path) != os.path.join(found.home, ".opencode")
    ]
    plain = [c for c in inside if os.path.dirname(c.path) not in found.project_folders]
    sources = [keeping.Source(c.path, c.content, unresolved=c.unresolved) for c in reversed(plain)]
    for folder in found.project_folders:
        sources += [
            keeping.Source(c.path, c.content, unresolved=c.unresolved)
            for c in inside
            if os.path.dirname(c.path) == folder
        ]
        sources += [
            keeping.Source(d.path, definition=d)
            for d in found.project_definitions
            if is_within(d.path, folder)
        ]
    return sources


def _inline(facts: Facts) -> dict[str, Any]:
    text = facts.environ.get("OPENCODE_CONFIG_CONTENT", "")
    # our own, seen from below an outer guarded launch, holds nothing of the user's
    if not text.strip() or facts.suffix in text:
        return {}
    try:
        return jsonc.parse(text)
    except jsonc.UnreadableError:
        return {}  # told by `_others`


def _others(facts: Facts, notes: list[Finding]) -> list[keeping.Side]:
    """What can only forbid: it may come from a directory's environment, or is the administrator's.

    An administrator's file outranks the pinned config, but the entries of single agents come after
    what it says about all of them.
    """
    found: list[tuple[str, dict[str, Any]]] = [(c.path, c.content) for c in facts.found.managed]
    unread = []
    for name in ("OPENCODE_CONFIG_CONTENT", "OPENCODE_PERMISSION"):
        text = facts.environ.get(name, "")
        if not text.strip() or (name == "OPENCODE_CONFIG_CONTENT" and facts.suffix in text):
            continue
        try:
            if name == "OPENCODE_PERMISSION":
                found.append((name, {"permission": quick_json.loads(text)}))
            else:
                found.append((name, jsonc.parse(text)))
        except (jsonc.UnreadableError, ValueError, RecursionError) as error:
            why = str(error) if isinstance(error, jsonc.UnreadableError) else "is not valid JSON"
            unread.append((f"environment variable {name}", why))
    found += [(c.path, c.content) for c in facts.found.named]
    unread += [(c.path, c.error) for c in facts.found.named if c.error]
    notes += [unreadable(where, why, FORBIDS) for where, why in unread]
    # each by itself: which of them opencode would let win does not matter to the stricter of all
    unsaid: list[Finding] = []
    sides = []
    for where, content in found:
        said = {k: v for k, v in content.items() if k in config.BY_NAME and k != "command"}
        sides.append(keeping.side([keeping.Source(where, said)], lambda entry: "", unsaid))
    return sides


def _named(facts: Facts) -> list[str]:
    if facts.invocation.command.name not in ("", "run"):
        return []
    return [o.value for o in facts.invocation.named("agent") if o.value]


def _check_default(
    kept: keeping.Kept, user: keeping.Side, project: keeping.Side, notes: list[Finding]
) -> None:
    chosen = kept.agents.get(kept.default, {})
    mode = chosen.get("mode", "subagent" if kept.default in _SUBAGENTS else "")
    usable = kept.default in kept.agents and mode != "subagent" and not chosen.get("hidden")
    if kept.default not in kept.left_out and (usable or kept.default == user.default):
        return
    if kept.default != (user.default or "build"):
        why = f"{kept.default} cannot be the agent a session starts with"
        notes.append(config.left_out("default_agent", why, "project"))
        kept.default = user.default or "build"
        _check_default(kept, user, project, notes)
    elif kept.default in kept.left_out:
        notes.append(_missing(kept.default, "default_agent", kept.left_out[kept.default]))


def _check_named(facts: Facts, kept: keeping.Kept, named: list[str], notes: list[Finding]) -> None:
    managed = [
        name
        for c in facts.found.managed
        for group in ("agent", "mode", "agents")
        for name in c.content.get(group) or ()
    ]
    for name in named:
        if name in kept.left_out:
            notes.append(_missing(name, "command line", kept.left_out[name]))
        elif name not in kept.agents and name not in managed and not facts.found.code:
            notes.append(_missing(name, "command line", "no file defines it"))


def _missing(agent: str, where: str, why: str) -> Finding:
    return Finding(
        "RG302",
        agent,
        f"the agent {agent} cannot be used as it is defined, and opencode would run with "
        f"other permissions: {why}",
        where=where,
        fix="name another agent, or correct its definition; opencode agent list shows them",
    )


def _further(
    result: Outcome,
    layer: Config,
    keys: tuple[str, ...],
    environ: Mapping[str, str],
    withheld: frozenset[str],
) -> None:
    of_project = keys is config.FROM_PROJECT
    told = config.ROUTE_KEYS if of_project else ()  # by `preflight`
    part, said = config.kept_from(
        {key: value for key, value in layer.content.items() if key not in told},
        keys,
        where=layer.path,
        environ=environ,
        withheld=withheld,
        instructions=layer.instructions,
        substitutes=not of_project,
    )
    result.parts.append(part)
    result.findings += said
    for entry, why in layer.missing:
        result.findings.append(config.left_out(f"instructions: {entry}", why, layer.path))


def _texts(
    result: Outcome,
    kind: str,
    entries: dict[str, dict[str, Any]],
    user: keeping.Side,
    project: keeping.Side,
    given: list[Definition],
) -> dict[str, dict[str, Any]]:
    """The entries that go into the inline config; the others stand in one Markdown file each."""
    inline: dict[str, dict[str, Any]] = {}
    in_place = [one for one in given if one.linked]
    body = "prompt" if kind == "agent" else "template"
    for name, entry in entries.items():
        file = project.files.get((kind, name)) or user.files.get((kind, name))
        if file is None:
            if entry or kind == "command" or name not in permissions.BUILT_IN:
                inline[name] = entry
            continue
        if entry == file.fields and file in in_place:
            continue
        fields = {k: v for k, v in entry.items() if k != body}
        text = entry.get(body, "")
        result.texts[file.path] = frontmatter.render(
            {"name": name, **fields}, text if isinstance(text, str) else ""
        )
    for one in given:
        winner = project.files.get((kind, one.name)) or user.files.get((kind, one.name))
        if one.kind == kind and (one is not winner or one.name not in entries):
            result.texts[one.path] = None
    return inline


def _main(
    facts: Facts,
    kept: keeping.Kept,
    named: list[str],
    agents: dict[str, dict[str, Any]],
    commands: dict[str, dict[str, Any]],
) -> str:
    """The pinned model that answers first where the command line names none, "" for the default."""
    agent = named[-1] if named else kept.default
    command: dict[str, Any] = {}
    for option in facts.invocation.named("command"):
        command = commands.get(option.value or "", {})
    if command.get("model"):
        return str(command["model"])
    if isinstance(command.get("agent"), str):
        agent = command["agent"]
    return str(agents.get(agent, {}).get("model", ""))
