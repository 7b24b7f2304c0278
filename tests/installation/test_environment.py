"""The environment: found, built beside the old one, taken into use at once, removed completely."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guard.install.environment import pip_environ

pytestmark = pytest.mark.shells


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
    home.set_up("--no-rc")
    kept = {".local/state/routeguard/audit.log": "x", ".config/routeguard/policy.toml": "y"}
    for name, content in {**kept, ".cache/routeguard/policy/z": "z"}.items():
        (home.path / name).parent.mkdir(parents=True, exist_ok=True)
        (home.path / name).write_text(content)
    result = home.install("--uninstall")
    files = {name for name in snapshot(home.path) if (home.path / name).is_file()}
    assert files == set(kept)
    for name in kept:
        assert f"kept       ~/{os.path.dirname(name)}/ (--purge removes it)" in result.stdout
    home.set_up("--uninstall", "--purge")
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
    assert f"~/{name}" in home.install("--uninstall", "--dry-run", **environ).stdout
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
    home.set_up("--no-rc")
    before = versions(home), os.readlink(home.data / "venv"), home.launcher.stat().st_mtime_ns
    result = home.install("--no-rc", PIP_NO_INDEX="1", PIP_FIND_LINKS="/nonexistent")
    assert "unchanged" in result.stdout
    assert before == (
        versions(home),
        os.readlink(home.data / "venv"),
        home.launcher.stat().st_mtime_ns,
    )


def test_a_failed_build_leaves_the_old_version_working(home, uv: Path, tmp_path: Path) -> None:
    home.use(uv)
    clone = private_clone(home, tmp_path)
    (home.path / ".zshrc").write_bytes(b"export A=1\n")
    home.set_up("--no-rc")
    before = versions(home), os.readlink(home.data / "venv")
    working = home.run(str(home.launcher), "--version").stdout
    (clone / "pyproject.toml").write_text("no longer a project")
    result = home.install("--shell", "zsh", status=1)
    assert "nothing was changed" in result.stderr
    assert (home.path / ".zshrc").read_bytes() == b"export A=1\n"
    assert before == (versions(home), os.readlink(home.data / "venv"))
    assert home.run(str(home.launcher), "--version").stdout == working
    assert not (home.data / "lock").exists()


def test_a_version_that_does_not_start_is_not_taken_into_use(
    home, uv: Path, tmp_path: Path
) -> None:
    home.use(uv)
    clone = private_clone(home, tmp_path)
    home.set_up("--no-rc")
    before = os.readlink(home.data / "venv")
    project = (clone / "pyproject.toml").read_text()
    start = project.index("dependencies = [")
    end = project.index("\n]", start)
    (clone / "pyproject.toml").write_text(project[:start] + "dependencies = [" + project[end:])
    assert "does not start" in home.install("--no-rc", status=1).stderr
    assert os.readlink(home.data / "venv") == before
    assert home.run(str(home.launcher), "--version").returncode == 0


def test_an_interrupted_installation_leaves_the_old_version_working(home, tmp_path: Path) -> None:
    clone = private_clone(home, tmp_path)
    home.set_up("--no-rc")
    (old,) = versions(home)
    working = home.run(str(home.launcher), "--version").stdout
    original = (clone / "guard/__init__.py").read_bytes()
    change_version(clone, "9.9.9")
    lock = lock_of_an_earlier_version(home, "link")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
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
        assert not os.path.lexists(lock)
        assert os.readlink(home.data / "venv") == f"versions/{old}"
        assert home.run(str(home.launcher), "--version").stdout == working
        if number != signal.SIGKILL:
            assert versions(home) == {old}
            assert not (home.data / "lock").exists()
    # and the next one is not held up by what is left
    (clone / "guard/__init__.py").write_bytes(original)
    home.install("--no-rc")


def test_two_installations_at_once_are_one_too_many(home) -> None:
    home.set_up("--no-rc")
    handle = os.open(home.data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for options in (("--no-rc",), ("--uninstall",)):
            said = home.install(*options, status=1).stderr
            assert "another setup or teardown of routeguard is running" in said
            assert home.launcher.exists()
    finally:
        os.close(handle)
    home.set_up("--no-rc")


def lock_of_an_earlier_version(home, kind: str) -> Path:
    lock = home.data / "lock"
    if kind == "directory":
        lock.mkdir()
        (lock / "pid").write_text(f"{os.getpid()}\n")
    else:
        lock.symlink_to(str(os.getpid()))
    return lock


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_the_lock_of_an_earlier_version_goes_with_the_rest(home, kind: str) -> None:
    lock = lock_of_an_earlier_version(home, kind)
    home.install("--uninstall")
    assert not os.path.lexists(lock)


def test_another_routeguard_is_not_overwritten_and_not_removed(home) -> None:
    home.launcher.parent.mkdir(parents=True)
    home.launcher.write_text("#!/bin/sh\n# made by somebody else\n")
    assert "not made by install.sh" in home.install("--no-rc", status=1).stderr
    result = home.install("--uninstall")
    assert "kept" in result.stdout
    assert home.launcher.read_text() == "#!/bin/sh\n# made by somebody else\n"


def test_a_copy_without_the_package_is_refused(empty_home, tmp_path: Path) -> None:
    shutil.copy(empty_home.clone / "install.sh", tmp_path / "install.sh")
    empty_home.clone = tmp_path
    assert "not a clone" in empty_home.install(status=1).stderr


def fake_python(path: Path, said: str) -> None:
    """A Python that says `said` of itself, and that it is `path`; told to run, it leaves a mark."""
    path.write_text(
        f"""#!/bin/sh
case $2 in
-c) echo '{said} {path}' ;;
*) : >'{path}.ran'; exec '{sys._base_executable}' "$@" ;;
esac
"""  # type: ignore[attr-defined]
    )
    path.chmod(0o755)


def bare_path(tmp_path: Path) -> Path:
    """A directory for PATH that holds nothing but a shell: install.sh needs no other program."""
    tools = tmp_path / "bare"
    tools.mkdir()
    (tools / "sh").symlink_to("/bin/sh")
    return tools


def test_no_python_is_said_with_what_is_needed(empty_home, tmp_path: Path, snapshot) -> None:
    before = snapshot(empty_home.path)
    result = empty_home.install(status=1, PATH=str(bare_path(tmp_path)))
    assert "found:  none on PATH" in result.stderr
    assert "Python 3.11 or newer" in result.stderr
    # each command can be copied with its line
    lines = [line.strip() for line in result.stderr.splitlines()]
    assert "sudo apt install python3 python3-venv" in lines
    assert "brew install python@3.13" in lines
    assert "uv python install 3.13" in lines
    assert snapshot(empty_home.path) == before


def test_unusable_pythons_are_named_with_what_they_lack(empty_home, tmp_path: Path) -> None:
    tools = bare_path(tmp_path)
    fake_python(tools / "python3", "old 3.9")
    fake_python(tools / "python3.12", "no-venv 3.12")
    result = empty_home.install(status=1, PATH=str(tools))
    assert f"{tools}/python3 (Python 3.9: too old)" in result.stderr
    assert f"{tools}/python3.12 (Python 3.12: has no venv module)" in result.stderr
    assert "\n          sudo apt install python3.12-venv\n" in result.stderr


def test_the_newest_python_wins(empty_home, tmp_path: Path) -> None:
    tools = bare_path(tmp_path)
    for minor in (11, 12, 13):
        fake_python(tools / f"python3.{minor}", f"ok 3.{minor}")
    fake_python(tools / "python3", "old 3.10")
    empty_home.install("--dry-run", PATH=str(tools))
    assert [path.name for path in tools.glob("*.ran")] == ["python3.13.ran"]


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


def home_is_complete(home) -> bool:
    """Whether the launcher starts, with third-party packages and with compiled modules."""
    assert home.run(str(home.launcher), "--version").returncode == 0
    (packages,) = (home.data / "venv/lib").glob("python*/site-packages")
    return bool(list((packages / "guard/__pycache__").glob("*.pyc")))


def test_the_launcher_runs_isolated_and_finds_its_packages(home) -> None:
    home.set_up("--no-rc")
    hostile = home.path / "hostile"
    hostile.mkdir()
    for name in ("sitecustomize.py", "click.py", "json.py"):
        (hostile / name).write_text(f"open({str(home.path / 'ran')!r}, 'w')\n")
    home.environ |= {"PYTHONPATH": str(hostile), "PYTHONHOME": str(hostile)}
    assert home.run(str(home.launcher), "--version").stdout.startswith("routeguard")
    assert not (home.path / "ran").exists()
    assert home_is_complete(home)
    assert (home.data / "man/man1/routeguard.1").read_text().startswith(".TH ROUTEGUARD 1 ")
    assert list((home.data / "venv/run").iterdir()) == [home.data / "venv/run/guard"]


def test_what_was_installed_can_be_removed_by_a_python_that_could_not_install_it(
    home, tmp_path: Path
) -> None:
    (home.path / ".zshrc").write_bytes(b"export A=1")
    home.set_up("--shell", "zsh")
    (home.data / "venv").unlink()
    tools = bare_path(tmp_path)
    fake_python(tools / "python3", "no-venv 3.11")
    home.install("--uninstall", PATH=str(tools))
    assert (home.path / ".zshrc").read_bytes() == b"export A=1"
    assert not home.data.exists()
    (tools / "python3").unlink()
    said = home.install("--uninstall", status=1, PATH=str(tools)).stderr
    assert "nothing was removed" in said
    assert "\n          rm -r ~/.local/share/routeguard ~/.local/bin/routeguard\n" in said


def test_started_by_zsh_it_is_run_by_sh(home, require_zsh: str) -> None:
    result = home.run(require_zsh, str(home.clone / "install.sh"), "--no-rc", "--no-shims")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Done." in result.stdout
    assert not (home.data / "lock").is_symlink()


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_it_cannot_be_sourced(home, shell: str, snapshot) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    before = snapshot(home.path)
    result = home.run(shell, "-c", f'. "{home.clone}/install.sh"; echo "still here $-"')
    assert "do not source it" in result.stderr
    assert "still here" in result.stdout or shell == "sh"
    assert snapshot(home.path) == before


def elsewhere(home, tmp_path: Path) -> dict[str, str]:
    """What a caller's environment may say to send an installation by pip elsewhere."""
    away = tmp_path / "elsewhere"
    other = tmp_path / "other"
    (other / "guard").mkdir(parents=True)
    (other / "guard/__init__.py").write_text("raise SystemExit('another guard')\n")
    (other / "sitecustomize.py").write_text("raise SystemExit('sitecustomize')\n")
    return {
        "PIP_PREFIX": str(away),
        "PIP_TARGET": str(away),
        "PIP_USER": "1",
        "PIP_ROOT": str(away),
        "PIP_PYTHON": "/nowhere/python",
        "PIP_REQUIRE_HASHES": "1",
        "PIP_CONSTRAINT": "/nowhere/constraints",
        "PIP_NO_DEPS": "1",
        "PIP_DRY_RUN": "1",
        "PYTHONPATH": str(other),
        "PYTHONHOME": str(other),
        "PYTHONUSERBASE": str(away),
        "PYTHONSAFEPATH": "1",
        "VIRTUAL_ENV": str(other),
    }


def test_settings_of_the_caller_send_it_nowhere_else_and_removed_the_home_is_as_it_was(
    empty_home, tmp_path: Path, snapshot
) -> None:
    """Each of the variables and files would break it. What is kept is the index of this machine."""
    home = empty_home
    settings = elsewhere(home, tmp_path)
    lines = [
        f"{name.removeprefix('PIP_').lower().replace('_', '-')} = {value}"
        for name, value in settings.items()
        if name.startswith("PIP_")
    ]
    for file in (home.path / ".config/pip/pip.conf", tmp_path / "my pip.conf"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(["[install]", *lines, "[global]", "timeout = 61", ""]))
    settings["PIP_CONFIG_FILE"] = str(file)
    (home.path / ".bashrc").write_bytes(b"export A=1")
    before = snapshot(home.path)
    old = os.umask(0)
    try:
        home.install("--shell", "all", shims=True, **settings)
    finally:
        os.umask(old)
    assert home.run(str(home.launcher), "--version").returncode == 0
    assert not (tmp_path / "elsewhere").exists()
    assert not (home.path / ".cache/pip").exists(), "pip looked for a newer pip"
    made = [path for path in home.path.rglob("*") if str(path.relative_to(home.path)) not in before]
    assert made
    loose = [path for path in made if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert loose == [], "others may write there"
    home.install("--uninstall")
    assert snapshot(home.path) == before


def test_pip_is_given_the_index_of_the_caller(tmp_path: Path) -> None:
    """Named in a pip.conf, in either of its sections, or by a variable, which wins."""
    file = tmp_path / "pip.conf"
    environ = {"HOME": str(tmp_path), "PATH": os.defpath, "PIP_CONFIG_FILE": str(file)}
    text = "[global]\nindex-url = http://127.0.0.1:1/global\nretries = 0\n"
    install = "[install]\nindex-url = http://127.0.0.1:1/install\n"
    for content, more, wanted in (
        (text, {}, "global"),
        (text + install, {}, "install"),
        (text + install, {"PIP_INDEX_URL": "http://127.0.0.1:1/variable"}, "variable"),
    ):
        file.write_text(content)
        given = pip_environ(sys.executable, environ | more)
        assert given["PIP_INDEX_URL"] == f"http://127.0.0.1:1/{wanted}"
        assert given["PIP_RETRIES"] == "0"


def test_a_python_that_is_gone_is_said_with_the_command_that_mends_it(
    home, uv: Path, tmp_path: Path
) -> None:
    """By a new version, which replaces the one without a Python, and needs the clone no more."""
    home.use(uv)
    clone = private_clone(home, tmp_path)
    home.set_up("--no-rc")
    (home.data / "versions/19700101T000000Z-1").mkdir()
    (home.data / "venv").unlink()
    version = home.data / "versions/without"
    (version / "bin").mkdir(parents=True)
    (version / "bin/python").symlink_to("/opt/homebrew/Cellar/python@3.13/3.13.1/bin/python3.13")
    (home.data / "venv").symlink_to("versions/without")
    assert home.run(str(home.launcher), "hook", "bash").returncode == 126
    result = home.run(str(home.launcher), "ports")
    assert result.returncode == 126
    assert result.stdout == ""
    assert str(home.data / "venv/bin/python") in result.stderr
    assert "Homebrew" in result.stderr
    assert "Fix: " not in result.stderr, "that is for a launcher that is gone"
    (fix,) = [line for line in result.stderr.splitlines() if line.startswith("  fix:   ")]
    lock = lock_of_an_earlier_version(home, "directory")
    text = home.launcher.read_text()
    change_version(clone, "9.9.9")
    mended = home.run("sh", "-c", fix.removeprefix("  fix:   ") + " --no-rc --no-shims")
    assert mended.returncode == 0, mended.stderr
    assert not os.path.lexists(lock)
    assert str(uv) in mended.stdout, "uv makes it where there is one"
    assert not (home.path / ".cache/uv").exists(), "a cache of uv was made"
    shutil.rmtree(clone)
    assert home.run(str(home.launcher), "--version").stdout.strip().endswith("9.9.9")
    assert home_is_complete(home)
    assert home.launcher.read_text() == text, "shells that are open hold this path"
    new = os.readlink(home.data / "venv").removeprefix("versions/")
    # the version before stays, older ones and leftovers go
    assert versions(home) == {"without", new}
    (home.data / "venv").unlink()
    result = home.run(str(home.launcher), "--version")
    assert (result.returncode, "install.sh of another clone" in result.stderr) == (126, True)
