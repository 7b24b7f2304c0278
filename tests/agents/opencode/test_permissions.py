"""The stricter of two permissions, held against opencode's own way of deciding a call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opencode_rules import Rule, evaluate, matches

from guard.agents.opencode.permissions import (
    ACTIONS,
    BUILT_IN,
    DEFAULTS,
    PermissionFormError,
    join,
    of_tools,
    only_allows,
    read,
    rules,
    tighten,
)


def opencode_hides(tool: str, *rulesets: list[Rule]) -> bool:
    """`Permission.disabled`: whether the model does not even see the tool."""
    for of_tool, pattern, action in reversed([rule for found in rulesets for rule in found]):
        if matches(of_tool, tool):
            return pattern == "*" and action == "deny"
    return False


TOOLS = st.sampled_from(
    [
        "bash",
        "edit",
        "task",
        "read",
        "*",
        "m*",
        "m_*",
        "*_x",
        "m_x",
        "ba?h",
        "**",
        "m?",
        "todowrite",
    ]
)
PATTERNS = st.one_of(
    st.sampled_from(["*", "a", "a *", "* b", "a*", "*b", "a?", "?", "**", "a *b", "", "a b", "/"]),
    st.text("ab *?", max_size=5),
)
SAID = st.one_of(
    st.sampled_from(ACTIONS),
    st.dictionaries(PATTERNS, st.sampled_from(ACTIONS), max_size=4),
)
PERMISSION = st.dictionaries(TOOLS, SAID, max_size=4).map(
    # opencode does not start with patterns for this one
    lambda found: {
        t: s if t != "todowrite" or isinstance(s, str) else "ask" for t, s in found.items()
    }
)
CALLS = st.one_of(st.text("ab /\\", max_size=5), st.sampled_from(["a", "a b", "ab", "b", "aab"]))
NAMES = ["bash", "edit", "task", "read", "m_x", "m_y", "a_x", "mm", "baah", "todowrite"]


def loosest(action: str, *others: str) -> bool:
    return all(ACTIONS.index(action) >= ACTIONS.index(other) for other in others)


@settings(max_examples=250, deadline=None)
@given(PERMISSION, PERMISSION, PERMISSION, PERMISSION, st.lists(CALLS, min_size=1, max_size=6))
@example({"bash": {"* b": "deny"}}, {}, {"bash": {"*": "ask", "a *": "allow"}}, {}, ["a b", "a a"])
@example({"bash": "deny", "*": "allow"}, {}, {"bash": "ask"}, {}, ["a"])
@example({"*": "deny"}, {"m*": "allow"}, {"*_x": "ask"}, {}, ["a"])
def test_no_call_is_looser_than_either_alone(
    above: dict[str, Any],
    own: dict[str, Any],
    other: dict[str, Any],
    third: dict[str, Any],
    calls: list[str],
) -> None:
    before = [*DEFAULTS, *rules(above)]
    alone = [*before, *rules(own)]
    entries = tighten(alone, [rules(other), rules(third)])
    merged = [*before, *rules(read(join(own, entries)))]
    for tool in NAMES:
        for call in calls:
            user = evaluate(tool, call, alone)
            project = evaluate(tool, call, [("*", "*", "allow"), *rules(other)])
            said = evaluate(tool, call, merged)
            more = evaluate(tool, call, [("*", "*", "allow"), *rules(third)])
            assert loosest(said, user, project, more), (tool, call, user, project, said)
        assert opencode_hides(tool, merged) or not opencode_hides(tool, alone)


def merged(
    user: dict[str, Any], project: dict[str, Any], agent: str = "build"
) -> dict[str, dict[str, str]]:
    own = [*DEFAULTS, *BUILT_IN.get(agent, []), *rules(read(user))]
    return tighten(own, [rules(read(project))])


class TestEntries:
    """Short where nothing has to change, exact in the common cases."""

    @pytest.mark.parametrize(
        ("user", "project", "entries"),
        [
            ({}, {}, {}),
            ({}, {"bash": "allow"}, {}),
            ({"bash": "deny"}, {"bash": "allow"}, {}),
            ({"bash": "deny"}, {"bash": "ask"}, {"bash": "deny"}),
            ({}, {"bash": "deny"}, {"bash": "deny"}),
            ({}, {"edit": "deny", "webfetch": "ask"}, {"edit": "deny", "webfetch": "ask"}),
            # as the project has it, where the user restricts nothing
            (
                {},
                {"bash": {"*": "ask", "git *": "allow"}},
                {"bash": {"*": "ask", "git *": "allow"}},
            ),
            ({}, {"*": "deny", "bash": "allow"}, {"*": "deny", "bash": "allow"}),
            # the user's exceptions stay where one side speaks of all calls
            (
                {"bash": {"*": "deny", "git *": "allow"}},
                {"bash": "ask"},
                {"bash": {"*": "deny", "git *": "ask"}},
            ),
            # patterns on both sides: asks behind what is allowed, and denials behind those
            (
                {"bash": {"*": "allow", "rm *": "deny"}},
                {"bash": {"git push*": "ask"}},
                {"bash": {"*": "allow", "git push*": "ask", "rm *": "deny"}},
            ),
            # exceptions from a denial are asked for, where the other side asks by patterns
            (
                {"bash": {"*": "deny", "git *": "allow"}},
                {"bash": {"git push*": "ask"}},
                {"bash": {"*": "deny", "git *": "ask"}},
            ),
            (
                {"bash": {"*": "allow", "git push *": "deny"}},
                {"bash": {"*": "ask", "git *": "allow"}},
                {"bash": {"git push *": "deny"} | {"*": "ask"}},
            ),
        ],
    )
    def test_entries(
        self, user: dict[str, Any], project: dict[str, Any], entries: dict[str, Any]
    ) -> None:
        found = merged(user, project)
        few = {tool: said for tool, said in found.items() if tool in (*entries, "bash", "edit")}
        assert few == entries

    def test_a_project_that_asks_for_everything_does_not_open_what_is_closed(self) -> None:
        entries = merged({}, {"*": "ask"}, "plan")
        found = [*DEFAULTS, *BUILT_IN["plan"], *rules(entries)]
        assert evaluate("edit", "x", found) == "deny"
        assert evaluate("bash", "x", found) == "ask"
        assert evaluate("plan_enter", "x", found) == "deny"
        assert evaluate("question", "x", found) == "ask"

    def test_a_subagent_keeps_the_denial_that_no_rule_names(self) -> None:
        # opencode denies `task` to a subagent unless a rule has exactly this name
        entries = merged({}, {"task": "ask", "todowrite": "ask"}, "explore")
        assert not {"task", "todowrite"} & set(entries)
        found = [*DEFAULTS, *BUILT_IN["explore"], *rules(entries)]
        assert evaluate("task", "x", found) == "deny"
        assert "tas?" in entries
        assert list(merged({"task": "allow"}, {"task": "ask"})) == ["task"]


class TestRead:
    def test_a_string_is_for_all_tools(self) -> None:
        assert read("ask") == {"*": "ask"}
        assert rules(read({"bash": {"~/x": "deny", "$HOME/y": "ask"}}), "/home/u") == [
            ("bash", "/home/u/x", "deny"),
            ("bash", "/home/u/y", "ask"),
        ]

    @pytest.mark.parametrize(
        "value",
        [
            "Deny", "", 1, None, [], ["deny"], True,
            {"bash": True}, {"bash": None}, {"bash": "DENY"}, {"bash": ["deny"]},
            {"bash": {"*": {"*": "deny"}}}, {"webfetch": {"*": "deny"}}, {"bash": {"1": "deny"}},
            {"2": "deny"},
        ],
    )  # fmt: skip
    def test_what_opencode_refuses_or_reorders(self, value: object) -> None:
        with pytest.raises(PermissionFormError):
            read(value)

    def test_tools(self) -> None:
        assert of_tools({"bash": False, "write": False, "x": True}) == {
            "bash": "deny",
            "edit": "deny",
            "x": "allow",
        }
        for bad in ("x", {"bash": "false"}, {"1": False}):
            with pytest.raises(PermissionFormError):
                of_tools(bad)

    def test_only_allows(self) -> None:
        assert only_allows(DEFAULTS, "bash")
        assert not only_allows(rules(read({"bash": {"a": "ask"}})), "bash")
        assert not only_allows([*DEFAULTS, ("bash", "x", "ask")], "bash")
        assert only_allows([("*", "*", "deny"), *rules(read("allow"))], "bash")


def test_a_hostile_size_is_bounded() -> None:
    many = {f"m{n}": {f"a{k}*": "ask" for k in range(30)} for n in range(150)}
    own = [*DEFAULTS, *rules(read({f"*{n}_*": "deny" for n in range(150)}))]
    entries = tighten(own, [rules(read(many))])
    assert evaluate("m1", "a1b", [*own, *rules(entries)]) == "ask"
    with pytest.raises(PermissionFormError):
        read({f"m{n}": "ask" for n in range(1000)})
