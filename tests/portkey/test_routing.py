"""What Portkey will do with a call, read from configs."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import ADMIN_KEY, FALLBACK, WEAK_KEY, WORKSPACE_KEY
from conftest import Account as Plane

from guard.portkey.routing import drawn, predict, sentence, tree


def test_the_sentence_for_each_kind_of_key(account: Plane) -> None:
    assert sentence(account.seen(ADMIN_KEY)) == (
        "This key reaches 3 providers; a call that names no provider goes to @openai-prod/gpt-4o "
        "by the config on the key (pc-fall-000001) and falls back to @anthropic-prod on 429, 503; "
        "@anthropic-prod is exhausted."
    )
    assert sentence(account.seen(WORKSPACE_KEY)) == (
        "This key reaches 3 providers; a call that names no provider has an unknown route: "
        "this key may not read its own settings (it lacks workspace_user_api_keys.list)."
    )
    assert sentence(account.seen(WEAK_KEY)).startswith("This key reaches at least 2 providers; ")
    account.space.models = []
    assert sentence(account.seen(WEAK_KEY)).startswith(
        "Which providers this key reaches is not visible to it (it lacks providers.list); "
    )


def test_a_config_on_the_key_beats_the_provider_of_the_call(account: Plane) -> None:
    found = predict(account.seen(ADMIN_KEY), model="@openrouter-main/mistralai/mistral-7b-instruct")
    assert found.known
    assert found.target == "@openai-prod/gpt-4o"
    assert found.config == "pc-fall-000001"


def test_without_a_config_the_call_goes_where_it_says(account: Plane) -> None:
    account.space.api_keys[0]["defaults"]["config_id"] = None
    known = account.seen(ADMIN_KEY)
    assert predict(known, model="@openai-prod/gpt-4o").target == "@openai-prod/gpt-4o"
    assert predict(known, provider="openrouter-main", model="mistralai/x").target == (
        "@openrouter-main/mistralai/x"
    )
    assert "exhausted" in predict(known, provider="anthropic-prod", model="m").sentence
    assert "not among" in predict(known, provider="nobody", model="m").sentence
    assert predict(known, model="gpt-4").sentence.startswith("refused: ")


def test_a_config_without_targets_leaves_the_choice_to_the_call(account: Plane) -> None:
    found = predict(
        account.seen(ADMIN_KEY), provider="openai-prod", model="m", config="pc-empty-00002"
    )
    assert found.target == "@openai-prod/m"


def test_what_is_not_visible_is_said_to_be_unknown(account: Plane) -> None:
    weak = account.seen(WORKSPACE_KEY)
    found = predict(weak, provider="openai-prod", model="gpt-4o")
    assert not found.known
    assert "unknown: this key may not read its own settings" in found.sentence
    named = predict(weak, config="pc-fall-000001", model="x")
    assert not named.known
    assert "may not read it (it lacks configs.list)" in named.sentence


def test_the_tree_of_a_fallback(account: Plane) -> None:
    assert drawn(tree(FALLBACK, "production")) == [
        "production",
        "├─ fallback on 429, 503",
        "│  ├─ 1. @openai-prod/gpt-4o",
        "│  └─ 2. @anthropic-prod",
        "├─ retries 2 times",
        "└─ cache simple, 60 s",
    ]


@pytest.mark.parametrize(
    ("config", "lines"),
    [
        (
            {
                "strategy": {"mode": "loadbalance"},
                "targets": [{"provider": "@a", "weight": 3}, {"virtual_key": "b"}],
            },
            ["├─ 75 % @a", "└─ 25 % @b"],
        ),
        (
            {
                "strategy": {
                    "mode": "conditional",
                    "conditions": [{"query": {"metadata.tier": {"$eq": "b"}}, "then": "two"}],
                    "default": "one",
                },
                "targets": [
                    {"name": "one", "override_params": {"model": "@a/m"}},
                    {"name": "two", "provider": "@b"},
                ],
            },
            ["├─ otherwise: @a/m", "└─ if metadata.tier = b: @b"],
        ),
        (
            {
                "strategy": {"mode": "fallback"},
                "targets": [
                    {"strategy": {"mode": "loadbalance"}, "targets": [{"provider": "@a"}]},
                    {"provider": "@b"},
                ],
            },
            ["├─ 1. load balance", "│  └─ 100 % @a", "└─ 2. @b"],
        ),
    ],
)
def test_trees(config: dict[str, Any], lines: list[str]) -> None:
    top = tree(config, "x").below[0]
    assert drawn(top)[1:] == lines


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"strategy": "x", "targets": 3},
        {"strategy": {"mode": "load-balance"}, "targets": [{"provider": "@a"}, "odd", None]},
        {"strategy": {"mode": "loadbalance"}, "targets": [{"provider": "@a", "weight": "1"}]},
        {"strategy": {"mode": "loadbalance"}, "targets": [{"provider": "@a", "weight": 0}]},
        {"strategy": {"mode": "conditional", "conditions": [1, {"query": 2}]}, "targets": [{}]},
        {"retry": 1, "cache": [], "override_params": 3, "provider": 7},
    ],
)
def test_odd_configs_are_drawn_all_the_same(account: Plane, config: dict[str, Any]) -> None:
    assert drawn(tree(config))
    account.space.details["pc-fall-000001"] = config
    assert sentence(account.seen(ADMIN_KEY)).endswith(".")


def test_a_config_nested_without_end_is_cut(account: Plane) -> None:
    config: dict[str, Any] = {"provider": "@a"}
    for _ in range(200):
        config = {"strategy": {"mode": "fallback"}, "targets": [config]}
    assert "…" in drawn(tree(config))[-1]
