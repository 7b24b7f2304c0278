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
    fix = f"sudo routeguard managed install --root {company.root}"
    assert (found.state, found.fix) == ("warning", fix)
    assert "outdated" in found.what


def test_a_file_that_somebody_changed_or_could_change(company: Machine) -> None:
    path = installed(company)
    path.chmod(0o666)
    found = company.one("managed")
    assert (found.state, found.rule) == ("broken", "RG302")
    path.chmod(0o644)
    path.write_text("# mine\n")
    found = company.one("managed")
    fix = f"routeguard managed diff --root {company.root}"
    assert (found.state, found.fix) == ("broken", fix)


def test_a_system_policy_that_others_can_change(company: Machine) -> None:
    company.system.chmod(0o646)
    assert [one.rule for one in company.check("managed") if one.state == "broken"] == ["RG501"]


def test_a_policy_that_is_gone_leaves_files_that_still_hold(company: Machine) -> None:
    installed(company)
    company.system.unlink()
    found = company.one("managed")
    assert (found.state, "2 files" in found.what) == ("warning", True)
    assert found.fix == f"sudo routeguard managed remove --root {company.root}"


def test_a_memory_that_others_could_have_written(company: Machine) -> None:
    installed(company)
    (company.root / "etc/routeguard/managed.json").chmod(0o666)
    found = company.one("managed")
    assert (found.state, "routeguard remembers" in found.what) == ("broken", True)


def test_a_users_own_file(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of opencode 2, which has no administrator's file."""
    for name, value in machine.environ.items():
        monkeypatch.setenv(name, value)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (machine.bin / "opencode").unlink()  # a 1.x would read the file as well
    machine.home.chmod(0o755)
    machine.policy('[gateway.providers.portkey]\nmodels = ["gpt-4o"]\n')
    assert main(["managed", "install", "--user"]) == 0
    monkeypatch.undo()
    path = machine.home / ".config/opencode/opencode.json"

    def own() -> tuple[str, str, str]:
        skipped, found = machine.check("managed")
        assert (skipped.state, "no system policy" in skipped.what) == ("skipped", True)
        return found.state, found.what, found.fix

    state, what, _ = own()
    assert (state, what) == ("ok", "1 file is as your policy renders it, and yours alone")
    content = path.read_text()
    path.write_text(content.replace("gpt-4o", "gpt-5.5"))
    assert own()[::2] == ("warning", "routeguard managed diff --user")
    path.write_text(content)
    path.chmod(0o622)
    assert own()[::2] == ("warning", "routeguard managed status --user")
    path.chmod(0o600)
    machine.policy('[gateway.providers.portkey]\nmodels = ["gpt-5.5"]\n')
    assert own()[::2] == ("warning", "routeguard managed install --user")
    machine.policy("nonsense = 1\n")
    assert own()[0] == "skipped"
