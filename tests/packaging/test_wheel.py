"""What is shipped is complete: a wheel, an environment it is installed in, and a plain clone."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHELLS = ("bash", "zsh", "fish")


def run(*argv: object, cwd: Path, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a home of its own; never raises on its exit status."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "SSL_CERT_")) or name.lower().endswith("_proxy")
    }
    kept.setdefault("PIP_CACHE_DIR", str(ROOT / ".cache" / "pip"))
    return subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**kept, "HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def checked(result: subprocess.CompletedProcess[str]) -> str:
    """The standard output of a command that must have succeeded."""
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `wheel/*.whl`, `clone/` and `venv/` (the wheel installed); made once."""
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    place = base / "packaging"
    place.mkdir(exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "done").exists():
            for name in ("clone", "wheel", "venv"):
                shutil.rmtree(place / name, ignore_errors=True)
            clone = place / "clone"
            clone.mkdir()
            for name in ("guard", "shell", "pyproject.toml", "README.md", "LICENSE"):
                source = ROOT / name
                if source.is_dir():
                    ignore = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(source, clone / name, ignore=ignore)
                else:
                    shutil.copy2(source, clone / name)
            pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check")
            checked(
                run(*pip, "wheel", "--no-deps", "-w", place / "wheel", clone, cwd=place, home=place)
            )
            venv = (sys.executable, "-m", "venv", "--without-pip", place / "venv")
            checked(run(*venv, cwd=place, home=place))
            (wheel,) = (place / "wheel").glob("*.whl")
            there = ("--python", place / "venv/bin/python")
            words = ("install", "--no-compile", wheel)
            checked(run(*pip, *there, *words, cwd=place, home=place))
            (place / "done").touch()
    return place


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home directory."""
    path = tmp_path / "home"
    path.mkdir()
    return path


def installed_package(built: Path) -> Path:
    (package,) = (built / "venv/lib").glob("python*/site-packages/guard")
    return package


def test_the_wheel_holds_every_file_of_the_program_and_nothing_else(built: Path) -> None:
    (wheel,) = (built / "wheel").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        path.relative_to(built / "clone").as_posix()
        for path in (built / "clone/guard").rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    shell = {f"guard/shell/{path.name}" for path in (built / "clone/shell").iterdir()}
    assert {f"guard/shell/hook.{name}" for name in SHELLS} <= shell
    assert package | shell == {name for name in names if ".dist-info/" not in name}


@pytest.mark.parametrize("name", SHELLS)
def test_an_installed_wheel_prints_the_hook_from_anywhere(
    built: Path, home: Path, tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "else where"
    (elsewhere / "shell").mkdir(parents=True)
    (elsewhere / "shell" / f"hook.{name}").write_text("echo the wrong one\n")
    (elsewhere / "guard").mkdir()
    (elsewhere / "guard/__init__.py").write_text("raise SystemExit('the wrong package')\n")
    text = checked(run(built / "venv/bin/routeguard", "hook", name, cwd=elsewhere, home=home))
    assert "opencode" in text
    assert "the wrong one" not in text
    assert str(installed_package(built) / "__main__.py") in text


def test_an_installed_wheel_has_its_command_line(built: Path, home: Path) -> None:
    routeguard = built / "venv/bin/routeguard"
    assert checked(run(routeguard, "--version", cwd=home, home=home)).startswith("routeguard")
    assert "explain" in checked(run(routeguard, "--help", cwd=home, home=home))


@pytest.mark.parametrize("where", ["wheel", "clone"])
def test_exec_runs_a_command_under_an_isolated_python(built: Path, home: Path, where: str) -> None:
    package = installed_package(built) if where == "wheel" else built / "clone/guard"
    python = built / "venv/bin/python"
    main = package / "__main__.py"
    command = ("sh", "-c", "echo $0; exit 7")
    for _ in range(2):  # without and with the compiled policy
        result = run(python, "-I", "-S", main, "exec", "--", *command, cwd=home, home=home)
        assert (result.returncode, result.stdout, result.stderr) == (7, "sh\n", "")
