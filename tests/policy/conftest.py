"""A machine of its own for each test: a home, a working directory, a system policy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.policy import cache, keep
from guard.policy.values import CompiledPolicy


class Machine:
    """Where the layers of one test are. Environment and paths are passed, never inherited."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.work = root / "work"
        self.system = root / "etc" / "policy.toml"
        self.user = self.home / ".config" / "routeguard" / "policy.toml"
        self.project = self.work / ".routeguard.toml"
        self.pyproject = self.work / "pyproject.toml"
        self.cache = self.home / ".cache" / "routeguard" / "policy"
        self.environ = {"HOME": str(self.home)}
        for directory in (self.user.parent, self.work, self.system.parent):
            directory.mkdir(parents=True)

    def write(self, path: Path, text: str | bytes, mode: int = 0o600) -> Path:
        """Put `text` at `path` with exactly `mode`."""
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(mode)
        return path

    def load(self, cwd: Path | None = None) -> CompiledPolicy:
        """The policy that holds in `cwd`, by default the working directory."""
        return cache.load(str(cwd or self.work), self.environ, system=str(self.system))

    def cached(self) -> Path:
        """The one cache file."""
        (file,) = self.cache.iterdir()
        return file


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    # a test writes a layer and loads it at once: without this nothing would be kept
    monkeypatch.setattr(keep, "_SETTLED_NS", 0)
    previous = os.umask(0o022)
    try:
        yield Machine(tmp_path)
    finally:
        os.umask(previous)
