"""What a name alone says: exact names first, then few patterns, nothing by substring."""

from __future__ import annotations

import pytest

from guard.catalog import entries
from guard.catalog.classify import KEY_SUFFIX, PREFIXES, classify

KNOWN = {name: (found.kind, found.owner) for name, found in entries.variables().items()}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ANTHROPIC_API_KEY", "provider_key"),
        ("anthropic_api_key", ""),
        ("GOOGLE_API_KEY", "provider_key"),
        ("GOOGLE_MAPS_API_KEY", "other_service"),
        ("VITE_GOOGLE_MAPS_API_KEY", "unknown_key"),
        ("OPENWEATHER_API_KEY", "other_service"),
        ("EXA_API_KEY", "grey"),
        ("ALEXA_API_KEY", "unknown_key"),
        ("NOVA_API_KEY", "provider_key"),
        ("TERRANOVA_API_KEY", "unknown_key"),
        ("META_MODEL_API_KEY", "provider_key"),
        ("META_API_KEY", "unknown_key"),
        ("MY_OPENAI_API_KEY", "unknown_key"),
        ("VUE_APP_OPENAI_API_KEY", "unknown_key"),
        ("OPENAI_API_KEY_OLD", ""),
        ("_API_KEY", ""),
        ("API_KEY", ""),
        ("", ""),
        ("OPENCODE_CONFIG_CONTENT", "agent_redirect"),
        ("OPENCODE_NEW_SWITCH", "agent_redirect"),
        ("OPENCODE_DISABLE_MOUSE", ""),
        ("OPENCODE", ""),
        ("OPENCODE_API_KEY", "provider_key"),
        ("XOPENCODE_CONFIG", ""),
        ("BUN_INSPECT_PRELOAD", "runtime"),
        ("BUN_ANYTHING", "runtime"),
        ("NODE_OPTIONS", "runtime"),
        ("NODE_ENV", "runtime"),
        ("LD_PRELOAD", "runtime"),
        ("OLD_PRELOAD", ""),
        ("DYLD_INSERT_LIBRARIES", "runtime"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "runtime"),
        ("SSL_CERT_FILE", "runtime"),
        ("SSLKEYLOGFILE", "runtime"),
        ("HTTP_PROXY", "http_proxy"),
        ("http_proxy", "http_proxy"),
        ("HTTPS_PROXY", "http_proxy"),
        ("https_proxy", "http_proxy"),
        ("ALL_PROXY", "http_proxy"),
        ("all_proxy", "http_proxy"),
        ("NO_PROXY", ""),
        ("PORTKEY_API_KEY", "gateway_key"),
        ("PORTKEY_TEAM_API_KEY", "gateway_setting"),
        ("GH_TOKEN", ""),
        ("PATH", ""),
        ("MODEL", ""),
        ("A_API_KEY\n", ""),
        ("\x1b[31m_API_KEY", "unknown_key"),
    ],
)
def test_kind_by_name(name: str, kind: str) -> None:
    assert classify(name, KNOWN)[0] == kind


def test_gateway_key_of_the_policy_wins_over_the_catalogue() -> None:
    assert classify("OPENAI_API_KEY", KNOWN, {"OPENAI_API_KEY"}) == ("gateway_key", "Portkey")
    assert classify("MY_GATEWAY_API_KEY", KNOWN, ("MY_GATEWAY_API_KEY",))[0] == "gateway_key"


def test_without_a_catalogue_the_patterns_still_hold() -> None:
    assert classify("OPENAI_API_KEY", {}) == ("unknown_key", "")
    assert classify("OPENCODE_CONFIG", {})[0] == "agent_redirect"


def test_patterns_are_those_of_the_data() -> None:
    patterns = entries.data("variables.toml")["pattern"]
    prefixes = tuple((p["prefix"], p["kind"], p["owner"]) for p in patterns if "prefix" in p)
    assert prefixes == PREFIXES
    assert [p["suffix"] for p in patterns if "suffix" in p] == [KEY_SUFFIX]
    for known in patterns:
        assert known["note"]
        assert known["kind"] in entries.KINDS
