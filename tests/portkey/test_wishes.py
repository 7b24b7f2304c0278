"""What a policy should say after a look at the gateway, and what is left out."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import control_plane as plane
import pytest
from conftest import ADMIN_KEY, WEAK_KEY, WORKSPACE_KEY, Account
from edits import COMMENTED, compiled, entries, providers, result

from guard.errors import UsageError
from guard.policy.values import CompiledPolicy
from guard.portkey import policy_edit, wishes
from guard.portkey.account import Account as Shown

# both layouts


def test_one_entry_for_all_lists_models_by_their_providers(seen: Shown, tmp_path: Path) -> None:
    after, _ = result("", seen, tmp_path, "one")
    assert providers(after) == {
        "portkey": {
            "name": "Portkey",
            "models": [
                "@openai-prod/gpt-4o",
                "@openai-prod/gpt-4o-mini",
                "@openrouter-main/mistralai/mistral-7b-instruct",
            ],
        }
    }


def test_one_entry_a_provider_has_its_slug_and_bare_models(seen: Shown, tmp_path: Path) -> None:
    after, _ = result("", seen, tmp_path)
    found = providers(after)
    assert set(found) == {"portkey", "portkey-openai", "portkey-openrouter"}
    assert found["portkey-openrouter"] == {
        "name": "Openrouter Main through Portkey",
        "slug": "openrouter-main",
        "models": ["mistralai/mistral-7b-instruct"],
    }
    # the default model of a policy without one names this entry
    assert found["portkey"] == {"name": "Portkey"}


AGENTS = '[agents]\nguard = ["opencode", "claude-code"]\n'


@pytest.mark.parametrize(
    ("text", "vendors", "said"),
    [
        ("", ("anthropic",), "@anthropic-0"),
        (COMMENTED, ("anthropic", "bedrock"), "@anthropic-0"),
        (AGENTS, ("anthropic",), "@anthropic-0"),
        ('[agents.claude-code]\nmodel = "claude-x"\n', ("anthropic",), "@anthropic-0"),
        ('[agents.claude-code]\nprovider = "@mine"\n', ("anthropic",), "@mine"),
        ('[agents]\nguard = ["opencode"]\n', ("anthropic",), ""),
        ("", ("openai", "bedrock"), ""),
        ("", ("anthropic", "anthropic"), ""),
    ],
)
def test_an_agent_that_can_use_one_provider_gets_it(
    account: Account, tmp_path: Path, text: str, vendors: tuple[str, ...], said: str
) -> None:
    names = [f"{vendor}-{index}" for index, vendor in enumerate(vendors)]
    account.server.workspace.providers = [
        plane.provider(name, vendor) for name, vendor in zip(names, vendors, strict=True)
    ]
    account.server.workspace.models = [plane.model(name, "some-model") for name in names]
    after, wished = result(text, account.seen(WORKSPACE_KEY), tmp_path, "one")
    assert compiled(after, tmp_path).route_of("claude-code").provider == said.removeprefix("@")
    assert set(text.splitlines()) <= set(after.splitlines())
    again = wishes.wish(account.seen(WORKSPACE_KEY), compiled(after, tmp_path), layout="one")
    assert policy_edit.edited(after, again, compiled(after, tmp_path)) == after
    several = vendors.count("anthropic") > 1
    assert any("Claude Code can use" in note for note in wished.notes) is several


def test_a_key_that_does_not_see_who_serves_an_agent_says_so(
    account: Account, tmp_path: Path
) -> None:
    """Only the names of the models tell it the providers: none is guessed, and that is told."""
    after, wished = result("", account.seen(WEAK_KEY), tmp_path, "one")
    assert compiled(after, tmp_path).route_of("claude-code").provider == ""
    assert any("[agents.claude-code]" in note for note in wished.notes), wished.notes


def test_the_layout_is_the_one_that_the_policy_has(tmp_path: Path) -> None:
    assert wishes.layout_of(compiled("", tmp_path)) == "one"
    assert wishes.layout_of(compiled(entries(), tmp_path)) == "each"


def test_a_key_of_its_own_is_named_by_its_variable(seen: Shown, tmp_path: Path) -> None:
    after, _ = result("", seen, tmp_path, keys={"openrouter-main": "PORTKEY_OPENROUTER_KEY"})
    assert providers(after)["portkey-openrouter"]["key"] == {"env": "PORTKEY_OPENROUTER_KEY"}
    assert "key" not in providers(after)["portkey-openai"]


# what is left out


def test_a_provider_that_is_exhausted_is_left_out_and_named(seen: Shown, tmp_path: Path) -> None:
    _, wished = result("", seen, tmp_path)
    assert all(entry.slug != "anthropic-prod" for entry in wished.entries)
    assert "@anthropic-prod is left out: it is exhausted" in wished.notes


def test_names_that_a_policy_cannot_hold_are_left_out(account: Account, tmp_path: Path) -> None:
    odd = ["{env:HOME}", 'quo"te', "back\\slash", "new\nline", "\u202e", ""]
    account.space.models += [plane.model("openai-prod", name) for name in odd]
    seen = account.seen(WEAK_KEY)
    after, wished = result("", seen, tmp_path, "one")
    assert len(wished.entries[0].models) == 3
    assert any("models are left out: a policy cannot contain" in note for note in wished.notes)
    assert "HOME" not in after


def test_a_model_that_a_probe_found_wanting_is_left_out(seen: Shown, tmp_path: Path) -> None:
    probed = {
        "@openai-prod/gpt-4o": "model-not-allowed",
        "@openai-prod/gpt-4o-mini": "rate-limited",
    }
    known = dataclasses.replace(seen, probed=probed)
    _, wished = result("", known, tmp_path, "one")
    assert "@openai-prod/gpt-4o" not in wished.entries[0].models
    assert "@openai-prod/gpt-4o-mini" in wished.entries[0].models


def test_only_what_is_asked_for(seen: Shown, tmp_path: Path) -> None:
    _, wished = result("", seen, tmp_path, "one", providers=("@openai-prod",), words=("MINI",))
    assert wished.entries[0].models == ("@openai-prod/gpt-4o-mini",)


def test_a_provider_that_is_not_there(seen: Shown) -> None:
    with pytest.raises(UsageError, match="reaches no provider typo") as caught:
        wishes.wish(seen, CompiledPolicy(), layout="one", providers=("typo",))
    assert "@openai-prod" in caught.value.why


def test_nothing_left(seen: Shown) -> None:
    with pytest.raises(UsageError, match="nothing to write"):
        wishes.wish(seen, CompiledPolicy(), layout="one", words=("no-such-model",))


# the default model


def test_the_default_is_proposed_where_it_is_refused(account: Account, tmp_path: Path) -> None:
    account.space.api_keys = [plane.key_row(ADMIN_KEY, plane.ADMIN)]
    seen = account.seen(ADMIN_KEY)
    for layout, default in (
        ("one", "portkey/@openai-prod/gpt-4o"),
        ("each", "portkey-openai/gpt-4o"),
    ):
        after, wished = result("", seen, tmp_path, layout)  # type: ignore[arg-type]
        assert wished.default == default
        assert tomllib.loads(after)["gateway"]["default"] == default


def test_a_default_of_the_users_own_stays(account: Account, tmp_path: Path) -> None:
    account.space.api_keys = [plane.key_row(ADMIN_KEY, plane.ADMIN)]
    seen = account.seen(ADMIN_KEY)
    text = '[gateway]\ndefault = "portkey/mine"\n'
    after, wished = result(text, seen, tmp_path, "one")
    assert tomllib.loads(after)["gateway"]["default"] == "portkey/mine"
    assert any("portkey/mine names no provider" in note for note in wished.notes)


@pytest.mark.parametrize("key", [ADMIN_KEY, WORKSPACE_KEY, WEAK_KEY])
def test_no_default_is_proposed_where_the_present_one_may_work(
    account: Account, tmp_path: Path, key: str
) -> None:
    seen = account.seen(key)
    after, wished = result("", seen, tmp_path)
    assert wished.default == ""
    assert "default" not in tomllib.loads(after)["gateway"]


# names of entries


@pytest.mark.parametrize(
    ("slug", "vendor", "taken", "expected"),
    [
        ("openrouter-main", "openrouter", (), "portkey-openrouter"),
        ("openrouter-main", None, (), "portkey-openrouter"),
        ("main-0a1b2c", "together-ai", (), "portkey-together"),
        ("main-0a1b2c", "openai", ("portkey-openai",), "portkey-main"),
        ("main-0a1b2c", "openai", ("portkey-openai", "portkey-main"), "portkey-main-0a1b2c"),
        ("Odd_Slug.X", "huggingface", (), "portkey-huggingface"),
        ("UPPER", "", (), "portkey-upper"),
        ("x" * 128, "", (), "portkey-" + "x" * 56),
    ],
)
def test_an_entry_is_named_by_its_vendor_if_that_is_free(
    slug: str, vendor: str | None, taken: tuple[str, ...], expected: str
) -> None:
    assert wishes.entry_name(slug, vendor, taken) == expected


def test_two_providers_of_one_vendor_have_two_names(account: Account, tmp_path: Path) -> None:
    for number in range(12):
        slug = f"openai-{number}"
        account.space.providers.append(plane.provider(slug))
        account.space.models.append(plane.model(slug, "gpt-4o"))
    seen = account.seen(WORKSPACE_KEY)
    _, wished = result("", seen, tmp_path)
    names = [entry.name for entry in wished.entries]
    assert len(names) == len(set(names)) == 14


@pytest.mark.parametrize("layout", ["one", "each"])
def test_more_models_than_a_policy_holds_are_to_be_chosen_from(
    account: Account, layout: wishes.Layout, tmp_path: Path
) -> None:
    account.space.models = [plane.model("openai-prod", f"gpt-{n}") for n in range(1001)]
    seen = account.seen(WORKSPACE_KEY)
    with pytest.raises(UsageError, match="1001 models are too many") as caught:
        result("", seen, tmp_path, layout)
    assert "line" not in caught.value.render()
    assert "routeguard portkey sync --provider openai-prod --dry-run" in caught.value.fix
    result("", seen, tmp_path, layout, words=("gpt-10",))


def test_more_providers_than_a_policy_holds_are_to_be_chosen_from(
    account: Account, tmp_path: Path
) -> None:
    slugs = [f"openai-{n}" for n in range(101)]
    account.space.providers = [plane.provider(slug) for slug in slugs]
    account.space.models = [plane.model(slug, "gpt") for slug in slugs]
    seen = account.seen(WORKSPACE_KEY)
    with pytest.raises(UsageError, match="101 providers are too many"):
        result("", seen, tmp_path, "each")
