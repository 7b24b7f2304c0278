"""Homes to install into: real directories, a real environment built once and shared."""

from __future__ import annotations

import compileall
import fcntl
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import forked
import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("guard", "shell", "install.sh", "pyproject.toml", "README.md", "LICENSE")
AWKWARD = "it's a home"
"""Name of a home directory with what trips careless quoting."""


def copy_clone(target: Path) -> Path:
    """A copy of this repository as it would be cloned, without caches; returns `target`."""
    target.mkdir(parents=True)
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / name)
    return target


def snapshot(directory: Path) -> dict[str, tuple[int, bytes | str | None]]:
    """Every path below `directory` with its mode and its content, link target, or None."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for parent, directories, files in os.walk(directory):
        for name in directories + files:
            path = Path(parent, name)
            mode = path.lstat().st_mode
            content: bytes | str | None = None
            if stat.S_ISLNK(mode):
                content = os.readlink(path)
            elif stat.S_ISREG(mode):
                content = path.read_bytes()
            found[str(path.relative_to(directory))] = (mode, content)
    return found


class Home:
    """A home directory, and the installer run in it with an environment of its own."""

    def __init__(self, path: Path, clone: Path, tools: Path) -> None:
        self.path = path
        self.clone = clone
        self.built: Path | None = None
        self.environ = {
            "HOME": str(path),
            "PATH": f"{tools}:/usr/bin:/bin",
            "SHELL": "/bin/sh",
            "TERM": "dumb",
            "LANG": "C.UTF-8",
        }
        # the machine's own way to its package index (proxy, certificates, cache)
        for name, value in os.environ.items():
            if name.startswith(("PIP_", "UV_", "SSL_CERT_")) or name.lower().endswith("_proxy"):
                self.environ[name] = value
        self.environ.setdefault("PIP_CACHE_DIR", str(ROOT / ".cache" / "pip"))

    @property
    def data(self) -> Path:
        return self.path / ".local/share/routeguard"

    @property
    def launcher(self) -> Path:
        return self.path / ".local/bin/routeguard"

    def use(self, uv: Path) -> None:
        """Have the environment made by `uv`, which takes a fifth of the time of pip."""
        self.environ["PATH"] = f"{uv.parent}:{self.environ['PATH']}"
        self.environ |= {"UV_NATIVE_TLS": "1", "UV_SYSTEM_CERTS": "1"}

    def install(
        self, *options: str, status: int = 0, shims: bool = False, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run install.sh with `options`; asserts its exit `status` and returns the result."""
        if not shims:
            options = ("--no-shims", *options)
        result = subprocess.run(
            ["/bin/sh", str(self.clone / "install.sh"), *options],
            env=self.environ | environ,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == status, result.stdout + result.stderr
        return result

    def set_up(
        self, *options: str, status: int = 0, shims: bool = False, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """What `install` comes to in a home where this version is built, without its four Pythons.

        That is `setup`, or with `--uninstall` `teardown`.
        """
        if "--uninstall" in options:
            words = ["teardown", "--yes", *(one for one in options if one != "--uninstall")]
        else:
            words = ["setup", "--clone", str(self.clone), "--yes", "--no-verify"]
            words += [*([] if shims else ["--no-shims"]), *options]
        assert self.built is not None, "this home has no version that is built"
        result = forked.run(
            words,
            env=self.environ | environ,
            cwd="/",
            python=str(self.built / "bin/python"),
            place=str(self.built / "run"),
            called=str(self.data / "venv/bin/python"),
        )
        assert result.returncode == status, result.stdout + result.stderr
        return result

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program in this home; never raises on its exit status."""
        return subprocess.run(
            argv,
            env=self.environ,
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def shell(self, name: str, line: str, *, options: Sequence[str] = ("-i",)) -> tuple[int, bytes]:
        """Run `line` in a shell of this home on a terminal: exit status and all that it showed."""
        import pexpect

        child = pexpect.spawn(
            require_shell(name),
            [*options, "-c", line],
            env=self.environ,
            cwd=str(self.path),
            timeout=60,
        )
        shown = child.read()
        child.close()
        return child.exitstatus, shown


def require_shell(name: str) -> str:
    """The absolute path of a shell. A missing one skips on a laptop and fails in CI."""
    path = shutil.which(name, path="/usr/bin:/bin:/usr/local/bin:/opt/homebrew/bin")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing")
        pytest.skip(f"{name} is not installed (tests/run --system-deps installs it)")
    return path


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    path = base / "installation"
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture(scope="session")
def tools(shared: Path) -> Path:
    """A directory for PATH that holds the interpreter these tests run with, as `python3`."""
    path = shared / "tools"
    path.mkdir(exist_ok=True)
    for name in (f"python3.{sys.version_info.minor}", "python3"):
        with_suffix = path / f"{name}.{os.getpid()}"
        with_suffix.symlink_to(sys._base_executable)  # type: ignore[attr-defined]
        with_suffix.replace(path / name)
    return path


@pytest.fixture(scope="session")
def built(shared: Path, tools: Path, uv: Path) -> Home:
    """A home with routeguard really installed from a clone, by uv; made once. Do not change."""
    with open(shared / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        home = Home(shared / "built" / AWKWARD, shared / "clone", tools)
        if not home.launcher.exists():
            shutil.rmtree(shared / "clone", ignore_errors=True)
            shutil.rmtree(shared / "built", ignore_errors=True)
            copy_clone(shared / "clone")
            # install.sh has Python keep nothing there: each run would compile all of it
            compileall.compile_dir(shared / "clone" / "guard", quiet=1)
            home.path.mkdir(parents=True)
            home.use(uv)
            home.install("--no-rc")
        return home


@pytest.fixture
def empty_home(tmp_path: Path, built: Home, tools: Path) -> Home:
    """A home with nothing in it."""
    home = Home(tmp_path / AWKWARD, built.clone, tools)
    home.path.mkdir()
    return home


@pytest.fixture
def home(empty_home: Home, built: Home) -> Home:
    """A home where this version has been built, but nothing else of routeguard is set up."""
    version = os.readlink(built.data / "venv")
    empty_home.built = built.data / version
    (empty_home.data / "versions").mkdir(parents=True)
    (empty_home.data / version).symlink_to(built.data / version)
    (empty_home.data / "venv").symlink_to(version)
    return empty_home


@pytest.fixture
def unprivileged() -> Iterator[Callable[[], tuple[Home, int]]]:
    """A home of a user who is not root, and that user's id (only root can make one)."""
    import tempfile

    made = []

    def make() -> tuple[Home, int]:
        place = Path(tempfile.mkdtemp(prefix="routeguard-"))
        made.append(place)
        place.chmod(0o755)
        clone = copy_clone(place / "clone")
        path = place / AWKWARD
        path.mkdir()
        os.chown(path, 65534, 65534)
        return Home(path, clone, place), 65534

    yield make
    for place in made:
        shutil.rmtree(place)


@pytest.fixture
def require_zsh() -> str:
    """The absolute path of zsh."""
    return require_shell("zsh")


@pytest.fixture(name="snapshot")
def snapshot_fixture() -> Callable[[Path], dict[str, tuple[int, bytes | str | None]]]:
    """`snapshot(directory)`: every path below it with its mode and content."""
    return snapshot
