"""What is shipped, built once for all: a wheel, an environment it is installed in, a clone."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from pathlib import Path

import pytest

# at the end: a module of another folder may have that name
sys.path.append(str(Path(__file__).parent))

from packages import ROOT, checked, run, uv_environ


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, uv: Path) -> Path:
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
            # file for file the wheel of pip, in a third of its time
            build = (uv, "build", "-q", "--wheel", "--python", sys.executable)
            words: tuple[object, ...] = ("--out-dir", place / "wheel", clone)
            checked(run(*build, *words, cwd=place, home=place, **uv_environ(place)))
            pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check")
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
