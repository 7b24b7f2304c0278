"""Names in opencode's own store: added, taken away, and nothing else of it touched."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from guard.errors import ExitCode, GuardError
from guard.portkey import credentials

OTHERS: dict[str, Any] = {
    "openai": {"type": "oauth", "refresh": "canary-r", "access": "canary-a", "expires": 1.5e12},
    "näme": {"type": "api", "key": "canary-k", "metadata": {"account": "x"}},
}
NAMES = ["portkey-openrouter", "portkey-together"]


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def store(home: dict[str, str]) -> Path:
    return Path(credentials.store_path(home))


def content(home: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store(home).read_text())
    return found


def put(home: dict[str, str], raw: str) -> None:
    store(home).parent.mkdir(parents=True)
    store(home).write_text(raw)


def test_names_are_added_with_a_placeholder_and_privately(home: dict[str, str]) -> None:
    assert credentials.add(NAMES, home) == NAMES
    assert content(home) == {n: {"type": "api", "key": "held-by-routeguard"} for n in NAMES}
    assert stat.S_IMODE(store(home).stat().st_mode) == 0o600
    assert stat.S_IMODE(store(home).parent.stat().st_mode) == 0o700
    assert credentials.add(NAMES, home) == []


def test_the_store_is_where_opencode_has_it(tmp_path: Path) -> None:
    elsewhere = {"HOME": "/h", "XDG_DATA_HOME": str(tmp_path)}
    assert credentials.store_path(elsewhere) == f"{tmp_path}/opencode/auth.json"


def test_other_entries_survive_in_their_order(home: dict[str, str]) -> None:
    put(home, json.dumps(OTHERS))
    credentials.add(NAMES, home)
    assert list(content(home)) == [*OTHERS, *NAMES]
    assert credentials.remove(home) == NAMES
    assert content(home) == OTHERS
    assert list(content(home)) == list(OTHERS)
    assert os.listdir(store(home).parent) == ["auth.json"]


def test_an_entry_of_the_same_name_is_the_users(home: dict[str, str]) -> None:
    mine = {"portkey-openrouter": {"type": "api", "key": "canary"}}
    put(home, json.dumps(mine))
    assert credentials.add(NAMES, home) == ["portkey-together"]
    assert credentials.remove(home) == ["portkey-together"]
    assert content(home) == mine


def test_there_is_nothing_to_take_away(home: dict[str, str]) -> None:
    assert credentials.remove(home) == []
    assert not store(home).exists()
    put(home, json.dumps(OTHERS))
    before = store(home).stat().st_mtime_ns
    assert credentials.remove(home) == []
    assert store(home).stat().st_mtime_ns == before


@pytest.mark.parametrize("raw", ["", "{", "[]", "[" * 100_000, '{"a": "\udcff"}'])
def test_a_store_that_cannot_be_read_is_left_as_it_is(home: dict[str, str], raw: str) -> None:
    store(home).parent.mkdir(parents=True)
    store(home).write_bytes(raw.encode(errors="surrogateescape"))
    for change in (lambda: credentials.add(NAMES, home), lambda: credentials.remove(home)):
        with pytest.raises(GuardError) as refused:
            change()
        assert refused.value.exit_code == ExitCode.CONFIG
        assert refused.value.where == str(store(home))
    assert store(home).read_bytes() == raw.encode(errors="surrogateescape")


def test_a_pipe_in_its_place_keeps_nobody_waiting(home: dict[str, str]) -> None:
    store(home).parent.mkdir(parents=True)
    os.mkfifo(store(home))
    with pytest.raises(GuardError, match="left as it is"):
        credentials.add(NAMES, home)


def test_a_store_kept_elsewhere_stays_a_link(home: dict[str, str], tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_text(json.dumps(OTHERS))
    store(home).parent.mkdir(parents=True)
    store(home).symlink_to(real)
    credentials.add(NAMES, home)
    assert store(home).is_symlink()
    assert set(json.loads(real.read_text())) == {*OTHERS, *NAMES}


def test_what_opencode_saves_in_the_meantime_is_not_lost(
    home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home, "{}")
    reading = credentials.read_bytes

    def interrupted(path: str) -> bytes | None:
        raw = reading(path)
        store(home).write_text(json.dumps(OTHERS))
        return raw

    monkeypatch.setattr(credentials, "read_bytes", interrupted)
    with pytest.raises(GuardError) as refused:
        credentials.add(NAMES, home)
    assert "in the meantime" in refused.value.why
    assert content(home) == OTHERS
