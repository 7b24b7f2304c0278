"""What `explain` says of the gateway's part, from what was last seen."""

from __future__ import annotations

from pathlib import Path

from conftest import ADMIN_KEY, WORKSPACE_KEY, Account

from guard.policy.values import CompiledPolicy, GatewayProvider
from guard.portkey import store
from guard.portkey.outlook import outlook


def policy(account: Account) -> CompiledPolicy:
    entries = (
        GatewayProvider(name="portkey"),
        GatewayProvider(name="portkey-openrouter", slug="openrouter-main"),
        GatewayProvider(name="vault", key_env="", key_command=("vault", "read")),
    )
    return CompiledPolicy(base_url=account.server.base_url, providers=entries)


def seen(account: Account, key: str, home: Path) -> dict[str, str]:
    environ = {"HOME": str(home), "PORTKEY_API_KEY": key}
    store.save(account.seen(key), key, environ)
    return environ


def test_a_config_on_the_key_decides(account: Account, tmp_path: Path) -> None:
    environ = seen(account, ADMIN_KEY, tmp_path)
    asked = len(account.server.requests)
    found = outlook("portkey-openrouter/mistralai/x", policy(account), environ)
    assert (found["known"], found["target"]) == (True, "@openai-prod/gpt-4o")
    assert found["tree"][1] == "├─ fallback on 429, 503"
    assert found["age"] == "just now"
    assert len(account.server.requests) == asked


def test_what_a_key_may_not_read_is_unknown(account: Account, tmp_path: Path) -> None:
    environ = seen(account, WORKSPACE_KEY, tmp_path)
    found = outlook("portkey/gpt-4o", policy(account), environ)
    assert not found["known"]
    assert found["says"].startswith("unknown: this key may not read its own settings")


def test_what_nobody_asked_is_unknown(account: Account, tmp_path: Path) -> None:
    fresh = {"HOME": str(tmp_path), "PORTKEY_API_KEY": ADMIN_KEY}
    for route, environ in (
        ("portkey/gpt-4o", fresh),
        ("portkey/gpt-4o", {"HOME": str(tmp_path)}),
        ("vault/gpt-4o", fresh),
        ("nobody/gpt-4o", fresh),
    ):
        found = outlook(route, policy(account), environ)
        assert not found["known"]
        assert found["says"].startswith("unknown")
    seen(account, WORKSPACE_KEY, tmp_path)
    assert "for this key" in outlook("portkey/gpt-4o", policy(account), fresh)["says"]
