"""What of the user's and of a project's configuration a launch of opencode 2 keeps.

The user's own file holds as it is, but for the route and for plugins. Of a project nothing is
loaded; what it forbids holds all the same: denials as policies, which no agent can lift, and asks
behind the permissions of each agent. Both syntaxes are read, that of 1.x and that of 2.x
(documentation of the migration); what is kept is written in that of 2.x alone, for within one
entry they may not be mixed.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.opencode import permissions
from guard.agents.opencode.config import left_out, merge, unsafe_substitution, with_our_model
from guard.agents.opencode2.config import PERMISSION
from guard.findings import FORBIDS, Finding, unreadable
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

    from guard.agents.opencode.permissions import Rule
    from guard.agents.opencode.route import ProviderModel, Router
    from guard.agents.opencode.surroundings import Config

SAME = (
    *("attachment", "compaction", "default_agent", "formatter", "lsp", "mcp", "media", "shell"),
    *("skills", "snapshot", "snapshots", "tool_output", "username", "warming", "watcher"),
    *("websearch", "worktree"),
)
"""Keys of the user's own file that are kept as they are: none chooses a route (documentation)."""

EXPERIMENTAL = ("portable_shell_scanner", "subagent_depth")
"""What is kept of the key `experimental`."""

AGENT_KEYS = (
    *("color", "description", "disabled", "hidden", "mode", "model", "permissions", "steps"),
    "system",
)
COMMAND_KEYS = ("agent", "description", "model", "subagent", "template")
_RENAMED = {"prompt": "system", "disable": "disabled", "maxSteps": "steps", "subtask": "subagent"}
_TOOLS = {"bash": "shell", "task": "subagent", "write": "edit", "patch": "edit"}
_READ = (
    *SAME,
    *("$schema", "agent", "agents", "command", "commands", "experimental", "mode", "permission"),
    *("permissions", "policies", "tools"),
)

DEFAULTS: list[Rule] = [
    ("*", "*", "allow"),
    ("external_directory", "*", "ask"),
    ("read", "*.env", "ask"),
    ("read", "*.env.*", "ask"),
    ("read", "*.env.example", "allow"),
]
"""What every agent of 2.x begins with (documentation of permissions)."""

BUILT_IN: dict[str, list[Rule]] = {
    "build": [("question", "*", "allow")],
    "plan": [("question", "*", "allow"), ("edit", "*", "deny")],
    "general": [("question", "*", "deny"), ("subagent", "*", "deny")],
    "explore": [
        ("*", "*", "deny"),
        *((tool, "*", "allow") for tool in ("read", "glob", "grep", "webfetch", "websearch")),
        ("external_directory", "*", "ask"),
        ("read", "*.env", "ask"),
        ("read", "*.env.*", "ask"),
    ],
}
"""The agents that 2.x brings along, with the rules it gives them after DEFAULTS (documentation).
The plan agent may edit its own plans; that is left out, so that a project's word comes last."""


class Kept(Record):
    """`values` go into the configuration; `servers` are the user's own MCP servers; `user` and
    `project` are policies; `routes` are models to declare."""

    values: dict[str, Any] = {}  # noqa: RUF012
    servers: list[str] = []  # noqa: RUF012
    user: list[dict[str, str]] = []  # noqa: RUF012
    project: list[dict[str, str]] = []  # noqa: RUF012
    routes: list[ProviderModel] = []  # noqa: RUF012
    findings: list[Finding] = []  # noqa: RUF012


def keep(
    user: Iterable[Config],
    project: Iterable[Config],
    router: Router,
    ids: Mapping[str, str],
    environ: Mapping[str, str],
    withheld: Collection[str],
) -> Kept:
    """What a launch takes over from the files of `user` (weakest first) and of `project`.

    `environ` is the agent's, `withheld` are the variables of the gateway's keys.
    """
    kept = Kept()
    own: list[Rule] = []
    agents: dict[str, dict[str, Any]] = {}
    commands: dict[str, dict[str, Any]] = {}

    def usable(key: str, entry: object, where: str) -> bool:
        why = unsafe_substitution(entry, environ, withheld=withheld)
        if why:
            kept.findings.append(left_out(key, why, where))
        return not why

    for config in user:
        content, where = config.content, config.path
        left = sorted(key for key in content if key not in _READ)
        if left:
            kept.findings.append(left_out(", ".join(left), "the launch decides these", where))
        values = {key: content[key] for key in SAME if key in content}
        values = {key: v for key, v in values.items() if key == "mcp" or usable(key, v, where)}
        if "mcp" in values:
            values["mcp"] = _servers(values["mcp"], usable, where)
        if "skills" in values:
            values["skills"] = _skills(values["skills"])
        experimental = content.get("experimental")
        if isinstance(experimental, dict):
            values["experimental"] = {k: v for k, v in experimental.items() if k in EXPERIMENTAL}
        kept.values = merge(kept.values, values)
        kept.user += _policies(content)
        try:
            own += _rules(content, "")
            for name, entry in _entries(content, ("agent", "mode"), "agents"):
                if usable(f"agents.{name}", entry, where):
                    agents[name] = merge(agents.get(name, {}), _agent(entry, name))
        except permissions.PermissionFormError as error:
            kept.findings.append(unreadable(where, str(error), FORBIDS))
        for name, entry in _entries(content, ("command",), "commands"):
            if usable(f"commands.{name}", entry, where):
                plain = {_RENAMED.get(k, k): v for k, v in entry.items()}
                commands[name] = {k: v for k, v in plain.items() if k in COMMAND_KEYS}
    kept.servers = [n for n in _names_of_servers(kept.values.get("mcp")) if not {*"*?"} & {*n}]
    _restrict(kept, project, own, agents)
    if own:
        kept.values["permissions"] = [*_as_rules(own), *kept.values.get("permissions", [])]
    for key, table in (("agents", agents), ("commands", commands)):
        if table:
            kept.values[key] = {
                name: with_our_model(name, entry, router, ids, kept.routes, kept.findings)
                for name, entry in table.items()
            }
    return kept


def _restrict(
    kept: Kept,
    project: Iterable[Config],
    own: list[Rule],
    agents: dict[str, dict[str, Any]],
) -> None:
    """Put what the `project` forbids behind everybody's permissions."""
    everybody: list[Rule] = []
    single: dict[str, list[Rule]] = {}
    for config in project:
        try:
            found = _rules(config.content, "")
            everybody += found
            for name, entry in _entries(config.content, ("agent", "mode"), "agents"):
                said = _rules(entry, name)
                if said:
                    single.setdefault(name, []).extend(said)
        except permissions.PermissionFormError as error:
            kept.findings.append(unreadable(config.path, str(error), FORBIDS))
            continue
        kept.project += [s for s in _policies(config.content) if s["effect"] == "deny"]
        read = ("$schema", "permission", "permissions", "policies", "tools")
        left = sorted(key for key in config.content if key not in read)
        if left:
            why = "of a project, opencode 2 is only told what it forbids"
            kept.findings.append(left_out(", ".join(left), why, config.path))
    kept.project += [
        {"effect": "deny", "action": action, "resource": f"{tool}:{resource}"}
        for action in PERMISSION
        for tool, resource, effect in everybody
        if effect == "deny"
    ]
    if not everybody and not single:
        return
    entries = permissions.tighten([*DEFAULTS, *own], [everybody])
    behind = _as_rules(permissions.rules(entries))
    if behind:
        kept.values["permissions"] = behind
    for name in dict.fromkeys((*BUILT_IN, *agents)):
        written = [_as_tuple(r) for r in agents.get(name, {}).get("permissions", [])]
        base = [*DEFAULTS, *BUILT_IN.get(name, []), *own, *written]
        entries = permissions.tighten(base, [everybody, single.get(name, [])])
        if entries:
            entry = agents.setdefault(name, {})
            entry["permissions"] = [
                *entry.get("permissions", []),
                *_as_rules(permissions.rules(entries)),
            ]


def unreadable_in(content: Mapping[str, Any]) -> list[str]:
    """Why a launch would not read what the project's config `content` forbids; mostly nothing."""
    try:
        _rules(content, "")
        for name, entry in _entries(content, ("agent", "mode"), "agents"):
            _rules(entry, name)
    except permissions.PermissionFormError as error:
        return [str(error)]
    return []


def _entries(
    content: Mapping[str, Any], older: tuple[str, ...], newer: str
) -> Iterable[tuple[str, dict[str, Any]]]:
    """(name, entry) of a table in both syntaxes; the newer one comes last, and wins."""
    for key in (*older, newer):
        table = content.get(key)
        for name, entry in table.items() if isinstance(table, dict) else ():
            if isinstance(entry, dict):
                yield name, {**entry, "mode": "primary"} if key == "mode" else entry


def _agent(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    plain = {_RENAMED.get(key, key): value for key, value in entry.items()}
    found = {key: value for key, value in plain.items() if key in AGENT_KEYS}
    variant = plain.get("variant")
    if isinstance(variant, str) and isinstance(found.get("model"), str):
        found["model"] = f"{found['model'].partition('#')[0]}#{variant}"
    found.pop("permissions", None)
    said = _rules(entry, name)
    return {**found, "permissions": _as_rules(said)} if said else found


def _rules(content: Mapping[str, Any], where: str) -> list[Rule]:
    """The permissions in `content`, a configuration or an agent's entry, in either syntax.

    Raises PermissionFormError for what cannot be read.
    """
    place = f"{where}.permission".lstrip(".")
    found: list[Rule] = []
    if "permissions" in content:
        said = content["permissions"]
        if not isinstance(said, list):
            raise permissions.PermissionFormError(f"{place}s is not a list")
        for rule in said:
            if not isinstance(rule, dict) or not all(
                isinstance(rule.get(key), str) for key in ("action", "resource", "effect")
            ):
                raise permissions.PermissionFormError(
                    f"{place}s holds a rule without action, resource and effect"
                )
            if rule["effect"] not in permissions.ACTIONS:
                raise permissions.PermissionFormError(
                    f"an effect in {place}s is not one of {', '.join(permissions.ACTIONS)}"
                )
            found.append(_as_tuple(rule))
        return found
    older: dict[str, Any] = {}
    if "tools" in content:
        older = {**permissions.of_tools(content["tools"], f"{where}.tools".lstrip("."))}
    if "permission" in content:
        older = merge(older, permissions.read(content["permission"], place))
    return [(_TOOLS.get(t, t), pattern, e) for t, pattern, e in permissions.rules(older)]


def _as_tuple(rule: Mapping[str, str]) -> Rule:
    return rule["action"], rule["resource"], rule["effect"]


def _as_rules(found: Iterable[Rule]) -> list[dict[str, str]]:
    return [{"action": a, "resource": r, "effect": e} for a, r, e in found]


def _policies(content: Mapping[str, Any]) -> list[dict[str, str]]:
    """The policies in `content` that say nothing about providers, under both of their names."""
    experimental = content.get("experimental")
    older = experimental.get("policies") if isinstance(experimental, dict) else None
    found = []
    for statements in (older, content.get("policies")):
        for each in statements if isinstance(statements, list) else []:
            fields = ("action", "resource", "effect")
            if not isinstance(each, dict) or not all(isinstance(each.get(k), str) for k in fields):
                continue  # opencode drops it as well
            statement = {key: each[key] for key in ("effect", "action", "resource")}
            # an allowance lifts a denial that is written before it: of tools that is the user's
            lifts = statement["effect"] != "deny" and statement["action"] not in PERMISSION
            if statement["action"] != "provider.use" and not lifts and statement not in found:
                found.append(statement)
    return found


def _servers(mcp: object, usable: Any, where: str) -> dict[str, Any]:
    """The MCP servers that are kept, in the form they are written in."""
    if not isinstance(mcp, dict):
        return {}
    found = {}
    for name, entry in mcp.items():
        if name == "servers" and isinstance(entry, dict):
            found[name] = {n: e for n, e in entry.items() if usable(f"mcp.{n}", e, where)}
        elif usable(f"mcp.{name}", entry, where):
            found[name] = entry
    return found


def _names_of_servers(mcp: object) -> list[str]:
    if not isinstance(mcp, dict):
        return []
    servers = mcp.get("servers")
    named = list(servers) if isinstance(servers, dict) else []
    return [*named, *(n for n, e in mcp.items() if n != "servers" and isinstance(e, dict))]


def _skills(value: object) -> object:
    """Without those that would be fetched at every start."""
    if isinstance(value, dict):
        return {key: paths for key, paths in value.items() if key != "urls"}
    if isinstance(value, list):
        return [path for path in value if isinstance(path, str) and "://" not in path]
    return []
