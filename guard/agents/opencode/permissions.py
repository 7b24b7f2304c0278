"""What opencode's permissions say, and how two of them become the stricter of both.

opencode 1.18.33 turns each `permission` object into a list of rules (tool, pattern, action), in
the order of the object, joins the lists of all layers of an agent, and takes the last rule whose
tool and pattern both match, else "ask" (read in its source: `fromConfig`, `merge`, `evaluate`; run
with `opencode debug agent`). So neither order nor "the stricter key" may be assumed: `{"*":
"deny"}` below `{"bash": "allow"}` forbids everything, and above it everything but bash.

`tighten` makes entries that, appended to an agent's own, leave no call looser than the agent's own
rules nor than somebody else's. Patterns of calls are never compared: asks go behind what is
allowed, and denials behind those.

Hot-path module. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Rule = tuple[str, str, str]
    """(tool, pattern, action), tool and pattern with wildcards."""
    Pairs = list[tuple[str, str]]
    """(pattern, action) of one tool, in the order of a `permission` object: the last one wins."""

ACTIONS = ("allow", "ask", "deny")
"""From loose to strict."""

DEFAULTS: list[Rule] = [
    ("*", "*", "allow"),
    ("doom_loop", "*", "ask"),
    ("external_directory", "*", "ask"),
    ("question", "*", "deny"),
    ("plan_enter", "*", "deny"),
    ("plan_exit", "*", "deny"),
    ("read", "*", "allow"),
    ("read", "*.env", "ask"),
    ("read", "*.env.*", "ask"),
    ("read", "*.env.example", "allow"),
]
"""What every agent of 1.18.33 begins with (`opencode debug agent build`), without the directories
of its own that it allows under `external_directory`: they differ by machine."""

BUILT_IN: dict[str, list[Rule]] = {
    "build": [("question", "*", "allow"), ("plan_enter", "*", "allow")],
    "plan": [
        ("question", "*", "allow"),
        ("plan_exit", "*", "allow"),
        ("task", "general", "deny"),
        ("edit", "*", "deny"),
        ("edit", ".opencode/plans/*.md", "allow"),
    ],
    "general": [("todowrite", "*", "deny")],
    "explore": [
        ("*", "*", "deny"),
        *((tool, "*", "allow") for tool in ("grep", "glob", "list", "bash")),
        *((tool, "*", "allow") for tool in ("webfetch", "websearch", "read")),
        ("external_directory", "*", "ask"),
    ],
    "compaction": [("*", "*", "deny")],
    "title": [("*", "*", "deny")],
    "summary": [("*", "*", "deny")],
}
"""The agents that opencode brings along, with the rules it gives them after DEFAULTS."""

_FLAT = ("todowrite", "question", "webfetch", "websearch", "doom_loop")
"""Tools whose permission has no patterns; opencode does not start with some (schema of 1.18.33)."""

_IMPLIED = ("task", "todowrite")
"""Tools that a subagent is denied unless a rule names them by exactly this name."""


_MOST_TOOLS = 200
"""Tools that one `permission` object may name: each is compared with each."""


class PermissionFormError(Exception):
    """A permission that opencode does not start with; the text says where, without the value."""


def read(value: object, where: str = "permission") -> dict[str, Any]:
    """The `permission` object that `value` stands for: a string means all tools.

    Raises PermissionFormError for what opencode refuses, and for numbers as names: objects of
    JavaScript put those first, whatever their place in the file.
    """
    if isinstance(value, str):
        value = {"*": value}
    if not isinstance(value, dict):
        raise PermissionFormError(f"{where} is neither an object nor an action")
    if len(value) > _MOST_TOOLS:
        raise PermissionFormError(f"{where} names more than {_MOST_TOOLS} tools")
    found: dict[str, Any] = {}
    for name, said in value.items():
        place = f"{where}.{name}"
        if name == "__proto__":
            continue  # JavaScript drops it
        tool = name.replace("\\", "/")  # the same to opencode
        if isinstance(said, str):
            actions = [("", said)]
        elif isinstance(said, dict) and tool not in _FLAT:
            actions = list(said.items())
        else:
            raise PermissionFormError(f"{place} is not one of {', '.join(ACTIONS)}")
        for pattern, action in actions:
            if not isinstance(action, str) or action not in ACTIONS:
                raise PermissionFormError(f"{place} is not one of {', '.join(ACTIONS)}")
            if _is_number(tool) or _is_number(pattern):
                raise PermissionFormError(f"{place} is named by a number, which changes the order")
        found[tool] = (
            said if isinstance(said, str) else {p: a for p, a in actions if p != "__proto__"}
        )
    return found


def of_tools(value: object, where: str = "tools") -> dict[str, str]:
    """What the older `tools: {bash: false}` means as a `permission` object.

    Raises PermissionFormError.
    """
    if not isinstance(value, dict):
        raise PermissionFormError(f"{where} is not an object")
    found: dict[str, str] = {}
    for tool, wanted in value.items():
        if not isinstance(wanted, bool):
            raise PermissionFormError(f"{where}.{tool} is neither true nor false")
        if _is_number(tool):
            raise PermissionFormError(f"{where}.{tool} is named by a number")
        name = "edit" if tool in ("write", "edit", "patch") else tool
        found[name] = "allow" if wanted else "deny"
    return found


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def rules(permission: Mapping[str, Any], home: str = "") -> list[Rule]:
    """The rules of a `permission` object as `read` returns it, in the order they are looked at."""
    found: list[Rule] = []
    for tool, said in permission.items():
        pairs = said.items() if isinstance(said, dict) else (("*", said),)
        found += [(tool, _at_home(pattern, home), action) for pattern, action in pairs]
    return found


def _at_home(pattern: str, home: str) -> str:
    if not home:
        return pattern
    if pattern == "~" or pattern.startswith("~/"):
        return home + pattern[1:]
    return home + pattern[5:] if pattern.startswith("$HOME") else pattern


def tighten(own: list[Rule], others: Iterable[list[Rule]]) -> dict[str, Any]:
    """Entries for a `permission` object that comes after `own`, so that `others` hold as well.

    For every call the result is at least as strict as that of `own`, and as that of each of
    `others`, which have no opinion (allow) where none of their rules match. It is stricter than
    needed where both restrict one tool by patterns, and at least one of them has exceptions.
    """
    against = [other for other in others if any(action != "allow" for _, _, action in other)]
    if not against:
        return {}
    names = list(dict.fromkeys(tool for found in (own, *against) for tool, _, _ in found))
    wides = [name for name in names if "*" in name or "?" in name]
    entries: dict[str, Any] = {}

    def narrowness(name: str) -> tuple[int, bool]:
        return sum(_covers(wide, name) for wide in wides), name not in wides

    # broad ones first: the later entry wins where both match
    for tool in sorted(names, key=narrowness):
        said = [_of_tool(other, tool, "allow") for other in against]
        beside = [action for found in (own, *against) for action in _beside(found, tool)]
        if not any(map(_restricts, said)) and not any(_meet(wide, tool) for wide in entries):
            continue
        pairs = _of_tool(own, tool, "ask")
        for other in said:
            pairs = _both(pairs, other)
            if all(action == pairs[0][1] for _, action in pairs):
                pairs = pairs[:1]
        if beside:
            pairs = [("*", _worst([*(action for _, action in pairs), *beside]))]
        name = tool
        if tool in _IMPLIED and all(named != tool for named, _, _ in own):
            # naming it would take the denial away that subagents have without a rule
            name = tool[:-1] + "?"
        if tool in _FLAT:
            entries[name] = _worst([action for _, action in pairs])
        elif len(pairs) == 1:
            entries[name] = pairs[0][1]
        else:
            entries[name] = {}
            for pattern, action in pairs:
                entries[name].pop(pattern, None)  # the last one counts, in its place
                entries[name][pattern] = action
    return entries


def join(permission: Mapping[str, Any], entries: Mapping[str, Any]) -> dict[str, Any]:
    """`permission` with `entries` of `tighten` in the place of its own, at the end."""
    kept: dict[str, Any] = {t: said for t, said in permission.items() if t not in entries}
    return {**kept, **entries}


def only_allows(found: list[Rule], tool: str) -> bool:
    """Whether every call of `tool` is allowed by `found`."""
    return not _restricts(_of_tool(found, tool, "ask")) and not _beside(found, tool)


def _of_tool(found: list[Rule], tool: str, otherwise: str) -> Pairs:
    """What `found` says about all of `tool`, from the last rule for every call on."""
    pairs = [("*", otherwise)]
    wides = {name for name in {name for name, _, _ in found} if _covers(name, tool)}
    for wide, pattern, action in found:
        if wide in wides:
            if pattern and not pattern.strip("*"):
                pairs = []
            pairs.append((pattern if pairs else "*", action))
    return pairs


def _beside(found: list[Rule], tool: str) -> list[str]:
    """What `found` restricts of some tools of the wildcard `tool` and of others as well."""
    restricted = {name for name, _, action in found if action != "allow"}
    names = {
        name
        for name in restricted
        if _meet(name, tool) and not _covers(name, tool) and not _covers(tool, name)
    }
    return [action for name, _, action in found if name in names]


def _both(one: Pairs, two: Pairs) -> Pairs:
    """Pairs at least as strict as both, each of which begins with one for every call."""
    if not _restricts(one) or not _restricts(two):
        return two if _restricts(two) else one
    for plain, other in ((one, two), (two, one)):
        if len(plain) == 1:
            return [(pattern, _worst([action, plain[0][1]])) for pattern, action in other]
    if _excepts(two) and not _excepts(one):
        one, two = two, one
    asks = [(pattern, action) for pattern, action in two if action == "ask"]
    if not _excepts(one):
        one = [*one, *asks, *_denials(one)]
    elif asks:
        one = [(pattern, _worst([action, "ask"])) for pattern, action in one]
    return [*one, *_denials(two)]


def _excepts(pairs: Pairs) -> bool:
    """Whether something is denied with exceptions, which would be lost where it is repeated."""
    actions = [action for _, action in pairs]
    return "deny" in actions and any(a != "deny" for a in actions[actions.index("deny") :])


def _denials(pairs: Pairs) -> Pairs:
    return [(pattern, action) for pattern, action in pairs if action == "deny"]


def _restricts(pairs: Pairs) -> bool:
    return any(action != "allow" for _, action in pairs)


def _worst(actions: Iterable[str]) -> str:
    return max(actions, key=ACTIONS.index)


def _covers(wide: str, tool: str) -> bool:
    """Whether every name that `tool` means is meant by `wide`; False where that is not plain.

    `*` is anything, `?` one character (read in the source of 1.18.33).
    """
    if wide == tool or (wide and not wide.strip("*")):
        return True
    if "*" not in wide and "?" not in wide:
        return False
    optional = wide.endswith(" *") or tool.endswith(" *")
    if ("?" in wide and ("*" in tool or not tool.isascii())) or optional:
        return False
    return _matches(wide, tool)


def _matches(pattern: str, text: str) -> bool:
    # greedy: a star takes more only where what follows does not fit
    at = here = 0
    star, after = -1, 0
    while at < len(text):
        if here < len(pattern) and pattern[here] == "*":
            star, after = here, at
            here += 1
        elif here < len(pattern) and pattern[here] in ("?", text[at]):
            here += 1
            at += 1
        elif star >= 0:
            after += 1
            here, at = star + 1, after
        else:
            return False
    return not pattern[here:].strip("*")


def _meet(one: str, two: str) -> bool:
    """Whether some name may be meant by both; True where that is not plain."""
    if _covers(one, two) or _covers(two, one) or not (one + two).isascii():
        return True
    a, b = _head(one), _head(two)
    if one != a and two != b:
        return a.startswith(b) or b.startswith(a)
    return one.endswith(" *") or two.endswith(" *")


def _head(name: str) -> str:
    """What `name` begins with, up to its first wildcard."""
    return name.partition("*")[0].partition("?")[0]
