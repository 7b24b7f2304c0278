"""The hooks, installed and run by the real pre-commit."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


class Hooked:
    """A repository whose commits run the hooks as docs/ci.md shows them."""

    def __init__(self, place: Path, environ: dict[str, str], run: Callable) -> None:
        self.place = place
        self.environ = environ
        self._run = run

    def write(self, name: str, text: str) -> None:
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.git("add", "-f", name)

    def git(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        return self._run("git", *words, cwd=self.place, env=self.environ, status=status)

    def commit(self, status: int, **environ: str) -> str:
        done = self._run(
            "git", "commit", "-m", "x",
            cwd=self.place, env={**self.environ, **environ}, status=status,
        )  # fmt: skip
        return done.stdout + done.stderr


@pytest.fixture
def hooked(
    project: Path,
    environ: dict[str, str],
    source: Path,
    example: Callable[[str], str],
    run: Callable,
) -> Hooked:
    # one store for the whole session: the environment of the hooks is built once
    environ["PRE_COMMIT_HOME"] = str(source.parent / "pre-commit")
    config = example("pre-commit").replace("https://git.example.com/routeguard.git", str(source))
    (project / ".pre-commit-config.yaml").write_text(config)
    # and the hook of git that pre-commit writes is the same in every repository
    kept, hook = source.parent / "hook of git", project / ".git/hooks/pre-commit"
    with open(source.parent / "hook.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            install = ("-m", "pre_commit", "install", "--install-hooks")
            run(sys.executable, *install, cwd=project, env=environ)
            shutil.copy(hook, kept)
    shutil.copy(kept, hook)
    hooked = Hooked(project, environ, run)
    hooked.git("add", ".pre-commit-config.yaml")
    return hooked


def test_pre_commit_finds_nothing_to_say_about_the_hooks() -> None:
    hooks = ROOT / ".pre-commit-hooks.yaml"
    subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-manifest", hooks],
        check=True,
        env={**os.environ, "HOME": "/nonexistent"},
    )
    ids = [hook["id"] for hook in yaml.safe_load(hooks.read_text())]
    assert ids == ["routeguard", "routeguard-env"]


def test_planted_keys_are_not_committed(hooked: Hooked, key: str) -> None:
    """All at once: each start of pre-commit and its two hooks takes a second."""
    # the ignored file that git add -f takes anyway is the one that must not slip through
    hooked.write(".gitignore", ".env\n")
    hooked.write(".env", f"ANTHROPIC_API_KEY={key}\n")
    # a name that trips careless quoting
    hooked.write("it's a $(dir)/-x y.py", f'client = Client(api_key="{key}")\n')
    (hooked.place / "win.env").write_bytes(f"ANTHROPIC_API_KEY={key}\r\n".encode("utf-16"))
    hooked.git("add", "win.env")
    said = hooked.commit(1)
    assert "routeguard...." in said
    assert "- hook id: routeguard\n" in said
    assert "- exit code: 1" in said
    assert "\n.env:1:1: error [RG101 direct-provider-key]" in said
    assert re.search(r"it's a \$\(dir\)/-x y\.py:1:\d+: error \[RG111 ", said)
    assert "win.env:1:1: error [RG101" in said
    assert key not in said
    assert hooked.git("rev-parse", "-q", "--verify", "HEAD", status=1).stdout == ""


def test_what_is_committed_passes_both_hooks(hooked: Hooked, key: str) -> None:
    """Clean files and a suppression with a reason, beside a key in a file that is not committed."""
    hooked.write(".env.example", "PORTKEY_API_KEY=\n")
    hooked.write("run.sh", 'opencode run -m portkey/gpt-4o "hi"\n')
    # put together, so that it is no suppression here
    comment = "# routeguard" + ": ignore[RG203] the demo starts its own server"
    hooked.write("demo.sh", f"opencode serve  {comment}\n")
    (hooked.place / "b.py").write_text(f'key = "{key}"\n')
    said = hooked.commit(0)
    assert said.count("Passed") == 2
    assert hooked.git("log", "--oneline").stdout.count("\n") == 1


def test_the_environment_hook_runs_without_a_file_and_names_the_variable(
    hooked: Hooked, key: str
) -> None:
    hooked.write("a.txt", "nothing\n")
    said = hooked.commit(1, ANTHROPIC_API_KEY=key)
    assert "- hook id: routeguard-env\n" in said
    assert "environment: error [RG101 direct-provider-key] ANTHROPIC_API_KEY" in said
    assert key not in said
