"""The pinned config: every key that could change the route is ours, and nothing is above it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guard.agents.opencode.config import (
    BY_NAME,
    FROM_INLINE,
    FROM_PROJECT,
    FROM_USER,
    MAX_CONTENT,
    NOWHERE,
    NPM,
    ROUTE_KEYS,
    kept_from,
    pinned,
    provider_ids,
    render,
    unsafe_substitution,
    with_our_model,
)
from guard.agents.opencode.instructions import is_plain_path
from guard.agents.opencode.route import ProviderModel, Router
from guard.findings import Finding
from guard.policy.values import CompiledPolicy

KEYS = {"portkey": "PORTKEY_API_KEY", "portkey-openrouter": "OPENROUTER_GATEWAY_KEY"}
OURS = "portkey-abcdefghij"
SECOND = "portkey-openrouter-abcdefghij"


@pytest.fixture
def route(policy: CompiledPolicy, ids: dict[str, str], router: Router) -> dict[str, Any]:
    return pinned(policy, ids, KEYS, router.default(), [])


class TestPinned:
    def test_every_measure_of_the_hardening(self, route: dict[str, Any]) -> None:
        assert route["enabled_providers"] == [OURS, SECOND]
        assert route["disabled_providers"] == []
        assert route["share"] == "disabled"
        assert route["autoshare"] is False
        assert route["autoupdate"] is False
        assert route["enterprise"] == {"url": NOWHERE}
        assert route["experimental"] == {"openTelemetry": False}
        assert route["plugin"] == []
        assert route["model"] == f"{OURS}/gpt-4o"
        assert route["small_model"] == f"{OURS}/gpt-4o-mini"
        assert set(route["provider"]) == {OURS, SECOND}
        for provider in route["provider"].values():
            assert provider["npm"] == NPM
            assert provider["api"] == provider["options"]["baseURL"] == "https://api.portkey.ai/v1"
            assert (provider["env"], provider["blacklist"]) == ([], [])
            assert provider["whitelist"] == list(provider["models"])
            for name, model in provider["models"].items():
                assert model["id"] == name
                assert model["status"] == "active"
                assert model["provider"] == {"npm": NPM, "api": provider["api"]}

    def test_no_key_is_in_it_but_by_name(self, route: dict[str, Any]) -> None:
        assert route["provider"][OURS]["options"]["headers"] == {
            "x-portkey-api-key": "{env:PORTKEY_API_KEY}"
        }
        assert route["provider"][SECOND]["options"]["headers"] == {
            "x-portkey-api-key": "{env:OPENROUTER_GATEWAY_KEY}",
            "x-portkey-provider": "@openrouter-main",
            "x-portkey-config": "pc-1",
        }
        for provider in route["provider"].values():
            assert provider["options"]["apiKey"] == ""

    def test_nothing_that_opencode_1_refuses(self, route: dict[str, Any]) -> None:
        # "V2 permissions are not supported by OpenCode V1": exit 1 (run on 1.18.33)
        assert "permissions" not in route

    def test_models_that_are_named_are_declared_once(
        self, policy: CompiledPolicy, ids: dict[str, str]
    ) -> None:
        more = [
            ProviderModel("portkey", "x/y"),
            ProviderModel("portkey-openrouter", "z"),
            ProviderModel("portkey", "x/y"),
        ]
        found = pinned(policy, ids, KEYS, ProviderModel("portkey", "d"), more)
        assert found["provider"][OURS]["whitelist"] == [
            "gpt-4o", "gpt-4o-mini", "d", "x/y"
        ]  # fmt: skip
        assert list(found["provider"][SECOND]["models"]) == ["mistralai/mistral-7b-instruct", "z"]
        assert found["model"] == f"{OURS}/d"

    def test_ids_hold_the_suffix(self, policy: CompiledPolicy) -> None:
        assert provider_ids(policy, "zz") == {
            "portkey": "portkey-zz",
            "portkey-openrouter": "portkey-openrouter-zz",
        }


def test_no_key_of_the_route_is_taken_from_anywhere() -> None:
    for kept in (FROM_USER, FROM_INLINE, FROM_PROJECT):
        assert not set(kept) & set(ROUTE_KEYS)
    assert set(FROM_INLINE) <= set(FROM_USER)
    assert not {"mcp", "formatter", "lsp", "plugin"} & set(FROM_INLINE + FROM_PROJECT)


def kept(
    config: dict[str, Any], keys: tuple[str, ...] = FROM_USER, **more: Any
) -> tuple[dict[str, Any], list[Finding]]:
    environ = {"QUOTED": 'a"b', "FINE": "x", "CONTROL": "a\nb"}
    given = {"environ": environ, "instructions": ["/a.md"], **more}
    return kept_from(config, keys, where="/h/opencode.json", **given)


class TestKeptFrom:
    def test_harmless_keys_stay(self) -> None:
        config = {"theme": "x", "keybinds": {"a": "b"}, "snapshot": True, "$schema": "s"}
        assert kept(config) == ({k: v for k, v in config.items() if k != "$schema"}, [])

    @pytest.mark.parametrize("key", ROUTE_KEYS)
    @pytest.mark.parametrize("keys", [FROM_USER, FROM_INLINE, FROM_PROJECT])
    def test_route_keys_are_left_out_and_told(self, key: str, keys: tuple[str, ...]) -> None:
        part, (note,) = kept({key: {"anthropic": {}}}, keys)
        assert part == {}
        assert (note.rule, note.subject, note.severity) == ("RG302", key, "note")
        assert (note.where, "pinned" in note.message) == ("/h/opencode.json", True)

    @pytest.mark.parametrize(
        ("key", "why"),
        [
            ("theme", "your own config sets it"),
            ("mcp", "starts programs"),
            ("lsp", "starts programs"),
            ("compaction", "your own config"),
            ("quokka", "not a key that"),
            ("model", "pinned config"),
        ],
    )
    def test_what_a_project_cannot_set_has_its_own_reason(self, key: str, why: str) -> None:
        part, (note,) = kept({key: {}}, FROM_PROJECT)
        assert part == {}
        assert why in note.message

    @pytest.mark.parametrize("key", BY_NAME)
    def test_agents_and_permissions_are_decided_elsewhere(self, key: str) -> None:
        assert kept({key: {}}) == ({}, [])

    @pytest.mark.parametrize(
        ("text", "stays"),
        [
            ("plain", True),
            ("{env:FINE}", True),
            ("{env:UNSET}", True),
            ("{env:QUOTED}", False),
            ("{env:CONTROL}", False),
            ("a {env:FINE} b {env:QUOTED}", False),
            ("{env:FINE", False),
            ("{file:/etc/passwd}", False),
            ("{file:~/x}", False),
            # what the launch itself sets, and the gateway's keys
            ("{env:OPENCODE_CONFIG_CONTENT}", False),
            ("{env:ROUTEGUARD_GATEWAY_KEY_1}", False),
            ("{env:PORTKEY_API_KEY}", False),
        ],
    )
    @pytest.mark.parametrize("place", ["value", "key", "deep"])
    def test_substitutions(self, text: str, stays: bool, place: str) -> None:
        value: Any = {"value": text, "key": {text: 1}, "deep": {"a": [{"b": [text]}]}}[place]
        part, notes = kept({"keybinds": value}, withheld={"PORTKEY_API_KEY"})
        assert ("keybinds" in part) == stays
        assert [n.rule for n in notes] == ([] if stays else ["RG302"])
        assert all('a"b' not in n.message for n in notes)

    def test_one_bad_server_does_not_take_the_others_along(self) -> None:
        config = {"mcp": {"good": {"command": ["x"]}, "bad": {"headers": {"k": "{env:QUOTED}"}}}}
        part, (note,) = kept(config)
        assert part == {"mcp": {"good": {"command": ["x"]}}}
        assert note.subject == "mcp.bad"

    def test_instructions_are_the_files_that_were_found(self) -> None:
        assert kept({"instructions": ["*.md"]}, FROM_INLINE)[0] == {"instructions": ["/a.md"]}

    def test_skills_from_the_network_are_left_out(self) -> None:
        part, (note,) = kept({"skills": {"urls": ["u"], "paths": ["p"]}})
        assert part == {"skills": {"paths": ["p"]}}
        assert note.subject == "skills.urls"


@pytest.mark.parametrize(
    ("typed", "model", "route"),
    [
        ("gpt-4", f"{OURS}/gpt-4", "portkey/gpt-4"),
        ("portkey-openrouter/x", f"{SECOND}/x", "portkey-openrouter/x"),
        ("portkey/@s/m", f"{OURS}/@s/m", "portkey/@s/m"),
        ("anthropic/claude", None, None),
        (["x"], None, None),
    ],
)
def test_models_of_agents_become_ours(
    typed: object, model: str | None, route: str | None, router: Router, ids: dict[str, str]
) -> None:
    routes: list[ProviderModel] = []
    notes: list[Finding] = []
    entry = {"model": typed, "prompt": "p"}
    found = with_our_model("a", entry, router, ids, routes, notes)
    assert found == ({"prompt": "p"} if model is None else {"prompt": "p", "model": model})
    assert [str(r) for r in routes] == ([route] if route else [])
    assert [(n.rule, n.subject, n.severity) for n in notes] == (
        [] if route else [("RG201", "a.model", "note")]
    )
    assert entry["model"] == typed, "the user's own config was changed"


class TestRender:
    def test_ours_wins_over_everything(self, route: dict[str, Any]) -> None:
        hostile = {key: {"anthropic": {}} for key in route} | {"theme": "t"}
        text, dropped = render(route, [hostile], [])
        found = json.loads(text)
        assert dropped == []
        assert found == {**route, "theme": "t"}

    def test_later_parts_win_and_objects_merge(self, route: dict[str, Any]) -> None:
        parts = [
            {"theme": "a", "permission": {"bash": "ask", "edit": {"x": 1}}, "layout": {"k": [1]}},
            {"theme": "b", "permission": {"edit": {"y": 2}}, "layout": {"k": [2]}},
        ]  # fmt: skip
        found = json.loads(render(route, parts, [])[0])
        assert found["theme"] == "b"
        assert found["permission"] == {"bash": "ask", "edit": {"x": 1, "y": 2}}
        assert found["layout"] == {"k": [2]}

    def test_instructions_add_up(self, route: dict[str, Any]) -> None:
        parts = [{"instructions": ["/b"]}, {"theme": "x"}, {"instructions": ["/c"]}]
        assert json.loads(render(route, parts, ["/a"])[0])["instructions"] == ["/a", "/b", "/c"]
        assert "instructions" not in json.loads(render(route, [{}], [])[0])

    def test_what_does_not_fit_is_dropped_and_named(self, route: dict[str, Any]) -> None:
        part = {
            "keybinds": {"a": "é" * MAX_CONTENT},
            "theme": "t",
            "mcp": {"x": "y" * 9000},
        }
        text, dropped = render(route, [part], [])
        assert dropped == ["keybinds"]
        assert len(text.encode()) <= MAX_CONTENT
        assert json.loads(text) == {**route, "theme": "t", "mcp": part["mcp"]}

    @pytest.mark.parametrize("key", BY_NAME)
    def test_what_an_agent_may_do_is_never_dropped(self, route: dict[str, Any], key: str) -> None:
        part = {key: {"a": "x" * MAX_CONTENT}, "theme": "t"}
        text, dropped = render(route, [part], [])
        assert (dropped, len(text) > MAX_CONTENT) == (["theme"], True)
        assert json.loads(text)[key] == part[key]

    def test_a_route_that_is_too_long_is_whole(self, route: dict[str, Any]) -> None:
        route["provider"][OURS]["name"] = "x" * MAX_CONTENT
        text, dropped = render(route, [{"theme": "t"}], [])
        assert (dropped, json.loads(text)) == (["theme"], route)

    def test_the_text_is_one_line_of_ascii(self, route: dict[str, Any]) -> None:
        text, _ = render(route, [{"username": "é\n\u2028\ud800"}], [])
        assert text.isascii()
        assert text.isprintable()


@pytest.mark.parametrize("path", ["/a/b.md", "/a b/é.md", "/a/.x", "/a/~/b", "/[a]*?!/b"])
def test_plain_paths(path: str) -> None:
    assert is_plain_path(path)


@pytest.mark.parametrize("char", ["{", "}", "*", "?", "[", "]", "!", "\\", "\n", "\x1b", "\udcff"])
def test_paths_that_could_mean_something_else(char: str) -> None:
    assert not is_plain_path(f"/a{char}b")


def test_files_may_stand_where_they_are_only_looked_at() -> None:
    assert unsafe_substitution({"a": "{file:x}"}, {}, files=True) == ""
    assert unsafe_substitution({"a": "{file:x}{env:Q}"}, {"Q": "\\"}, files=True) != ""
