"""What of the user's and of a project's configuration a launch keeps, and the stricter of both.

The user's own files hold as they are, but for the route. A project may add agents, commands and
words, and may forbid; it never allows what the user does not allow, and no agent, command or
default of its choosing is looser than the agent the user would have run. An inline config and
`OPENCODE_PERMISSION` can come from a directory's environment: they only tighten, too.

opencode merges objects of all layers deeply and in the order of their keys, and its rules in the
order of the merged objects, so each side is merged here as opencode would merge it alone, and the
two are joined by `permissions.tighten` (read in the source of 1.18.33).

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.opencode import definitions, permissions
from guard.agents.opencode.config import left_out, merge, note, reads_variables
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import Any

    from guard.agents.opencode.markdown import Definition
    from guard.agents.opencode.permissions import Rule
    from guard.findings import Finding

_NAMED_BY_OPENCODE_2 = ("agents", "commands")
_MENTION = r"(?<![\w`])@(\.?[^\s`,.]*(?:\.[^\s`,.]+)*)"
"""What opencode takes for a file or an agent in a prompt (`FILE_REGEX`, 1.18.33)."""

_FIXED = ("disable", "hidden", "mode", "name")
"""What a project does not change of an agent that is not its own."""


OUTSIDE, ASKED = "outside", "asked"


class Side(Record):
    """Everything one side says about agents and commands, merged as opencode would merge it.

    `permission` and `agents` are in the spelling of today; `files` maps an agent or command to the
    Markdown file that defines it last; `left_out` maps an agent's name to the reason.
    """

    permission: dict[str, Any] = {}  # noqa: RUF012
    agents: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    commands: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    default: str = ""
    files: dict[tuple[str, str], Definition] = {}  # noqa: RUF012
    left_out: dict[str, str] = {}  # noqa: RUF012
    errors: list[tuple[str, str]] = []  # noqa: RUF012

    def rules_of(self, agent: str, home: str) -> list[Rule]:
        """The rules of this side alone for `agent`, without those of opencode itself."""
        own = self.agents.get(agent, {}).get("permission", {})
        return [*permissions.rules(self.permission, home), *permissions.rules(own, home)]


class Source(Record):
    """One place that a side is read from: a config file, or a Markdown file.

    `content` is the object of a config file; `definition` the Markdown file; `unresolved` maps
    (group, name) of an entry to why it cannot be kept.
    """

    where: str
    content: Mapping[str, Any] = {}
    definition: Definition | None = None
    unresolved: Mapping[tuple[str, str], str] = {}


def side(sources: Iterable[Source], refused: Callable[[object], str], notes: list[Finding]) -> Side:
    """Merge `sources`, weakest first. `refused` says why an entry cannot be kept, "" if it can.

    What is left out is added to `notes`.
    """
    found = Side()
    tools: dict[str, str] = {}
    modes: dict[str, dict[str, Any]] = {}
    for source in sources:
        entries: list[tuple[str, str, object]] = []
        if source.definition is not None:
            one = source.definition
            if one.error:
                if one.kind == "agent":
                    found.left_out[one.name] = f"{source.where} {one.error}"
                notes.append(left_out(f"{one.kind}.{one.name}", one.error, source.where))
                continue
            entries.append((one.kind, one.name, one.fields))
        content = source.content
        try:
            if "permissions" in content:
                raise permissions.PermissionFormError("permissions is a key of opencode 2")
            if "permission" in content:
                found.permission = merge(found.permission, permissions.read(content["permission"]))
            if "tools" in content:
                tools.update(permissions.of_tools(content["tools"]))
        except permissions.PermissionFormError as error:
            found.errors.append((source.where, str(error)))
        if isinstance(content.get("default_agent"), str):
            found.default = content["default_agent"]
        for key, kind in (("agent", "agent"), ("mode", "mode"), ("command", "command")):
            group = content.get(key)
            if isinstance(group, dict):
                entries += [(kind, name, entry) for name, entry in group.items()]
        for key in _NAMED_BY_OPENCODE_2:
            group = content.get(key)
            for name in group if isinstance(group, dict) else ():
                why = "it uses the syntax of opencode 2"
                notes.append(left_out(f"{key}.{name}", why, source.where))
                if key == "agents":
                    found.left_out.setdefault(name, f"{source.where} uses the syntax of opencode 2")
        for kind, name, entry in entries:
            if name == "__proto__":
                continue  # JavaScript drops it
            reason = source.unresolved.get((kind, name), "")
            if not reason and source.definition is None:
                # opencode replaces nothing in Markdown files
                reason = refused({name: entry})
            if not reason and not isinstance(entry, dict):
                reason = "it is not an object"
            if reason:
                notes.append(left_out(f"{kind}.{name}", reason, source.where))
                if kind != "command":
                    found.left_out[name] = f"{source.where}: {reason}"
                continue
            assert isinstance(entry, dict)
            if kind == "command":
                kept = {k: v for k, v in entry.items() if k in definitions.COMMAND_KEYS}
                found.commands[name] = merge(found.commands.get(name, {}), kept)
            else:
                try:
                    kept, dropped = definitions.agent(entry, name)
                except permissions.PermissionFormError as error:
                    found.errors.append((source.where, str(error)))
                    continue
                if dropped:
                    keys = ", ".join(f"{name}.{key}" for key in dropped)
                    why = "not passed on: only options that shape an answer are"
                    notes.append(note(keys, why, source.where))
                table = modes if kind == "mode" else found.agents
                table[name] = merge(table.get(name, {}), kept)
            if source.definition is not None:
                found.files[kind, name] = source.definition
    for name, entry in modes.items():
        found.agents[name] = merge(found.agents.get(name, {}), {**entry, "mode": "primary"})
    found.permission = merge(tools, found.permission)
    # what one file left out and another one defines is there
    found.left_out = {n: why for n, why in found.left_out.items() if n not in found.agents}
    return found


def unreadable_in(content: Mapping[str, Any]) -> list[str]:
    """What a launch cannot read of the permissions in a project's config."""

    def left_out(entry: object) -> str:
        return "it reads a variable" if reads_variables(entry) else ""

    return [why for _, why in side([Source("", content)], left_out, []).errors]


class Kept(Record):
    """What a launch keeps: `agents`, `commands` and `default` are the final ones.

    `left_out` maps agents that are not there to the reason.
    """

    agents: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    commands: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    default: str = ""
    left_out: dict[str, str] = {}  # noqa: RUF012


def join(
    user: Side,
    project: Side,
    others: list[Side],
    named: Collection[str],
    home: str,
    notes: list[Finding],
) -> Kept:
    """The agents, commands and default of the launch.

    `others` only tighten. `named` are the agents that the command line names.
    """
    kept = Kept()
    kept.left_out = {**project.left_out, **user.left_out}
    own = {*permissions.BUILT_IN, *user.agents}
    default = user.default or "build"
    chosen = _chosen(project, own, default, kept, notes)
    for name in [*permissions.BUILT_IN, *user.agents, *project.agents]:
        if name in kept.agents:
            continue
        entry = dict(user.agents.get(name, {}))
        theirs = dict(project.agents.get(name, {}))
        theirs.pop("permission", None)
        if name in own:
            for key in _FIXED:
                switches_off = key == "disable" and theirs.get(key) is True
                if key in theirs and not (switches_off and name not in (default, *named)):
                    notes.append(note(f"agent.{name}.{key}", "a project may not change it", ""))
                    del theirs[key]
        else:
            theirs.pop("name", None)
        written = entry.get("permission", {})
        base = [
            *permissions.DEFAULTS,
            *permissions.BUILT_IN.get(name, []),
            *permissions.rules(user.permission, home),
            *permissions.rules(written, home),
        ]
        against = [side.rules_of(name, home) for side in (project, *others)]
        if name in chosen:
            models = dict.fromkeys((default, *named))
            against += [_restrictions(model, user, home) for model in models if model != name]
        entry = merge(entry, theirs)
        entries = permissions.tighten(base, against)
        if entries:
            entry["permission"] = permissions.join(written, entries)
        kept.agents[name] = entry
        if entry.get("disable"):
            kept.left_out.setdefault(name, "it is switched off in a config file")
    return kept


def commands(
    user: Side,
    project: Side,
    kept: Kept,
    home: str,
    notes: list[Finding],
    skills: Iterable[Definition] = (),
    place_of: Callable[[str], str] = lambda name: "",
) -> dict[str, dict[str, Any]]:
    """The commands of the launch: the user's, and over them the project's.

    In a command opencode asks for no permission: it runs what stands in `` !`…` ``, attaches the
    file, and calls the agent, that is named behind an `@`. Of a project's commands those are kept
    which do only what is always allowed to the agents they may run as. opencode also makes a
    command of each skill that no command is named like: in the place of one that would do more
    stands one that asks the model to load the skill. `place_of` tells of a file named behind an
    `@` whether it is OUTSIDE of the project, or one ASKED about before it is read. Raises
    PermissionFormError if a skill's name cannot be read.
    """
    found = dict(user.commands)
    agents = [kept.default, user.default or "build"]

    def unasked(entry: Mapping[str, Any]) -> str:
        agent = entry.get("agent")
        names = [*agents, agent] if isinstance(agent, str) else agents
        restrictions = [_restrictions(n, user, home) for n in names]
        chosen = kept.agents.get(agent, {}) if isinstance(agent, str) else {}
        mode = chosen.get("mode", "subagent" if agent in ("explore", "general") else "")
        if (entry.get("subtask") or mode == "subagent") and not all(
            permissions.only_allows([("*", "*", "allow"), *own], "task") for own in restrictions
        ):
            return "it calls a subagent by itself, and task is not always allowed"
        return _unasked(entry.get("template"), restrictions, place_of)

    for name, entry in project.commands.items():
        agent = entry.get("agent")
        if agent is not None and not (isinstance(agent, str) and agent in kept.agents):
            reason = f"it names the agent {agent!r:.80}, which does not exist"
        else:
            reason = unasked(entry)
        if reason:
            notes.append(left_out(f"command.{name}", reason, "project"))
            continue
        found[name] = merge(found.get(name, {}), entry)
    for name, entry in list(found.items()):
        agent = entry.get("agent")
        if isinstance(agent, str) and agent in kept.left_out:
            notes.append(left_out(f"command.{name}", f"its agent {agent} is left out", ""))
            del found[name]
    for skill in skills:
        reason = unasked(skill.fields)
        if not reason or skill.name in found:
            continue
        if skill.error or not _is_plain(skill.name):
            why = skill.error or "its name may hold only letters, digits, spaces and -_.:"
            raise permissions.PermissionFormError(
                f"{skill.path} {why}; it is a command as well, and {reason}"
            )
        notes.append(note(f"skill.{skill.name}", f"no command: {reason}", skill.path))
        found[skill.name] = {
            "description": f"the skill {skill.name}",
            "template": f"Load the skill {skill.name} and do what it says.\n$ARGUMENTS",
        }
    return found


def _is_plain(name: str) -> bool:
    return all(c.isalnum() or c in "-_.: " for c in name)


def _unasked(
    template: object, restrictions: list[list[Rule]], place_of: Callable[[str], str]
) -> str:
    """What of the text of a command opencode does without asking, though it may not; "" if nothing.

    `restrictions` are the rules of the agents that it may run as.
    """
    if not isinstance(template, str) or not ("!" in template or "@" in template):
        return ""
    import re

    def allowed(tool: str, *defaults: Rule) -> bool:
        base = defaults or (("*", "*", "allow"),)
        return all(permissions.only_allows([*base, *own], tool) for own in restrictions)

    # as opencode fills it in, each with nothing: an argument can be that
    numbered = re.sub(r"\$[0-9]+", "", template)
    forms = (template, numbered, numbered.replace("$ARGUMENTS", ""))
    if any("!`" in form for form in forms) and not allowed("bash", *permissions.DEFAULTS):
        return "it runs a shell command by itself, and bash is not always allowed"
    for name in dict.fromkeys(n for form in forms for n in re.findall(_MENTION, form) if n):
        place = place_of(name)
        if place == OUTSIDE and not allowed("external_directory", *permissions.DEFAULTS):
            return f"it attaches {name:.80} by itself, which leads out of the project"
        if not allowed("read", *(permissions.DEFAULTS if place == ASKED else ())):
            return f"it attaches {name:.80} by itself, and read is not always allowed"
        if not allowed("task"):
            return f"it calls {name:.80} by itself, and task is not always allowed"
    return ""


def _chosen(
    project: Side, own: Collection[str], default: str, kept: Kept, notes: list[Finding]
) -> set[str]:
    """The agents that run because a project says so: its own, and those it names."""
    chosen = {name for name in project.agents if name not in own}
    known = {*own, *project.agents}
    kept.default = default
    if project.default:
        if project.default in known:
            kept.default = project.default
            chosen.add(project.default)
        else:
            notes.append(left_out("default_agent", "there is no such agent", "project"))
    for command in project.commands.values():
        agent = command.get("agent")
        if isinstance(agent, str) and agent in known:
            chosen.add(agent)
    return chosen


def _restrictions(agent: str, user: Side, home: str) -> list[Rule]:
    """What the user and opencode say about `agent`, without opencode's defaults for all."""
    built_in = [r for r in permissions.BUILT_IN.get(agent, []) if r[2] != "allow"]
    exceptions = permissions.BUILT_IN.get(agent, []) if built_in else []
    return [*exceptions, *user.rules_of(agent, home)]
