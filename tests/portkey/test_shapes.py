"""The recorded shapes of Portkey's answers, one by one (facts: portkey.md 4 and 6)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.portkey import shapes
from guard.portkey.answer import GatewayAnswer

PROVIDER = json.loads("""
{"id":"00000000-0000-0000-0000-000000000001","slug":"openai-prod","name":"OpenAI prod",
 "provider":"openai","integration_id":"openai-main","workspace_id":"ws-demo",
 "workspace_name":"Demo","status":"active","note":null,
 "usage_limits":{"type":"cost","credit_limit":10,"alert_threshold":8,"periodic_reset":"monthly"},
 "rate_limits":[{"type":"requests","unit":"rpm","value":60}],"reset_usage":null,
 "expires_at":null,"created_at":"2026-01-01T00:00:00Z","model_config":null,"object":"provider"}
""")
VIRTUAL_KEY = json.loads("""
{"ai_provider_name":"google","slug":"gemini-000000","name":"Gemini","status":"exhausted",
 "masked_api_key":"AI*****0Pw","key":"","note":null,"usage_limits":null,"rate_limits":null,
 "object":"virtual-key"}
""")
CONFIG_ROW = json.loads("""
{"id":"00000000-0000-0000-0000-000000000002","name":"pplx config","slug":"pc-pplx-c-000000",
 "organisation_id":"org","workspace_id":"ws-demo","is_default":0,"status":"active","owner_id":"o",
 "updated_by":"o","created_at":"2026-01-01T00:00:00Z","last_updated_at":"2026-01-01T00:00:00Z",
 "object":"config"}
""")
INNER = {
    "strategy": {"mode": "fallback"},
    "targets": [{"provider": "@openai-prod"}, {"virtual_key": "gemini-000000"}],
}
KEY = json.loads("""
{"id":"00000000-0000-0000-0000-000000000003","key":"ab*****xyz","name":"default_user_key",
 "type":"workspace-user","organisation_id":"org","workspace_id":"ws-demo","user_id":"u",
 "status":"active","creation_mode":"auto","rate_limits":[],"usage_limits":null,"expires_at":null,
 "scopes":["completions.write"],
 "defaults":{"metadata":null,"config_id":null,"allow_config_override":true},
 "allow_config_override":null,"object":"api-key"}
""")
MODEL = json.loads("""
{"id":"@ant/claude-sonnet-4-20250514","slug":"claude-sonnet-4-20250514",
 "canonical_slug":"claude-sonnet-4","object":"model"}
""")
UPSTREAM_MODEL = {"id": "gpt-4o", "object": "model", "created": 1, "owned_by": "openai"}


def one(kind: type[shapes.Row], item: Any) -> Any:
    found = shapes.rows(kind, [item])
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("kind", "item", "expected"),
    [
        (
            shapes.ProviderRow,
            PROVIDER,
            {
                "slug": "openai-prod",
                "provider": "openai",
                "status": "active",
                "rate_limits": [{"type": "requests", "unit": "rpm", "value": 60}],
                "expires_at": None,
            },
        ),
        (shapes.ProviderRow, {**PROVIDER, "provider": None}, {"provider": None}),
        (
            shapes.ProviderRow,
            VIRTUAL_KEY,
            {"slug": "gemini-000000", "provider": "google", "status": "exhausted"},
        ),
        (
            shapes.ConfigRow,
            CONFIG_ROW,
            {"slug": "pc-pplx-c-000000", "id": CONFIG_ROW["id"], "config": None},
        ),
        (
            shapes.KeyRow,
            KEY,
            {
                "key": "ab*****xyz",
                "type": "workspace-user",
                "scopes": ["completions.write"],
                "override_allowed": True,
            },
        ),
        (shapes.ModelRow, MODEL, {"id": "@ant/claude-sonnet-4-20250514", "provider": "ant"}),
        # a model of an upstream names no provider
        (shapes.ModelRow, UPSTREAM_MODEL, {"provider": ""}),
        (shapes.ModelRow, {"id": "@main/mistralai/mistral-7b-instruct"}, {"provider": "main"}),
    ],
)
def test_a_row_as_it_was_recorded(
    kind: type[shapes.Row], item: Any, expected: dict[str, Any]
) -> None:
    row = one(kind, item)
    assert {name: getattr(row, name) for name in expected} == expected
    # the mask of a virtual key is not kept
    assert "0Pw" not in row.model_dump_json()


@pytest.mark.parametrize(
    "body",
    [
        {**CONFIG_ROW, "config": json.dumps(INNER), "format": "json", "type": "ORG_CONFIG"},
        {"success": True, "data": {**CONFIG_ROW, "config": INNER}},
        {"success": True, "data": {**CONFIG_ROW, "config": json.dumps(INNER)}},
        {**CONFIG_ROW, "config": INNER},
    ],
    ids=["flat, recorded", "nested, specified", "nested text", "flat object"],
)
def test_a_config_in_each_shape(body: Any) -> None:
    row = shapes.config_detail(body)
    assert row is not None
    assert row.config == INNER


@pytest.mark.parametrize(
    "body",
    [None, [], "x", {}, {"data": None}, {"slug": "pc-a", "config": "{"}, {"config": "[" * 99_999}],
)
def test_what_is_no_config_is_none(body: Any) -> None:
    row = shapes.config_detail(body)
    assert row is None or row.config is None


@pytest.mark.parametrize(
    ("defaults", "flat", "expected"),
    [
        ({"allow_config_override": False}, None, False),
        ({"allow_config_override": None}, True, True),
        (None, False, False),
        (None, None, None),
        ({"allow_config_override": False}, True, False),
        ("odd", None, None),
    ],
)
def test_whether_a_call_may_bring_another_config(
    defaults: Any, flat: bool | None, expected: bool | None
) -> None:
    row = one(shapes.KeyRow, {**KEY, "defaults": defaults, "allow_config_override": flat})
    assert row.override_allowed is expected


@pytest.mark.parametrize("kind", [shapes.ProviderRow, shapes.ConfigRow, shapes.ModelRow])
@pytest.mark.parametrize("item", [None, 7, "x", [], {}, {"slug": None, "id": None}, {"slug": {}}])
def test_what_has_no_name_is_passed_over(kind: type[shapes.Row], item: Any) -> None:
    assert shapes.rows(kind, [item]) == []


def test_text_of_the_gateway_is_printable_and_bounded() -> None:
    row = one(shapes.ProviderRow, {"slug": "a", "name": "\x1b[2J" + "n" * 5000})
    assert row.name.isprintable()
    assert len(row.name) < 300


# error bodies


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (
            {
                "status": "failure",
                "message": "Either x-portkey-config or x-portkey-provider header is required",
            },
            "Either x-portkey-config or x-portkey-provider header is required",
            "",
        ),
        (
            {
                "status": "failure",
                "error": {
                    "code": "inline_provider_blocked",
                    "message": "Inline provider is blocked",
                    "field": "x-portkey-provider",
                },
                "message": "outer",
            },
            "Inline provider is blocked",
            "inline_provider_blocked",
        ),
        (
            {
                "success": False,
                "data": {
                    "message": "You do not have enough permissions to execute this request",
                    "errorCode": "AB03",
                },
            },
            "You do not have enough permissions to execute this request",
            "AB03",
        ),
        (
            {
                "error": {
                    "message": "Request exceeded the timeout sent in the request: 1ms",
                    "type": "timeout_error",
                    "param": None,
                    "code": None,
                }
            },
            "Request exceeded the timeout sent in the request: 1ms",
            "",
        ),
        (
            {
                "error": {
                    "message": "openai error: slow",
                    "type": "x",
                    "param": None,
                    "code": "429",
                },
                "provider": "openai",
            },
            "openai error: slow",
            "429",
        ),
        ({"error": "plain text"}, "plain text", ""),
        ({"success": False, "data": {"errorCode": "AB08"}}, "", "AB08"),
        ({"status": "failure", "error": {"code": 7}, "message": "outer"}, "outer", "7"),
        ({"message": {"odd": 1}}, "", ""),
        ({"error": {"code": "\x1b]0;x\x07" + "y" * 90}}, "", "\\x1b]0;x\\x07" + "y" * 54),
        ([], "", ""),
        (None, "", ""),
    ],
)
def test_what_an_error_says(body: Any, message: str, code: str) -> None:
    answer = GatewayAnswer(400, {}, body, json.dumps(body), 0.0)
    assert (answer.message, answer.code) == (message, code)


# secrets

CANARY = "canary-value-of-a-secret"


@given(
    st.sampled_from(
        ("api_key", "apiKey", "Authorization", "x-api-key", "forward_headers", "aws_session_token")
    )
    | st.text(min_size=1).filter(lambda name: name not in shapes._KNOWN)
)
def test_a_credential_of_a_target_is_dropped_under_any_name(name: str) -> None:
    config = {
        name: CANARY,
        "targets": [{"provider": "@a", name: CANARY}, {"targets": [{name: {"deep": CANARY}}]}],
    }
    assert CANARY not in json.dumps(shapes.without_secrets(config))


@pytest.mark.parametrize(
    "value",
    [
        {"override_params": {"api_key": CANARY, "model": "m"}},
        {"override_params": {"extra": {"headers": {"x": CANARY}}}},
        {"override_params": {"note": "sk-ant-" + "a1B2" * 10}},
        {"input_guardrails": [{"webhook": {"webhookURL": "x", "headers": {"auth": CANARY}}}]},
        {"custom_host": f"https://user:{CANARY}@host.example/v1?key={CANARY}#{CANARY}"},
        {"metadata": {"team_token": CANARY}},
    ],
)
def test_a_credential_deeper_in_is_dropped(value: dict[str, Any]) -> None:
    kept = json.dumps(shapes.without_secrets({"targets": [{"provider": "@a", **value}]}))
    assert CANARY not in kept
    assert "sk-ant-" not in kept
    assert "@a" in kept


def test_what_decides_the_route_is_kept() -> None:
    config = {
        "strategy": {
            "mode": "conditional",
            "conditions": [{"query": {"metadata.tier": {"$eq": "b"}}, "then": "second"}],
            "default": "first",
        },
        "targets": [
            {"name": "first", "virtual_key": "openai-000000", "weight": 0.5},
            {"name": "second", "provider": "@b", "override_params": {"model": "m"}},
        ],
        "retry": {"attempts": 2, "on_status_codes": [429]},
        "cache": {"mode": "simple", "max_age": 60},
        "request_timeout": 1000,
    }
    assert shapes.without_secrets(config) == config


def test_a_config_without_end_ends() -> None:
    config: dict[str, Any] = {"provider": "@a"}
    for _ in range(200):
        config = {"targets": [config] * 2}
        config["targets"] = config["targets"][:1]
    assert len(json.dumps(shapes.without_secrets(config))) < 1000
