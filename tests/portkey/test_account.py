"""What keys of different strength show of one account."""

from __future__ import annotations

import pytest
from conftest import ADMIN_KEY, WEAK_KEY, WORKSPACE_KEY, Account
from control_plane import key_row, masked, model, provider

from guard.portkey import store
from guard.portkey.account import gather
from guard.portkey.answer import GatewayError


def test_an_admin_key_shows_everything(account: Account) -> None:
    seen = account.seen(ADMIN_KEY)
    assert seen.providers.value is not None
    assert [(p.slug, p.provider, p.status) for p in seen.providers.value] == [
        ("openai-prod", "openai", "active"),
        ("anthropic-prod", "anthropic", "exhausted"),
        ("openrouter-main", None, "active"),
    ]
    assert seen.default_config.value == "pc-fall-000001"
    assert seen.override_allowed.value is False
    config = seen.config("pc-fall-000001")
    assert config is not None
    assert config.config is not None
    assert config.config["strategy"]["mode"] == "fallback"
    assert "api_key" not in config.config["targets"][1]
    assert [row.provider for row in seen.models.value or ()] == [
        "openai-prod",
        "openai-prod",
        "openrouter-main",
    ]


def test_both_shapes_of_a_config_say_the_same(account: Account) -> None:
    with account.client(ADMIN_KEY) as client:
        flat = gather(client, ADMIN_KEY)
        account.space.flat = False
        nested = gather(client, ADMIN_KEY)
    assert flat.configs == nested.configs


def test_a_workspace_key_does_not_see_configs_and_says_which_scope_lacks(account: Account) -> None:
    seen = account.seen(WORKSPACE_KEY)
    assert seen.providers.known
    assert (seen.configs.state, seen.configs.scope) == ("hidden", "configs.list")
    assert (seen.default_config.state, seen.default_config.value) == ("hidden", None)
    assert seen.override_allowed.state == "hidden"


def test_a_weak_key_knows_its_providers_by_the_models(account: Account) -> None:
    seen = account.seen(WEAK_KEY)
    assert seen.providers_from == "models"
    assert [p.slug for p in seen.providers.value or ()] == ["openai-prod", "openrouter-main"]
    assert seen.key.state == "hidden"


def test_without_models_a_weak_key_knows_nothing_rather_than_none(account: Account) -> None:
    account.space.models = []
    seen = account.seen(WEAK_KEY)
    assert seen.models.value == []
    assert (seen.providers.state, seen.providers.scope) == ("hidden", "providers.list")


def test_two_rows_with_one_mask_are_nobodys(account: Account) -> None:
    account.space.api_keys.append(key_row(ADMIN_KEY, frozenset()))
    seen = account.seen(ADMIN_KEY)
    assert seen.key.state == "failed"
    assert seen.key.reason == "several keys share this masked form"
    assert seen.default_config.state == "failed"


def test_a_key_that_no_row_shows_shares_its_mask_with_none(account: Account) -> None:
    account.space.api_keys = [
        row for row in account.space.api_keys if row["key"] != masked(ADMIN_KEY)
    ]
    assert account.seen(ADMIN_KEY).key.reason == "the list of keys does not show this key"


def test_a_config_that_may_be_listed_and_not_read(account: Account) -> None:
    account.space.keys[ADMIN_KEY] -= {"configs.read"}
    seen = account.seen(ADMIN_KEY)
    assert [c.config for c in seen.configs.value or ()] == [None, None]
    assert "configs.read" in seen.notes[0]


@pytest.mark.parametrize("paging", [True, False])
def test_long_lists_are_read_to_their_end_once(account: Account, paging: bool) -> None:
    account.space.paging = paging
    account.space.providers = [provider(f"p-{n}") for n in range(333)]
    account.space.models = [model("p-1", f"m-{n}") for n in range(1050)]
    seen = account.seen(ADMIN_KEY)
    assert len(seen.providers.value or ()) == 333
    assert len(seen.models.value or ()) == 1050


def test_a_failing_list_is_neither_hidden_nor_empty(account: Account) -> None:
    account.space.trouble["providers"] = [(500, {"status": "failure"}, {})]
    account.space.trouble["virtual-keys"] = [(200, {"data": "no list"}, {})]
    account.space.models = []
    seen = account.seen(ADMIN_KEY)
    assert seen.providers.state == "failed"
    assert "500" in seen.providers.reason


def test_an_unknown_key_ends_the_questions(account: Account) -> None:
    with (
        account.client("nobody") as client,
        pytest.raises(GatewayError, match="this key"),
    ):
        gather(client, "nobody")
    assert len(account.server.requests) == 1


def test_rows_of_another_kind_are_passed_over(account: Account) -> None:
    account.space.providers += [{}, {"slug": 7}, "text", None, {"slug": "odd", "status": []}]  # type: ignore[list-item]
    seen = account.seen(ADMIN_KEY)
    assert [p.slug for p in seen.providers.value or ()][-1] == "odd"


def test_the_cache_holds_the_account_and_no_secret(
    account: Account, tmp_path: pytest.TempPathFactory
) -> None:
    environ = {"HOME": str(tmp_path)}
    seen = account.seen(ADMIN_KEY)
    store.save(seen, ADMIN_KEY, environ)
    assert store.load(seen.base_url, ADMIN_KEY, environ) == seen
    assert store.load(seen.base_url, WEAK_KEY, environ) is None
    assert store.load("https://elsewhere.example/v1", ADMIN_KEY, environ) is None
    kept = [p for p in tmp_path.rglob("*") if p.is_file()]  # type: ignore[attr-defined]
    assert kept
    for path in kept:
        raw = path.read_bytes()
        assert ADMIN_KEY.encode() not in raw
        assert b"sk-ant-canary" not in raw
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema_version": 1}', "null", "[" * 100_000])
def test_a_damaged_cache_is_no_cache(
    account: Account, tmp_path: pytest.TempPathFactory, damage: str
) -> None:
    environ = {"HOME": str(tmp_path)}
    seen = account.seen(WEAK_KEY)
    store.save(seen, WEAK_KEY, environ)
    (path,) = tmp_path.rglob("portkey/*.json")  # type: ignore[attr-defined]
    path.write_text(damage)
    assert store.load(seen.base_url, WEAK_KEY, environ) is None


JUNK = [1, None, "x", [], {}, {"slug": None}, {"id": 3, "slug": ["openai-prod"]}]


def test_rows_that_are_none_are_no_empty_list(account: Account) -> None:
    junk = [(200, {"data": JUNK}, {})]
    account.space.trouble = dict.fromkeys(("providers", "virtual-keys", "configs"), junk)
    with account.client(ADMIN_KEY) as client:
        seen = gather(client, ADMIN_KEY)
        # by the models, which are whole
        assert (seen.providers_from, len(seen.providers.value or ())) == ("models", 2)
        assert seen.configs.state == "failed"
        assert seen.configs.reason == "unexpected reply: none of the 7 configs in it has a name"
        account.space.trouble["models"] = junk
        seen = gather(client, ADMIN_KEY)
        assert {seen.models.state, seen.providers.state, seen.configs.state} == {"failed"}
        some = {"data": [*JUNK, model("openai-prod", "gpt-4o")]}
        account.space.trouble["models"] = [(200, some, {})]
        assert len(gather(client, ADMIN_KEY).models.value or ()) == 1
