"""The checks of our own files: each of them broken, and each of them well."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctored import Machine

from guard import __version__
from guard.doctor.files import unwritable


def test_a_log_that_can_be_written(machine: Machine) -> None:
    assert machine.one("audit").state == "ok"
    assert not (machine.home / ".local/state").exists(), "nothing is written"


@pytest.mark.parametrize("required", [False, True])
def test_a_log_that_cannot_be_written(machine: Machine, required: bool) -> None:
    (machine.home / ".local/state/routeguard/audit.jsonl").mkdir(parents=True)
    machine.policy(f"[audit]\nrequired = {str(required).lower()}\n")
    found = machine.one("audit")
    assert (found.state, found.rule) == ("broken" if required else "warning", "RG503")
    assert "it is not a regular file" in found.what


def test_a_cache_that_can_be_written(machine: Machine) -> None:
    assert machine.one("cache").state == "ok"


def test_a_cache_that_cannot_be_written(machine: Machine) -> None:
    machine.write(".cache", "")
    found = machine.one("cache")
    assert found.state == "warning"
    assert f"{machine.home}/.cache is not a directory" in found.what


def test_the_version(machine: Machine) -> None:
    assert f"routeguard {__version__} in " in machine.one("version").what


def test_what_another_user_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log").write_text("")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert unwritable(str(tmp_path / "log")) == "you may not write to it"
    assert unwritable(str(tmp_path / "a/b/c")) == f"you may not write to {tmp_path}"
