"""A machine of its own: a home, a project, an installed agent, a policy, keys that are canaries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard import paths
from guard.agents.opencode import surroundings
from guard.doctor.checks import CHECKS, run
from guard.doctor.context import Context
from guard.doctor.result import Diagnosis
from guard.install import shims

CANARIES = {
    "PORTKEY_API_KEY": "pK+canary/0000000000000000doctor1=",
    "OPENAI_API_KEY": "sk-canary-0123456789abcdefghij",
}


class Machine:
    """What a check looks at. `environ` is the environment of the shell that asks."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.project = self.home / "src/project"
        self.project.mkdir(parents=True)
        self.root = place / "root"
        self.root.mkdir()
        self.system = place / "system.toml"
        self.managed = place / "image" / surroundings.MANAGED.lstrip("/")
        self.bin = self.install("node")
        self.environ = {
            "HOME": str(self.home),
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "SHELL": "/bin/zsh",
            **CANARIES,
        }

    def install(self, where: str, version: str = "1.18.33") -> Path:
        """An opencode of `version` as npm installs it; returns the directory for PATH."""
        package = self.home / where / "lib/node_modules/opencode-ai"
        (package / "bin").mkdir(parents=True)
        (package / "package.json").write_text(
            json.dumps({"name": "opencode-ai", "version": version})
        )
        program = package / "bin/opencode.exe"
        program.write_text("#!/bin/sh\nexit 9\n")
        program.chmod(0o755)
        bin_ = self.home / where / "bin"
        bin_.mkdir()
        (bin_ / "opencode").symlink_to(program)
        return bin_

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def policy(self, text: str) -> None:
        self.write(".config/routeguard/policy.toml", text)

    def guard(self) -> None:
        """Install the shims, and let the shell have the hook, as after a setup."""
        shims.install(self.environ)
        self.environ["PATH"] = f"{paths.own_shims(self.environ)}:{self.environ['PATH']}"
        self.environ["ROUTEGUARD_HOOK"] = "live:zsh"
        self.write(".zshrc", 'eval "$(routeguard hook zsh)"\n')

    def context(self, *, offline: bool = False) -> Context:
        return Context(
            self.environ,
            str(self.project),
            offline=offline,
            root=str(self.root),
            system=str(self.system),
        )

    def check(self, name: str, *, offline: bool = False) -> list[Diagnosis]:
        """What the check `name` finds; none of it holds a canary."""
        check = next(check for check in CHECKS if check.id == name)
        found = [result for _, result in run(self.context(offline=offline), checks=[check])]
        for result in found:
            assert not [value for value in CANARIES.values() if value in repr(result)]
        return found

    def one(self, name: str, *, offline: bool = False) -> Diagnosis:
        (result,) = self.check(name, offline=offline)
        return result


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    image = str(machine.managed).removesuffix(surroundings.MANAGED)
    monkeypatch.setitem(surroundings.gather.__kwdefaults__, "root", image)
    return machine
