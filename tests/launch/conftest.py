"""A machine with a stand-in for opencode: it writes down how it was started, and ends."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import forked
import pytest

MAIN = Path(__file__).resolve().parents[2] / "guard" / "__main__.py"
KEY = "pk-canary0123456789abcdef"
DIRECT = "sk-canary9876543210fedcba"

AGENT = """#!{python} -IS
import os, sys
def write(name, raw, flags=os.O_TRUNC):
    handle = os.open(os.path.join({seen!r}, name), os.O_WRONLY | os.O_CREAT | flags, 0o600)
    os.write(handle, raw)
write("argv", b"".join(os.fsencode(word) + bytes(1) for word in sys.argv[1:]))
write("environ", b"".join(k + b"=" + v + bytes(1) for k, v in os.environb.items()))
write("directory", os.fsencode(os.getcwd()))
write("times", b"x", os.O_APPEND)
sys.exit(int(os.environ.get("AGENT_STATUS", "0")))
"""
# a shell in its place would set PWD anew


@dataclass(frozen=True)
class Done:
    """How one call of routeguard ended."""

    status: int
    out: str
    err: str


class Machine:
    """A home, a project, a stand-in for opencode in an npm package, and the key of the gateway."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.project = root / "project"
        self.seen = root / "seen"
        self.bin = root / "bin"
        self.within: list[str] = []
        """Words that run a command somewhere else, such as a network of its own."""
        self.forks = True
        for folder in (self.home, self.project, self.seen, self.bin):
            folder.mkdir()
        self.agent = self.install("1.18.33")
        self.environ = {
            "HOME": str(self.home),
            "PATH": f"{self.bin}:{os.defpath}",
            "LANG": "C.UTF-8",
            "PORTKEY_API_KEY": KEY,
            "OPENAI_API_KEY": DIRECT,
        }

    def install(self, version: str, name: str = "opencode") -> Path:
        """Put a stand-in of `version` on PATH, in a package as npm lays it out."""
        package = self.root / "node_modules" / "opencode-ai"
        (package / "bin").mkdir(parents=True, exist_ok=True)
        (package / "package.json").write_text(f'{{"name":"opencode-ai","version":"{version}"}}')
        agent = package / "bin" / "opencode.exe"
        agent.write_text(AGENT.format(python=sys.executable, seen=str(self.seen)))
        agent.chmod(0o755)
        if not (self.bin / name).exists():
            (self.bin / name).symlink_to(agent)
        return agent

    def says_its_version(self) -> None:
        """Let the stand-in answer `--version`, which a program in front of it is asked for."""
        answers = "if '--version' in sys.argv[1:]: sys.exit(print('1.18.33'))\ndef write("
        self.agent.write_text(self.agent.read_text().replace("def write(", answers, 1))

    def script(self, path: Path, text: str) -> Path:
        """Make an executable file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def policy(self, text: str) -> Path:
        """Write the user's policy."""
        path = self.home / ".config" / "routeguard" / "policy.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path

    def exec(
        self,
        *words: str | bytes,
        cwd: Path | None = None,
        command: tuple[str, ...] = ("exec", "--"),
        **more: str | None,
    ) -> Done:
        """Run `routeguard exec -- WORDS`, or another command; None takes a variable away.

        By a fork of an interpreter that has imported everything; unless `forks` is false or there
        are words in `within`, as the wrappers do.
        """
        environ = {k: v for k, v in {**self.environ, **more}.items() if v is not None}
        if self.forks and not self.within:
            said = forked.run(
                [*command, *map(os.fsdecode, words)],
                env=environ,
                cwd=cwd or self.project,
                errors="surrogateescape",
            )
            return Done(said.returncode, said.stdout, said.stderr)
        done = subprocess.run(
            [*self.within, sys.executable, "-I", "-S", str(MAIN), *command, *words],
            env=environ,
            cwd=cwd or self.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Done(
            done.returncode,
            done.stdout.decode(errors="surrogateescape"),
            done.stderr.decode(errors="surrogateescape"),
        )

    @property
    def started(self) -> int:
        """How often the stand-in was started."""
        times = self.seen / "times"
        return len(times.read_text()) if times.exists() else 0

    @property
    def argv(self) -> list[bytes]:
        """The arguments it got, without its own name."""
        return (self.seen / "argv").read_bytes().split(b"\0")[:-1]

    @property
    def child(self) -> dict[str, str]:
        """The environment it got."""
        entries = (self.seen / "environ").read_text(errors="surrogateescape").split("\0")
        return dict(entry.split("=", 1) for entry in entries if entry)

    @property
    def directory(self) -> str:
        """The directory it was started in."""
        return (self.seen / "directory").read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path.resolve())
