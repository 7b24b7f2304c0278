"""The service that holds the ports: its text, and what installing and removing it changes.

The user manager of whoever runs these tests must not be changed by them, so `systemctl` and
`launchctl` are stand-ins on PATH that write down their arguments: what is asked of them is ours
to get right, what they do with it is theirs. The text of the unit is checked by the real
`systemd-analyze`, and one test has a real user manager of its own run it.
"""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from guard.catalog import local_proxies
from guard.errors import GuardError
from guard.install import hold_service

MAIN = str(Path(hold_service.__file__).parents[1] / "__main__.py")


class Machine:
    """A home directory and the calls its service manager got."""

    def __init__(self, root: Path) -> None:
        self.log = root / "calls"
        self.bin = root / "bin"
        self.bin.mkdir()
        self.environ = {
            "HOME": str(root / "home"),
            "PATH": f"{self.bin}:/usr/bin:/bin",
        }

    def manager(self, *, status: int = 0, says: str = "") -> None:
        for name in ("systemctl", "launchctl"):
            path = self.bin / name
            path.write_text(
                f'#!/bin/sh\necho "{name} $*" >>"{self.log}"\n'
                f'[ -z "{says}" ] || echo "{says}" >&2\nexit {status}\n'
            )
            path.chmod(0o755)

    def service(
        self, platform: str = "linux", python: str = sys.executable
    ) -> hold_service.Service:
        return hold_service.service(self.environ, python, MAIN, platform)

    def calls(self) -> list[str]:
        if not self.log.exists():
            return []
        lines = self.log.read_text().splitlines()
        self.log.unlink()
        return lines


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.manager()
    return made


# The text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("directory", ["plain", "a $HOME ${HOME} %h ; x"])
def test_systemd_reads_the_unit(
    tmp_path: Path, directory: str, missing_part: Callable[[str], None]
) -> None:
    """Also where a path holds what a unit file gives a meaning to."""
    if shutil.which("systemd-analyze") is None:
        missing_part("no systemd-analyze here (package systemd)")
    home = tmp_path / directory
    home.mkdir()
    python = home / "python3"
    python.symlink_to(sys.executable)
    environ = {"HOME": str(home), "XDG_CONFIG_HOME": f'{home}/"it\'s"\\config'}
    found = hold_service.service(environ, str(python), MAIN, "linux")
    unit = tmp_path / hold_service.UNIT
    unit.write_text(found.text)

    def verify() -> subprocess.CompletedProcess[str]:
        runtime = tmp_path / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        return subprocess.run(
            ["systemd-analyze", "verify", "--user", str(unit)],
            env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
            capture_output=True,
            text=True,
        )

    ended = verify()
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    python.unlink()
    assert f"Command {python} is not executable" in verify().stderr


def test_the_unit_is_started_again_after_a_failure_only(machine: Machine) -> None:
    text = machine.service().text
    assert f"ExecStart={sys.executable} -I -S {MAIN} ports hold\n" in text
    for line in ("Type=notify", "Restart=on-failure", "NoNewPrivileges=yes"):
        assert f"\n{line}\n" in text
    assert text.startswith("# routeguard-hold: ")
    assert "Environment=" not in text


def test_the_unit_keeps_where_the_policy_is(machine: Machine, tmp_path: Path) -> None:
    machine.environ |= {"XDG_CONFIG_HOME": str(tmp_path / "etc"), "XDG_STATE_HOME": "relative"}
    found = machine.service()
    assert found.path == str(tmp_path / "etc/systemd/user" / hold_service.UNIT)
    assert f"\nEnvironment=XDG_CONFIG_HOME={tmp_path}/etc\n" in found.text
    assert "XDG_STATE_HOME" not in found.text


def test_below_a_guarded_agent_the_users_own_config_home_counts(machine: Machine) -> None:
    expected = machine.service()
    machine.environ |= {"XDG_CONFIG_HOME": "/somewhere/of/ours", "ROUTEGUARD_CONFIG_HOME": ""}
    assert machine.service() == expected


@pytest.mark.parametrize("python", ["/new\nline/python", "/it's/python", '/"/python', "/a\\b/py"])
def test_a_path_that_no_unit_can_hold_is_an_error(machine: Machine, python: str) -> None:
    with pytest.raises(GuardError, match="cannot be started from this path"):
        machine.service(python=python)


def test_the_launchd_agent(machine: Machine) -> None:
    machine.environ["XDG_CONFIG_HOME"] = "/Users/me/.config & more"
    found = machine.service("darwin")
    assert found.path == f"{machine.environ['HOME']}/Library/LaunchAgents/routeguard.hold.plist"
    agent = plistlib.loads(found.text.encode())
    assert agent["ProgramArguments"] == [sys.executable, "-I", "-S", MAIN, "ports", "hold"]
    assert agent["Label"] == "routeguard.hold"
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["EnvironmentVariables"] == {"XDG_CONFIG_HOME": "/Users/me/.config & more"}
    assert found.text.splitlines()[1].startswith("<!-- routeguard-hold: ")


# Installing ---------------------------------------------------------------------------------------


def test_installed_twice_is_installed_once(machine: Machine) -> None:
    found = machine.service()
    assert hold_service.state(found) == "missing"
    lines = hold_service.install(found, machine.environ)
    assert lines == [f"wrote  {found.path}", "started, and will be at every login"]
    start = [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now routeguard-hold.service",
    ]
    assert machine.calls() == start
    assert Path(found.path).read_text() == found.text
    assert hold_service.state(found) == "current"
    lines = hold_service.install(found, machine.environ)
    assert lines == [f"unchanged  {found.path}", "started, and will be at every login"]
    assert machine.calls() == start
    assert os.listdir(Path(found.path).parent) == [hold_service.UNIT]


def test_an_older_one_is_replaced_and_restarted(machine: Machine) -> None:
    hold_service.install(machine.service(python="/old/python"), machine.environ)
    machine.calls()
    found = machine.service()
    assert hold_service.state(found) == "outdated"
    hold_service.install(found, machine.environ)
    assert machine.calls()[-1] == "systemctl --user restart routeguard-hold.service"
    assert hold_service.state(found) == "current"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_of_somebody_elses_stays(machine: Machine, tmp_path: Path, kind: str) -> None:
    found = machine.service()
    path = Path(found.path)
    path.parent.mkdir(parents=True)
    if kind == "file":
        path.write_text("[Unit]\n")
    else:
        (tmp_path / "other").write_text(found.text)
        path.symlink_to(tmp_path / "other")
    before = path.read_text()
    for act in (hold_service.install, hold_service.uninstall):
        with pytest.raises(GuardError, match="another service of this name") as caught:
            act(found, machine.environ)
        assert caught.value.exit_code == 3
    assert path.read_text() == before
    assert path.is_symlink() == (kind == "link")
    assert machine.calls() == []


def test_a_file_that_appears_in_the_meantime_is_not_replaced(machine: Machine) -> None:
    found = machine.service()
    path = Path(found.path)
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(GuardError, match="cannot write the service"):
        hold_service._write(found, new=True)
    assert path.read_text() == "mine"
    assert os.listdir(path.parent) == [hold_service.UNIT]


def test_a_directory_that_cannot_be_made_is_said(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(GuardError, match=r"cannot (read|write) the service"):
        hold_service.install(machine.service(), machine.environ)


def test_without_a_user_manager_it_says_what_to_run(machine: Machine) -> None:
    machine.manager(status=1, says="Failed to connect to bus: No medium found")
    lines = hold_service.install(machine.service(), machine.environ)
    assert lines[1:] == [
        "not started: systemctl --user daemon-reload: Failed to connect to bus: No medium found",
        "run this in a session of your own:",
        "  systemctl --user daemon-reload",
        "  systemctl --user enable --now routeguard-hold.service",
    ]
    assert machine.calls() == ["systemctl --user daemon-reload"]


def test_without_systemctl_it_says_so(machine: Machine) -> None:
    machine.environ["PATH"] = "/nowhere"
    lines = hold_service.install(machine.service(), machine.environ)
    assert lines[1] == "not started: there is no systemctl"


# Removing -----------------------------------------------------------------------------------------


def test_removed_is_removed_twice_too(machine: Machine) -> None:
    found = machine.service()
    hold_service.install(found, machine.environ)
    machine.calls()
    assert hold_service.uninstall(found, machine.environ) == [f"removed  {found.path}"]
    assert machine.calls() == [
        "systemctl --user disable --now routeguard-hold.service",
        "systemctl --user daemon-reload",
    ]
    assert hold_service.uninstall(found, machine.environ) == []
    assert machine.calls() == []


def test_without_a_user_manager_the_link_of_enable_goes_too(machine: Machine) -> None:
    found = machine.service()
    hold_service.install(found, machine.environ)
    wants = Path(found.path).parent / "default.target.wants"
    wants.mkdir()
    (wants / hold_service.UNIT).symlink_to(found.path)
    machine.manager(status=1, says="Failed to connect to bus")
    lines = hold_service.uninstall(found, machine.environ)
    assert lines == [
        "not stopped: systemctl --user disable --now routeguard-hold.service:"
        " Failed to connect to bus",
        "if a hold still runs, end it: routeguard ports hold --status",
        f"removed  {wants / hold_service.UNIT}",
        f"removed  {found.path}",
    ]
    assert os.listdir(wants) == []


def test_a_link_of_that_name_to_another_file_stays(machine: Machine, tmp_path: Path) -> None:
    found = machine.service()
    hold_service.install(found, machine.environ)
    wants = Path(found.path).parent / "default.target.wants"
    wants.mkdir()
    (wants / hold_service.UNIT).symlink_to(tmp_path / "another")
    hold_service.uninstall(found, machine.environ)
    assert os.listdir(wants) == [hold_service.UNIT]


def test_launchd_is_asked_for_the_agent(machine: Machine) -> None:
    found = machine.service("darwin")
    domain = f"gui/{os.getuid()}"
    hold_service.install(found, machine.environ)
    assert machine.calls() == [f"launchctl bootstrap {domain} {found.path}"]
    hold_service.install(found, machine.environ)  # it is there, and loaded
    assert machine.calls() == [f"launchctl print {domain}/routeguard.hold"]
    hold_service.uninstall(found, machine.environ)
    assert machine.calls() == [f"launchctl bootout {domain}/routeguard.hold"]
    assert not os.path.exists(found.path)


# A real user manager ------------------------------------------------------------------------------

_MANAGER = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p -m 700 /run/systemd/system /run/user-manager  # the first says "booted with systemd"
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
export XDG_RUNTIME_DIR=/run/user-manager
/lib/systemd/systemd --user --log-target=console &
manager=$!
for _ in $(seq 100); do
    systemctl --user is-system-running --quiet 2>/dev/null && break
    kill -0 $manager
    sleep 0.1
done
echo ready
"$0" -c "$1"
"""

_SCENARIO = """
import os, subprocess, sys
from guard.install import hold_service
from guard.proxies import hold

def systemctl(*words):
    ended = subprocess.run(["systemctl", "--user", *words], capture_output=True, text=True)
    return ended.stdout.strip()

def shows():
    wanted = ("Type", "ActiveState", "StatusText", "MainPID", "NoNewPrivileges", "NRestarts")
    shown = systemctl("show", hold_service.UNIT, "--property", ",".join(wanted))
    return dict(line.split("=", 1) for line in shown.splitlines())

found = hold_service.service(os.environ, sys.executable, os.environ["MAIN"], "linux")
print(hold_service.install(found, os.environ)[1:])
print(systemctl("is-enabled", hold_service.UNIT))
first = shows()
running = hold.running(os.environ)
assert running, systemctl("status", "--no-pager", hold_service.UNIT)
print(first["Type"], first["ActiveState"], first["StatusText"], first["NoNewPrivileges"])
print(int(first["MainPID"]) == running.pid, len(running.held))
hold_service.install(found, os.environ)
print(shows() == first)
print(hold_service.uninstall(found, os.environ) == ["removed  " + found.path])
print(hold.running(os.environ), shows()["ActiveState"], hold_service.uninstall(found, os.environ))
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has launchd, not systemd")
def test_a_real_user_manager_runs_it(tmp_path: Path, missing_part: Callable[[str], None]) -> None:
    """Started, ready, enabled, run twice, ended and forgotten, in namespaces of its own."""
    if not os.path.exists("/lib/systemd/systemd") or shutil.which("unshare") is None:
        missing_part("no systemd or no unshare here (packages systemd, util-linux)")
    home = tmp_path / "home"
    home.mkdir()
    options = "-mn" if os.getuid() == 0 else "-rmnC"
    ended = subprocess.run(
        # this sh is process 1 of its namespace: when it ends, all that it started ends
        [
            "unshare",
            options,
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            _MANAGER,
            sys.executable,
            _SCENARIO,
        ],
        env={"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "MAIN": MAIN},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if not ended.stdout.startswith("ready"):
        missing_part(f"no user manager can run here: {ended.stderr.strip()[-300:]}")
    assert ended.stdout.splitlines() == [
        "ready",
        "['started, and will be at every login']",
        "enabled",
        f"notify active holds {len(local_proxies.distinctive())} ports yes",
        f"True {len(local_proxies.distinctive())}",
        "True",
        "True",
        "None inactive []",
    ], ended.stderr
