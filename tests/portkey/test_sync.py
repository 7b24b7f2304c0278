"""What was found, as edits of a policy: what is written, what is kept, what is refused."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import control_plane as plane
import pytest
from conftest import ADMIN_KEY, WEAK_KEY, WORKSPACE_KEY, Account

from guard import paths
from guard.errors import PolicyError, UsageError
from guard.policy.compile import compile_files
from guard.policy.values import CompiledPolicy
from guard.portkey import sync
from guard.portkey.account import Account as Shown

COMMENTED = """\
# my policy
schema = 1

[gateway]  # where calls go
base_url = "https://gateway.example/v1"

# the cheap one
[gateway.providers.cheap]
slug = "openrouter-main"   # do not touch
key = { env = "CHEAP_KEY" }
models = ["old/model"]

[keys]
action = "scrub"
"""


@pytest.fixture
def seen(account: Account) -> Shown:
    return account.seen(WORKSPACE_KEY)


def compiled(text: str, tmp_path: Path) -> CompiledPolicy:
    path = tmp_path / "before.toml"
    path.write_text(text)
    return compile_files("/nonexistent/policy.toml", str(path), ())[0]


def result(
    text: str, seen: Shown, tmp_path: Path, layout: sync.Layout = "each", **more: Any
) -> tuple[str, sync.Wish]:
    """The policy after a sync, and what was wished."""
    policy = compiled(text, tmp_path)
    wished = sync.wish(seen, policy, layout=layout, **more)
    after = sync.edited(text, wished, policy)
    sync.tried(after, str(tmp_path / "policy.toml"), wished)
    return after, wished


def providers(text: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(text)["gateway"]["providers"]
    return found


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
    again = sync.wish(account.seen(WORKSPACE_KEY), compiled(after, tmp_path), layout="one")
    assert sync.edited(after, again, compiled(after, tmp_path)) == after
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
    assert sync.layout_of(compiled("", tmp_path)) == "one"
    assert sync.layout_of(compiled(_entries(), tmp_path)) == "each"


def _entries() -> str:
    return COMMENTED.replace("[gateway]", '[gateway]\ndefault = "cheap/old/model"')


def test_a_key_of_its_own_is_named_by_its_variable(seen: Shown, tmp_path: Path) -> None:
    after, _ = result("", seen, tmp_path, keys={"openrouter-main": "PORTKEY_OPENROUTER_KEY"})
    assert providers(after)["portkey-openrouter"]["key"] == {"env": "PORTKEY_OPENROUTER_KEY"}
    assert "key" not in providers(after)["portkey-openai"]


# what is kept


def test_comments_and_everything_else_stay(seen: Shown, tmp_path: Path) -> None:
    text = _entries()
    after, _ = result(text, seen, tmp_path)
    changed = [line for line in sync.diff(text, after, "p") if line.startswith("-")]
    assert changed == ["--- p (as it is)", '-models = ["old/model"]']
    for line in ("# my policy", "# where calls go", "# the cheap one", "# do not touch", "[keys]"):
        assert any(line.strip() in kept for kept in after.splitlines())


def test_an_entry_keeps_its_name_and_its_key(seen: Shown, tmp_path: Path) -> None:
    after, _ = result(_entries(), seen, tmp_path)
    found = providers(after)
    assert found["cheap"] == {
        "slug": "openrouter-main",
        "key": {"env": "CHEAP_KEY"},
        "models": ["mistralai/mistral-7b-instruct"],
    }
    assert "portkey-openrouter" not in found


CODEX = {"codex": {"provider": "@openai-prod"}}
"""What the one provider of the account that Codex can use adds to a policy."""


def test_unknown_keys_and_other_tables_stay(seen: Shown, tmp_path: Path) -> None:
    text = '[gateway]\nfuture = 1\n[odd]\nx = [1, # one\n 2]\n[[exception]]\nsubject = "env:X"\n'
    wished = sync.wish(seen, CompiledPolicy(), layout="one")
    after = sync.edited(text, wished, CompiledPolicy())
    found = tomllib.loads(after)
    assert found["gateway"].pop("providers")
    assert found.pop("agents") == CODEX
    assert found == tomllib.loads(text)
    assert "# one" in after


def test_a_second_time_changes_nothing(seen: Shown, tmp_path: Path) -> None:
    for layout in ("one", "each"):
        for text in ("", _entries()):
            after, _ = result(text, seen, tmp_path, layout)  # type: ignore[arg-type]
            again, _ = result(after, seen, tmp_path, layout)  # type: ignore[arg-type]
            assert sync.diff(after, again, "p") == []


STYLES = {
    "inline": 'gateway = { base_url = "https://a.example/v1" }  # mine\nschema = 1\n',
    "dotted": 'gateway.base_url = "https://a.example/v1"  # mine\nschema = 1\n',
    "dotted entry": 'gateway.providers.portkey.name = "Mine"  # mine\nschema = 1\n[keys]\n',
    "dotted below": '[gateway]\nproviders.a.slug = "a"  # mine\nproviders.a.models = ["z"]\n'
    'default = "a/z"\n',
    "inline below": '[gateway]\nproviders = { portkey = { models = ["z"] } }  # mine\n',
    "tables apart": '[gateway.providers.portkey]\n[keys]\n[gateway]  # mine\nsmall = "portkey/x"\n',
    "array below": '[[exception]]  # mine\nsubject = "env:X"\nreason = "r"\nuntil = 2099-01-01\n',
    "windows": '[gateway]\r\n# mine\r\nbase_url = "https://a.example/v1"\r\n\r\n[keys]\r\n',
    "no line break at its end": "# mine\n[keys]\naction = 'flag'",
    "quoted": '["gateway"."providers"."portkey"]  # mine\n"models" = ["z"]\n',
}


@pytest.mark.parametrize("layout", ["one", "each"])
@pytest.mark.parametrize("text", STYLES.values(), ids=STYLES.keys())
def test_every_way_of_writing_toml(
    seen: Shown, tmp_path: Path, text: str, layout: sync.Layout
) -> None:
    after, wished = result(text, seen, tmp_path, layout)
    found, before = tomllib.loads(after), tomllib.loads(text)
    for entry in wished.entries:
        assert found["gateway"]["providers"][entry.name]["models"] == list(entry.models)
    assert "# mine" in after
    found["gateway"].pop("providers")
    before.setdefault("gateway", {}).pop("providers", None)
    assert found.pop("agents") == CODEX
    assert found == before


@pytest.mark.parametrize("text", ["[gateway", "gateway = 3", "[gateway]\nproviders = 3", "\x00"])
def test_what_is_no_policy_is_not_edited(seen: Shown, text: str) -> None:
    wished = sync.wish(seen, CompiledPolicy(), layout="one")
    with pytest.raises(PolicyError, match="cannot be edited"):
        sync.edited(text, wished, CompiledPolicy())


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
        sync.wish(seen, CompiledPolicy(), layout="one", providers=("typo",))
    assert "@openai-prod" in caught.value.why


def test_nothing_left(seen: Shown) -> None:
    with pytest.raises(UsageError, match="nothing to write"):
        sync.wish(seen, CompiledPolicy(), layout="one", words=("no-such-model",))


def test_more_models_than_a_launch_can_carry(account: Account, tmp_path: Path) -> None:
    account.space.models = [plane.model("openai-prod", f"model-{n:05}") for n in range(900)]
    seen = account.seen(WEAK_KEY)
    wished = sync.wish(seen, CompiledPolicy(), layout="one")
    many = tuple(f"@openai-prod/{'long-' * 20}{n}" for n in range(900))
    large = dataclasses.replace(
        wished, entries=(dataclasses.replace(wished.entries[0], models=many),)
    )
    after = sync.edited("", large, CompiledPolicy())
    with pytest.raises((UsageError, PolicyError)) as caught:
        sync.tried(after, str(tmp_path / "policy.toml"), large)
    assert "models" in caught.value.what or "900" in caught.value.render()


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


# the system's policy, the file itself


@pytest.mark.parametrize(
    "system",
    [
        '[gateway.providers.portkey]\nmodels = ["theirs"]\n',
        '[gateway.providers.company]\nslug = "x"\n[gateway]\ndefault = "company/m"\n',
    ],
)
def test_a_system_policy_that_sets_the_entries_is_said(
    seen: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    path = tmp_path / "system.toml"
    path.write_text(system)
    monkeypatch.setattr(paths, "SYSTEM_POLICY", str(path))
    wished = sync.wish(seen, CompiledPolicy(), layout="one")
    after = sync.edited("", wished, CompiledPolicy())
    with pytest.raises(PolicyError, match="the system policy sets"):
        sync.tried(after, str(tmp_path / "policy.toml"), wished)


def test_trying_leaves_nothing_behind(
    seen: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    policy = tmp_path / "not" / "there" / "policy.toml"
    wished = sync.wish(seen, CompiledPolicy(), layout="one")
    sync.tried(sync.edited("", wished, CompiledPolicy()), str(policy), wished)
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_would_not_hold_is_named_by_its_own_path(seen: Shown, tmp_path: Path) -> None:
    wished = sync.wish(seen, CompiledPolicy(), layout="one")
    text = '[gateway]\nbase_url = "http://far.example"\n'
    with pytest.raises(PolicyError) as caught:
        sync.tried(sync.edited(text, wished, CompiledPolicy()), "/home/me/policy.toml", wished)
    assert "/home/me/policy.toml" in caught.value.render()
    assert "routeguard-" not in caught.value.render()


def test_the_old_policy_is_kept_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("# old\n")
    kept = sync.write(str(path), "# old\n", "# new\n")
    assert path.read_text() == "# new\n"
    subprocess.run(["mv", kept, str(path)], check=True)
    assert path.read_text() == "# old\n"
    assert os.listdir(tmp_path) == ["policy.toml"]


def test_a_policy_that_changed_in_between_stays(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("# somebody was faster\n")
    with pytest.raises(PolicyError, match="changed while this ran"):
        sync.write(str(path), "# old\n", "# new\n")
    assert path.read_text() == "# somebody was faster\n"
    assert os.listdir(tmp_path) == ["policy.toml"]


def test_a_policy_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="cannot be read"):
        sync.read(str(path))
    assert sync.read(str(tmp_path / "none.toml")) == ""


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
    assert sync.entry_name(slug, vendor, taken) == expected


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
    account: Account, layout: sync.Layout, tmp_path: Path
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
