"""The environment: found, built beside the old one, taken into use at once, removed completely."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.shells

USED = {
    "awk", "basename", "cat", "chmod", "cksum", "cmp", "cp", "date", "dirname", "find", "grep",
    "head", "id", "ln", "ls", "mkdir", "mktemp", "mv", "readlink", "rm", "rmdir", "sed", "sh",
    "sort", "tail", "tr", "wc",
}  # fmt: skip
"""The programs that install.sh may use apart from Python."""


def versions(home) -> set[str]:
    return {path.name for path in (home.data / "versions").iterdir()}


def private_clone(home, tmp_path: Path) -> Path:
    """The clone of `home` replaced by one that a test may change."""
    clone = tmp_path / "my clone"
    shutil.copytree(home.clone, clone)
    home.clone = clone
    return clone


def change_version(clone: Path, version: str) -> None:
    (clone / "guard/__init__.py").write_text(f'"""Changed."""\n\n__version__ = "{version}"\n')


def test_a_home_is_as_it_was_after_everything_was_installed_and_removed(
    empty_home, snapshot
) -> None:
    home = empty_home
    (home.path / ".bashrc").write_bytes(b"export A=1")
    (home.path / ".config").mkdir()
    before = snapshot(home.path)
    home.install("--shell", "all", shims=True)
    assert home.run(str(home.launcher), "--version").returncode == 0
    assert snapshot(home.path) != before
    home.install("--uninstall")
    assert snapshot(home.path) == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a link to somebody else")
def test_a_home_behind_a_link_of_the_system_is_a_home(home, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(home.path)
    os.lchown(link, 65534, 65534)
    home.install("--shell", "zsh", HOME=str(link))
    assert str(link / ".local/bin/routeguard") in (home.path / ".zshrc").read_text()
    home.install("--uninstall", HOME=str(link))
    assert not (home.path / ".zshrc").exists()


def test_what_routeguard_made_at_run_time_goes_or_is_named(home, snapshot) -> None:
    home.install("--no-rc")
    kept = {".local/state/routeguard/audit.log": "x", ".config/routeguard/policy.toml": "y"}
    for name, content in {**kept, ".cache/routeguard/policy/z": "z"}.items():
        (home.path / name).parent.mkdir(parents=True, exist_ok=True)
        (home.path / name).write_text(content)
    result = home.install("--uninstall")
    files = {name for name in snapshot(home.path) if (home.path / name).is_file()}
    assert files == set(kept)
    for name in kept:
        assert f"kept       {(home.path / name).parent}/ (--purge removes it)" in result.stdout
    home.install("--uninstall", "--purge")
    assert not [name for name in snapshot(home.path) if (home.path / name).is_file()]


@pytest.mark.parametrize(
    ("name", "text", "command"),
    [
        (
            ".config/systemd/user/routeguard-hold.service",
            "# routeguard-hold: written by `routeguard ports hold --install`, removed by "
            "--uninstall\n[Unit]\n",
            "systemctl --user disable --now routeguard-hold.service",
        ),
        (
            "Library/LaunchAgents/routeguard.hold.plist",
            '<?xml version="1.0" encoding="UTF-8"?>\n<!-- routeguard-hold: written by `routeguard '
            "ports hold install`, removed by uninstall -->\n",
            f"launchctl bootout gui/{os.getuid()}/routeguard.hold",
        ),
    ],
)
@pytest.mark.parametrize("status", [0, 1])
def test_the_service_of_version_0_1_goes_with_the_rest(
    empty_home, name: str, text: str, command: str, status: int
) -> None:
    """Alone it would fail at every login. Its manager is a stand-in: ours must not be asked."""
    home = empty_home
    service = home.path / name
    wanted = service.parent / "default.target.wants" / service.name
    wanted.parent.mkdir(parents=True)
    service.write_text(text)
    if service.suffix == ".service":
        wanted.symlink_to(service)
    bin_ = home.path / "bin"
    bin_.mkdir()
    for manager in ("systemctl", "launchctl"):
        (bin_ / manager).write_text(f'#!/bin/sh\necho "{manager} $*" >>~/calls\nexit {status}\n')
        (bin_ / manager).chmod(0o755)
    environ = {"PATH": f"{bin_}:{home.environ['PATH']}"}
    assert str(service) in home.install("--uninstall", "--dry-run", **environ).stdout
    assert service.exists()
    home.install("--uninstall", **environ)
    assert not service.exists()
    assert not wanted.is_symlink()
    assert (home.path / "calls").read_text().splitlines() == [command]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_somebody_elses_service_of_that_name_stays(empty_home, kind: str) -> None:
    service = empty_home.path / ".config/systemd/user/routeguard-hold.service"
    service.parent.mkdir(parents=True)
    other = service.with_name("other") if kind == "link" else service
    other.write_text("[Unit]\n" + "# routeguard-hold: \n" * (kind == "link"))
    if kind == "link":
        service.symlink_to(other)
    empty_home.install("--uninstall")
    assert service.exists()


def test_removing_what_was_never_installed_changes_nothing(empty_home, snapshot) -> None:
    (empty_home.path / ".bashrc").write_bytes(b"export A=1\n")
    before = snapshot(empty_home.path)
    empty_home.install("--uninstall")
    assert snapshot(empty_home.path) == before


def test_the_same_version_is_not_built_again(home) -> None:
    home.install("--no-rc")
    before = versions(home), os.readlink(home.data / "venv"), home.launcher.stat().st_mtime_ns
    result = home.install("--no-rc", PIP_NO_INDEX="1", PIP_FIND_LINKS="/nonexistent")
    assert "unchanged" in result.stdout
    assert before == (
        versions(home),
        os.readlink(home.data / "venv"),
        home.launcher.stat().st_mtime_ns,
    )


def test_a_new_version_replaces_the_old_one_and_the_clone_is_not_needed(
    home, tmp_path: Path
) -> None:
    clone = private_clone(home, tmp_path)
    home.install("--no-rc")
    (old,) = versions(home)
    text = home.launcher.read_text()
    leftover = home.data / "versions/19700101T000000Z-1"
    leftover.mkdir()
    change_version(clone, "9.9.9")
    home.install("--no-rc")
    shutil.rmtree(clone)
    assert home.run(str(home.launcher), "--version").stdout.strip().endswith("9.9.9")
    assert home.launcher.read_text() == text, "shells that are open hold this path"
    assert os.readlink(home.data / "venv") != f"versions/{old}"
    assert len(versions(home)) == 2, "the version before stays, older ones and leftovers go"
    assert old in versions(home)


def test_a_failed_build_leaves_the_old_version_working(home, tmp_path: Path) -> None:
    clone = private_clone(home, tmp_path)
    (home.path / ".zshrc").write_bytes(b"export A=1\n")
    home.install("--no-rc")
    before = versions(home), os.readlink(home.data / "venv")
    working = home.run(str(home.launcher), "--version").stdout
    change_version(clone, "9.9.9")
    result = home.install(
        "--shell",
        "zsh",
        status=1,
        PATH=home.environ["PATH"],
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS="/nonexistent",
    )
    assert "nothing was changed" in result.stderr
    assert (home.path / ".zshrc").read_bytes() == b"export A=1\n"
    assert before == (versions(home), os.readlink(home.data / "venv"))
    assert home.run(str(home.launcher), "--version").stdout == working
    assert not (home.data / "lock").exists()


def test_a_version_that_does_not_start_is_not_taken_into_use(home, tmp_path: Path) -> None:
    clone = private_clone(home, tmp_path)
    home.install("--no-rc")
    before = os.readlink(home.data / "venv")
    project = (clone / "pyproject.toml").read_text()
    start = project.index("dependencies = [")
    end = project.index("\n]", start)
    (clone / "pyproject.toml").write_text(project[:start] + "dependencies = [" + project[end:])
    assert "does not start" in home.install("--no-rc", status=1).stderr
    assert os.readlink(home.data / "venv") == before
    assert home.run(str(home.launcher), "--version").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_installation_leaves_the_old_version_working(
    home, tmp_path: Path, number: signal.Signals
) -> None:
    clone = private_clone(home, tmp_path)
    home.install("--no-rc")
    (old,) = versions(home)
    working = home.run(str(home.launcher), "--version").stdout
    original = (clone / "guard/__init__.py").read_bytes()
    change_version(clone, "9.9.9")
    process = subprocess.Popen(
        ["/bin/sh", str(clone / "install.sh"), "--no-rc", "--no-shims"],
        env=home.environ,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(versions(home)) == 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, number)
    assert process.wait() != 0
    assert os.readlink(home.data / "venv") == f"versions/{old}"
    assert home.run(str(home.launcher), "--version").stdout == working
    if number != signal.SIGKILL:
        assert versions(home) == {old}
        assert not (home.data / "lock").exists()
    # and the next one is not held up by what is left
    (clone / "guard/__init__.py").write_bytes(original)
    home.install("--no-rc")


def test_two_installations_at_once_are_one_too_many(home) -> None:
    home.install("--no-rc")
    (home.data / "lock").mkdir()
    (home.data / "lock/pid").write_text(f"{os.getpid()}\n")
    assert str(os.getpid()) in home.install("--no-rc", status=1).stderr
    assert (home.data / "lock/pid").exists()


def test_another_routeguard_is_not_overwritten_and_not_removed(home) -> None:
    home.launcher.parent.mkdir(parents=True)
    home.launcher.write_text("#!/bin/sh\n# made by somebody else\n")
    assert "not this script's" in home.install("--no-rc", status=1).stderr
    result = home.install("--uninstall")
    assert "kept" in result.stdout
    assert home.launcher.read_text() == "#!/bin/sh\n# made by somebody else\n"


def test_a_copy_without_the_package_is_refused(empty_home, tmp_path: Path) -> None:
    shutil.copy(empty_home.clone / "install.sh", tmp_path / "install.sh")
    empty_home.clone = tmp_path
    assert "not a clone" in empty_home.install(status=1).stderr


def fake_python(path: Path, version: str, *, enough: bool, venv: bool) -> None:
    path.write_text(
        f"#!/bin/sh\nprintf '%s\\n' '{version} {int(enough)}' '{path}' '{'venv' if venv else ''}'\n"
    )
    path.chmod(0o755)


def bare_path(tmp_path: Path) -> Path:
    """A directory for PATH with the tools that the installer uses, and no Python."""
    tools = tmp_path / "bare"
    tools.mkdir()
    for name in USED:
        found = shutil.which(name, path="/usr/bin:/bin")
        assert found, name
        (tools / name).symlink_to(found)
    return tools


def test_no_python_is_said_with_what_is_needed(empty_home, tmp_path: Path, snapshot) -> None:
    before = snapshot(empty_home.path)
    result = empty_home.install(status=1, PATH=str(bare_path(tmp_path)))
    assert "found:  none on PATH" in result.stderr
    assert "Python 3.11 or newer" in result.stderr
    assert snapshot(empty_home.path) == before


def test_unusable_pythons_are_named_with_what_they_lack(empty_home, tmp_path: Path) -> None:
    tools = bare_path(tmp_path)
    fake_python(tools / "python3", "3.9", enough=False, venv=True)
    fake_python(tools / "python3.12", "3.12", enough=True, venv=False)
    result = empty_home.install(status=1, PATH=str(tools))
    assert f"{tools}/python3 (Python 3.9: too old)" in result.stderr
    assert f"{tools}/python3.12 (Python 3.12: has no venv module" in result.stderr
    assert "python3.12-venv" in result.stderr


def test_the_newest_python_wins(empty_home, tmp_path: Path) -> None:
    tools = bare_path(tmp_path)
    for minor in (11, 12, 13):
        fake_python(tools / f"python3.{minor}", f"3.{minor}", enough=True, venv=True)
    fake_python(tools / "python3", "3.10", enough=False, venv=True)
    result = empty_home.install("--dry-run", PATH=str(tools))
    assert f"{tools}/python3.13 (3.13)" in result.stdout


def test_a_wrapper_and_an_active_environment_are_looked_behind(empty_home, tmp_path: Path) -> None:
    tools = bare_path(tmp_path)
    project = tmp_path / "project"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(project)], check=True)
    wrapper = tools / "python3"
    wrapper.write_text(f"#!/bin/sh\nexec '{project}/bin/python' \"$@\"\n")
    wrapper.chmod(0o755)
    result = empty_home.install("--dry-run", PATH=str(tools))
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("  python")]
    assert str(project) not in line
    assert str(tools) not in line


def test_uv_is_used_when_there_is_one(empty_home, tmp_path: Path) -> None:
    place = tmp_path / "with uv"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--target", str(place), "uv>=0.5"],
        env=empty_home.environ,
        check=True,
    )
    empty_home.environ |= {"UV_NATIVE_TLS": "1", "UV_SYSTEM_CERTS": "1"}
    result = empty_home.install("--no-rc", PATH=f"{place}/bin:{empty_home.environ['PATH']}")
    assert f"{place}/bin/uv" in result.stdout
    assert home_is_complete(empty_home)
    assert not (empty_home.path / ".cache/uv").exists(), "a cache of uv was made"


def home_is_complete(home) -> bool:
    """Whether the launcher starts, with third-party packages and with compiled modules."""
    assert home.run(str(home.launcher), "--version").returncode == 0
    (packages,) = (home.data / "venv/lib").glob("python*/site-packages")
    return bool(list((packages / "guard/__pycache__").glob("*.pyc")))


def test_the_launcher_runs_isolated_and_finds_its_packages(home) -> None:
    home.install("--no-rc")
    hostile = home.path / "hostile"
    hostile.mkdir()
    for name in ("sitecustomize.py", "click.py", "json.py"):
        (hostile / name).write_text(f"open({str(home.path / 'ran')!r}, 'w')\n")
    home.environ |= {"PYTHONPATH": str(hostile), "PYTHONHOME": str(hostile)}
    assert home.run(str(home.launcher), "--version").stdout.startswith("routeguard")
    assert not (home.path / "ran").exists()
    assert home_is_complete(home)
    assert list((home.data / "venv/run").iterdir()) == [home.data / "venv/run/guard"]
