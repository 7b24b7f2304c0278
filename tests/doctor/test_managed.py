"""The administrator's files, as doctor sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctored import Machine

from guard.cli import main


@pytest.fixture
def company(machine: Machine) -> Machine:
    """The machine, with a system policy below its root."""
    machine.system = machine.root / "etc" / "routeguard" / "policy.toml"
    machine.system.parent.mkdir(parents=True)
    for folder in (machine.root, machine.root / "etc", machine.system.parent):
        folder.chmod(0o755)
    machine.system.write_text('[agents]\nguard = ["codex"]\n[agents.codex]\nprovider = "@x"\n')
    machine.system.chmod(0o644)
    return machine


def installed(machine: Machine) -> Path:
    assert main(["managed", "install", "--root", str(machine.root)]) == 0
    return machine.root / "etc/codex/managed_config.toml"


def test_nothing_to_look_at(machine: Machine) -> None:
    assert machine.one("managed").state == "skipped"


def test_a_system_policy_alone(company: Machine) -> None:
    found = company.one("managed")
    assert (found.state, "not installed" in found.what) == ("skipped", True)


def test_files_as_the_policy_renders_them(company: Machine) -> None:
    installed(company)
    assert company.one("managed").state == "ok"


def test_a_policy_that_moved_on(company: Machine) -> None:
    installed(company)
    company.system.write_text(company.system.read_text() + 'model = "gpt-5.5"\n')
    found = company.one("managed")
    assert (found.state, found.fix) == ("warning", "sudo routeguard managed install")
    assert "outdated" in found.what


def test_a_file_that_somebody_changed_or_could_change(company: Machine) -> None:
    path = installed(company)
    path.chmod(0o666)
    found = company.one("managed")
    assert (found.state, found.rule) == ("broken", "RG302")
    path.chmod(0o644)
    path.write_text("# mine\n")
    found = company.one("managed")
    assert (found.state, found.fix) == ("broken", "routeguard managed diff")


def test_a_system_policy_that_others_can_change(company: Machine) -> None:
    company.system.chmod(0o646)
    assert [one.rule for one in company.check("managed") if one.state == "broken"] == ["RG501"]
