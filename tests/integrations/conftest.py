"""routeguard as others install it: from a repository of its own, into environments of theirs."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

# put together, so that no scanner takes this file for a leak
KEY = "sk-ant-" + "api03-" + "".join(islice(cycle("Zq7Wm3Xk9Rt2Lp5Vn8Bc4Hd6Jf1Gs0Ya"), 93)) + "AA"


def _run(
    *words: str | Path, cwd: Path, env: dict[str, str], status: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command; asserts its exit `status` unless that is None."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if status is not None:
        assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command: `run(*words, cwd=…, env=…, status=0)`; any status if that is None."""
    return _run


@pytest.fixture(scope="session")
def key() -> str:
    """What looks like a key of Anthropic in every respect."""
    return KEY


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a person with nothing set up but a way to the package index."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(ROOT / ".cache" / "pip")),
        # an environment that is used once is not worth compiling whole
        "PIP_NO_COMPILE": "1",
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.com",
        "PORTKEY_API_KEY": "pk-of-a-test",
    }


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this working tree as its one commit, tagged v0.1.0.

    Shared by the processes of one test run, so that what is built from it is built once.
    """
    place = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        place = place.parent
    target = place / "source" / "routeguard"
    git = {"PATH": "/usr/bin:/bin", "HOME": str(place), "GIT_CONFIG_NOSYSTEM": "1"}
    with open(place / "source.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / ".git" / "refs" / "tags" / "v0.1.0").exists():
            target.mkdir(parents=True, exist_ok=True)
            for name in ("guard", "shell", "pyproject.toml", "README.md", "LICENSE",
                         "action.yml", ".pre-commit-hooks.yaml"):  # fmt: skip
                _run("cp", "-R", ROOT / name, target, cwd=place, env=git)
            _run("git", "init", "-q", "-b", "main", cwd=target, env=git)
            (target / ".gitignore").write_text("__pycache__/\n")
            _run("git", "add", "-A", cwd=target, env=git)
            author = ("-c", "user.name=A", "-c", "user.email=a@example.com")
            _run("git", *author, "commit", "-q", "-m", "all", cwd=target, env=git)
            _run("git", "tag", "v0.1.0", cwd=target, env=git)
    return target


@pytest.fixture
def installed(environ: dict[str, str], source: Path) -> Path:
    """The environment that the first step of action.yml makes; made once for a test run."""
    place = source.parent / "runner"
    place.mkdir(exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "routeguard" / "bin" / "routeguard").exists():
            steps = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["runs"][
                "steps"
            ]
            script = place / "step.sh"
            script.write_text(steps[0]["run"])
            # its environments have the pip of this one: to install and compile another takes longer
            # than to install routeguard
            python = place / "python3"
            pip = Path(sysconfig.get_path("purelib"), "pip")
            python.write_text(
                f"#!/bin/sh\n[ \"$1 $2\" = '-m venv' ] || exec '{sys.executable}' \"$@\"\n"
                f"shift 2; '{sys.executable}' -m venv --without-pip \"$@\" && shift &&"
                f" ln -s '{pip}' \"$1\"/lib/python*/site-packages/ &&"
                ' printf \'#!/bin/sh\nexec "%s/bin/python" -m pip "$@"\n\' "$1" >"$1/bin/pip" &&'
                ' chmod +x "$1/bin/pip"\n'
            )
            python.chmod(0o755)
            given = {
                "INPUT_PYTHON": str(python),
                "GITHUB_ACTION_PATH": str(source),
                "RUNNER_TEMP": str(place),
            }
            bash = ("bash", "--noprofile", "--norc", "-eo", "pipefail", script)
            _run(*bash, cwd=place, env=environ | given)
    return place / "routeguard"


@pytest.fixture
def project(tmp_path: Path, environ: dict[str, str]) -> Path:
    """An empty repository."""
    place = tmp_path / "a project"
    place.mkdir()
    _run("git", "init", "-q", "-b", "main", cwd=place, env=environ)
    return place


@pytest.fixture(scope="session")
def example() -> Callable[[str], str]:
    """The example in docs/ci.md under the mark `<!-- test: NAME -->`."""
    docs = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")

    def found(name: str) -> str:
        pattern = rf"<!-- test: {name} -->\n```\w+\n(.*?)```"
        (text,) = re.findall(pattern, docs, re.DOTALL)
        return text

    return found
