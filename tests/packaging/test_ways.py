"""pip, uv and pipx are equal ways: each from the wheel, then setup, a guarded shell, teardown."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from packages import checked, run, uv_environ

pytestmark = pytest.mark.shells

PYTHON = sys._base_executable  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def tools(built: Path, uv: Path) -> Path:
    """A directory with uv, and with pipx from PyPI, fetched once."""
    place = built / "tools"
    with open(built / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "bin/pipx").exists():
            words = ("pip", "install", "-q", "--python", sys.executable, "--target", place)
            checked(run(uv, *words, "pipx>=1.4", cwd=built, home=built, **uv_environ(built)))
            for name in ("uv", "uvx"):
                (place / "bin" / name).symlink_to(uv.with_name(name))
    return place


class Way:
    """One way of installing the wheel into a home, and what ends it."""

    def __init__(self, name: str, built: Path, tools: Path, home: Path) -> None:
        self.name = name
        self.home = home
        (wheel,) = (built / "wheel").glob("*.whl")
        self.environ = {
            # what is used once is not worth compiling whole
            "PIP_NO_COMPILE": "1",
            "PATH": f"{home}/.local/bin:{tools}/bin:/usr/bin:/bin",
            "SHELL": "/bin/bash",
            "TERM": "dumb",
            **uv_environ(built),
        }
        self.once: tuple[object, ...] = ()
        if name == "uv":
            self.command = home / ".local/bin/routeguard"
            self.install = (tools / "bin/uv", "tool", "install", "-q", "--python", PYTHON, wheel)
            self.once = (tools / "bin/uvx", "--python", PYTHON, "--from", wheel, "routeguard")
        elif name == "pipx":
            self.command = home / ".local/bin/routeguard"
            pipx = ("env", f"PYTHONPATH={tools}", sys.executable, "-m", "pipx")
            self.install = (*pipx, "install", "-q", "--python", PYTHON, wheel)
            self.once = (*pipx, "run", "--python", PYTHON, "--spec", wheel, "routeguard")
        else:
            # by pip, into an environment that all these tests share
            self.command = built / "venv/bin/routeguard"
            self.install = ("true",)

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        return run(*words, cwd=Path("/"), home=self.home, **self.environ)

    def files(self) -> dict[str, tuple[int, bytes | str]]:
        """Every file below the home with its mode and content, but for the installer's own."""
        found: dict[str, tuple[int, bytes | str]] = {}
        own = (".local/share/uv", ".local/share/pipx", ".local/state/pipx", ".cache")
        for parent, folders, names in os.walk(self.home):
            for name in folders + names:
                path = Path(parent, name)
                shown = str(path.relative_to(self.home))
                if shown.startswith(own):
                    continue
                mode = path.lstat().st_mode
                content = path.read_bytes() if stat.S_ISREG(mode) else ""
                found[shown] = (mode, os.readlink(path) if path.is_symlink() else content)
        return found


@pytest.mark.parametrize("name", ["pip", "uv", "pipx"])
def test_each_way_is_set_up_guards_a_shell_and_is_undone(
    built: Path, tools: Path, tmp_path: Path, name: str
) -> None:
    home = tmp_path / "a home"
    home.mkdir()
    (home / ".bashrc").write_bytes(b"export A=1")
    (home / ".profile").write_bytes(b". ~/.bashrc\n")
    way = Way(name, built, tools, home)
    if way.once:
        refused = way.run(*way.once, "setup", "--yes")
        assert refused.returncode == 1, refused.stdout
        assert "a cache that may be emptied" in refused.stderr
        assert not [path for path in way.files() if "routeguard" in path]
    checked(way.run(*way.install))
    before = way.files()
    shown = checked(way.run(way.command, "setup", "--yes"))
    launcher = home / ".local/share/routeguard/bin/routeguard"
    assert "~/.local/share/routeguard/bin/routeguard" in shown
    assert " -I -S " in launcher.read_text(), "as quick as the launcher of install.sh"
    # a shell whose hook is live, with routeguard itself to type
    line = (
        "type -t opencode; routeguard status --short; command -v routeguard >/dev/null && echo ok"
    )
    typed = way.run("bash", "-ic", line).stdout.splitlines()
    assert typed[0] == "function"
    assert typed[-1] == "ok"
    again = checked(way.run(way.command, "setup", "--yes"))
    assert "  block" not in again
    assert "  unchanged  ~/.bashrc" in again
    undone = checked(way.run(launcher, "teardown", "--yes"))
    assert way.files() == before
    ends = undone.splitlines()[-1]
    assert ends.startswith("The program itself is still installed; to remove it: ")
    assert {"uv": "uv tool", "pipx": "pipx", "pip": "-m pip"}[name] in ends
    if name == "pip":
        return
    # gone without teardown: the next shell blocks the agents and says what to do
    checked(way.run(way.command, "setup", "--yes"))
    for path in (home / ".local/share").glob("*/*/routeguard/bin/python"):
        path.unlink()
    broken = way.run("bash", "-ic", "opencode run hi; echo status $?")
    assert "status 126" in broken.stdout
    said = way.run(launcher, "doctor")
    assert said.returncode == 126
    fix = next(line for line in said.stderr.splitlines() if line.startswith("  fix:   "))
    pasted = fix.removeprefix("  fix:   ") + " --yes --no-verify"
    if name == "pipx":
        pasted = f"pipx() {{ PYTHONPATH='{tools}' '{sys.executable}' -m pipx \"$@\"; }}; {pasted}"
    checked(way.run("sh", "-c", pasted))
    assert checked(way.run("bash", "-ic", "opencode --version; type -t opencode")) == "function\n"
