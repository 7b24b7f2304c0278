"""The text of a policy after a sync: what is kept, what is refused, the file itself."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tomllib
from pathlib import Path

import control_plane as plane
import pytest
from conftest import WEAK_KEY, Account
from edits import entries, providers, result

from guard import paths
from guard.errors import PolicyError, UsageError
from guard.policy.values import CompiledPolicy
from guard.portkey import policy_edit, wishes
from guard.portkey.account import Account as Shown

# what is kept


def test_comments_and_everything_else_stay(seen: Shown, tmp_path: Path) -> None:
    text = entries()
    after, _ = result(text, seen, tmp_path)
    changed = [line for line in policy_edit.diff(text, after, "p") if line.startswith("-")]
    assert changed == ["--- p (as it is)", '-models = ["old/model"]']
    for line in ("# my policy", "# where calls go", "# the cheap one", "# do not touch", "[keys]"):
        assert any(line.strip() in kept for kept in after.splitlines())


def test_an_entry_keeps_its_name_and_its_key(seen: Shown, tmp_path: Path) -> None:
    after, _ = result(entries(), seen, tmp_path)
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
    wished = wishes.wish(seen, CompiledPolicy(), layout="one")
    after = policy_edit.edited(text, wished, CompiledPolicy())
    found = tomllib.loads(after)
    assert found["gateway"].pop("providers")
    assert found.pop("agents") == CODEX
    assert found == tomllib.loads(text)
    assert "# one" in after


def test_a_second_time_changes_nothing(seen: Shown, tmp_path: Path) -> None:
    for layout in ("one", "each"):
        for text in ("", entries()):
            after, _ = result(text, seen, tmp_path, layout)  # type: ignore[arg-type]
            again, _ = result(after, seen, tmp_path, layout)  # type: ignore[arg-type]
            assert policy_edit.diff(after, again, "p") == []


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
    seen: Shown, tmp_path: Path, text: str, layout: wishes.Layout
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
    wished = wishes.wish(seen, CompiledPolicy(), layout="one")
    with pytest.raises(PolicyError, match="cannot be edited"):
        policy_edit.edited(text, wished, CompiledPolicy())


def test_more_models_than_a_launch_can_carry(account: Account, tmp_path: Path) -> None:
    account.space.models = [plane.model("openai-prod", f"model-{n:05}") for n in range(900)]
    seen = account.seen(WEAK_KEY)
    wished = wishes.wish(seen, CompiledPolicy(), layout="one")
    many = tuple(f"@openai-prod/{'long-' * 20}{n}" for n in range(900))
    large = dataclasses.replace(
        wished, entries=(dataclasses.replace(wished.entries[0], models=many),)
    )
    after = policy_edit.edited("", large, CompiledPolicy())
    with pytest.raises((UsageError, PolicyError)) as caught:
        policy_edit.tried(after, str(tmp_path / "policy.toml"), large)
    assert "models" in caught.value.what or "900" in caught.value.render()


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
    wished = wishes.wish(seen, CompiledPolicy(), layout="one")
    after = policy_edit.edited("", wished, CompiledPolicy())
    with pytest.raises(PolicyError, match="the system policy sets"):
        policy_edit.tried(after, str(tmp_path / "policy.toml"), wished)


def test_trying_leaves_nothing_behind(
    seen: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    policy = tmp_path / "not" / "there" / "policy.toml"
    wished = wishes.wish(seen, CompiledPolicy(), layout="one")
    policy_edit.tried(policy_edit.edited("", wished, CompiledPolicy()), str(policy), wished)
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_would_not_hold_is_named_by_its_own_path(seen: Shown, tmp_path: Path) -> None:
    wished = wishes.wish(seen, CompiledPolicy(), layout="one")
    text = '[gateway]\nbase_url = "http://far.example"\n'
    with pytest.raises(PolicyError) as caught:
        policy_edit.tried(
            policy_edit.edited(text, wished, CompiledPolicy()), "/home/me/policy.toml", wished
        )
    assert "/home/me/policy.toml" in caught.value.render()
    assert "routeguard-" not in caught.value.render()


def test_the_old_policy_is_kept_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("# old\n")
    kept = policy_edit.write(str(path), "# old\n", "# new\n")
    assert path.read_text() == "# new\n"
    subprocess.run(["mv", kept, str(path)], check=True)
    assert path.read_text() == "# old\n"
    assert os.listdir(tmp_path) == ["policy.toml"]


def test_a_policy_that_changed_in_between_stays(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("# somebody was faster\n")
    with pytest.raises(PolicyError, match="changed while this ran"):
        policy_edit.write(str(path), "# old\n", "# new\n")
    assert path.read_text() == "# somebody was faster\n"
    assert os.listdir(tmp_path) == ["policy.toml"]


def test_a_policy_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="cannot be read"):
        policy_edit.read(str(path))
    assert policy_edit.read(str(tmp_path / "none.toml")) == ""
