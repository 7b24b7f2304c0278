"""Who starts a process again, from the control group, the parents and launchd's list."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from guard.sources import processes
from guard.sources.keepers import keeper, parse_launchctl
from guard.sources.processes import Snapshot

ID = "0123456789ab" + "0" * 52


def kept(
    tmp_path: Path,
    cgroup: str,
    *,
    parents: tuple[Snapshot, ...] = (),
    environ: str = "",
    pid: int = 10,
) -> tuple[str, str, tuple[str, ...], bool] | None:
    for number in (pid, *(one.pid for one in parents)):
        home = tmp_path / str(number)
        home.mkdir()
        (home / "stat").write_text(f"{number} (x) S 0 " + "0 " * 49)
        (home / "cgroup").write_text(cgroup)
        (home / "environ").write_text(environ)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(processes, "PROC", str(tmp_path))
        patched.setattr(psutil, "PROCFS_PATH", str(tmp_path))
        found = keeper(Snapshot(pid, comm="litellm"), parents)
    return (found.kind, found.unit, found.stop, found.owned) if found is not None else None


SYSTEMD = Snapshot(1, comm="systemd")
OLLAMA = "0::/system.slice/ollama.service\n"


class TestSystemd:
    def test_a_unit_of_the_system(self, tmp_path: Path) -> None:
        root = os.geteuid() == 0
        stop = ("systemctl", "stop", "ollama")
        assert kept(tmp_path, OLLAMA, parents=(SYSTEMD,)) == (
            "systemd", "ollama.service", stop, root,
        )  # fmt: skip

    @pytest.mark.parametrize(("uid", "owned"), [(os.getuid(), True), (4242, False)])
    def test_a_unit_of_a_user(self, tmp_path: Path, uid: int, owned: bool) -> None:
        path = f"/user.slice/user-{uid}.slice/user@{uid}.service/app.slice/llm.service"
        assert kept(tmp_path, f"0::{path}\n") == (
            "systemd-user", "llm.service", ("systemctl", "--user", "stop", "llm"), owned,
        )  # fmt: skip

    def test_version_one_of_control_groups(self, tmp_path: Path) -> None:
        text = "12:pids:/system.slice/ollama.service\n1:name=systemd:/system.slice/ollama.service\n"
        found = kept(tmp_path, text)
        assert found is not None
        assert found[1] == "ollama.service"

    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "",
            "/user.slice/user-1000.slice/session-3.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-code-77.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope",
            "/user.slice/user-1000.slice/user@1000.service/init.scope",
            "/user.slice/user-1000.slice/user@1000.service",
        ],
    )
    def test_a_session_keeps_nothing_alive(self, tmp_path: Path, path: str) -> None:
        assert kept(tmp_path, f"0::{path}\n") is None

    def test_what_was_typed_below_a_service_is_not_the_service(self, tmp_path: Path) -> None:
        above = (Snapshot(8, comm="bash"), Snapshot(7, comm="sshd"), SYSTEMD)
        assert kept(tmp_path, "0::/system.slice/ssh.service\n", parents=above) is None

    def test_a_service_that_starts_it_through_a_shell(self, tmp_path: Path) -> None:
        found = kept(tmp_path, OLLAMA, parents=(Snapshot(8, comm="sh"), SYSTEMD))
        assert found is not None

    def test_a_worker_of_the_same_program(self, tmp_path: Path) -> None:
        found = kept(tmp_path, OLLAMA, parents=(Snapshot(8, comm="litellm"), SYSTEMD))
        assert found is not None


class TestContainers:
    @pytest.mark.parametrize(
        "path",
        [f"/system.slice/docker-{ID}.scope", f"/docker/{ID}", f"/docker/{ID}/init.scope"],
    )
    def test_docker(self, tmp_path: Path, path: str) -> None:
        found = kept(tmp_path, f"0::{path}\n")
        assert found is not None
        assert found[:3] == ("docker", "0123456789ab", ("docker", "stop", "0123456789ab"))

    def test_podman(self, tmp_path: Path) -> None:
        found = kept(tmp_path, f"0::/user.slice/libpod-{ID}.scope/container\n")
        assert found is not None
        assert found[2] == ("podman", "stop", "0123456789ab")


class TestSupervisors:
    def test_pm2(self, tmp_path: Path) -> None:
        above = (Snapshot(8, comm="PM2 v5.4.2: God", uid=os.getuid()),)
        found = kept(tmp_path, "0::/\n", parents=above, environ="name=x\0pm_id=3\0")
        assert found == ("supervisor", "pm2", ("pm2", "stop", "3"), True)

    def test_supervisord(self, tmp_path: Path) -> None:
        above = (Snapshot(8, comm="sh"), Snapshot(7, comm="supervisord", uid=4242))
        environ = "SUPERVISOR_PROCESS_NAME=llm_0\0SUPERVISOR_GROUP_NAME=llm\0"
        found = kept(tmp_path, "0::/\n", parents=above, environ=environ)
        assert found == ("supervisor", "supervisord", ("supervisorctl", "stop", "llm:llm_0"), False)

    def test_a_name_that_is_no_name(self, tmp_path: Path) -> None:
        above = (Snapshot(7, comm="supervisord"),)
        environ = "SUPERVISOR_PROCESS_NAME=x; rm\0SUPERVISOR_GROUP_NAME=\0"
        found = kept(tmp_path, "0::/\n", parents=above, environ=environ)
        assert found is not None
        assert found[2] == ()

    def test_one_further_up_started_something_else(self, tmp_path: Path) -> None:
        above = (Snapshot(8, comm="make"), Snapshot(7, comm="supervisord"))
        assert kept(tmp_path, "0::/\n", parents=above) is None


def test_nothing_can_be_read() -> None:
    assert keeper(Snapshot(4_194_305)) is None


class TestLaunchd:
    """The columns are those of launchctl(1); no macOS was at hand."""

    TEXT = (
        "PID\tStatus\tLabel\n-\t0\tcom.apple.idle\n501\t0\thomebrew.mxcl.ollama\n"
        "502\t0\tcom.example.llm\n503\t0\tapplication.com.ollama.1.2\n"
    )

    def test_a_service_of_brew(self) -> None:
        found = parse_launchctl(self.TEXT, 501, 1, 99)
        assert found is not None
        assert (found.kind, found.stop) == ("brew", ("brew", "services", "stop", "ollama"))

    def test_a_job_by_its_child(self) -> None:
        found = parse_launchctl(self.TEXT, 777, 502, 99)
        assert found is not None
        assert found.stop == ("launchctl", "bootout", "gui/99/com.example.llm")

    @pytest.mark.parametrize(("pid", "parent"), [(503, 1), (4, 1), (4, 0)])
    def test_none(self, pid: int, parent: int) -> None:
        assert parse_launchctl(self.TEXT, pid, parent, 99) is None
