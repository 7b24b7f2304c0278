"""Which version of an agent is installed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from guard.agents.binary import parse_version, version
from guard.agents.claude_code import ClaudeCode
from guard.agents.opencode import OpenCode


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1.18.33\n", (1, 18, 33)),
        ("opencode v2.0.10\n", (2, 0, 10)),
        ("1.18.33-beta.1+5", (1, 18, 33)),
        ("v1.2.3", (1, 2, 3)),
        ("1.3\n1.18.33", (0, 0, 0)),
        ("1.3", (0, 0, 0)),
        ("", (0, 0, 0)),
        ("one.two.three", (0, 0, 0)),
        ("²." * 2 + "²", (0, 0, 0)),
        ("1.1." + "9" * 5000, (0, 0, 0)),
    ],
)
def test_parse(text: str, found: tuple[int, int, int]) -> None:
    assert parse_version(text) == found


class Installed:
    """A binary that says its version and counts how often it was asked."""

    def __init__(self, root: Path) -> None:
        self.package = root / "node_modules" / "opencode-ai"
        self.path = self.package / "bin" / "opencode.exe"
        self.path.parent.mkdir(parents=True)
        self.asked = root / "asked"
        self.environ = {"HOME": str(root / "home"), "PATH": os.defpath, "BUN_BE_BUN": "1"}
        self.say("1.18.33")

    def say(self, said: str) -> None:
        text = f'#!/bin/sh\n[ -z "$BUN_BE_BUN" ] || exit 9\necho x >>{self.asked}\necho {said}\n'
        self.path.write_text(text)
        self.path.chmod(0o755)

    def describe(self, content: object) -> None:
        (self.package / "package.json").write_text(json.dumps(content))

    def version(self, **more: bool) -> tuple[int, int, int]:
        return version(str(self.path), self.environ, OpenCode(), **more)

    @property
    def times(self) -> int:
        return len(self.asked.read_text().split()) if self.asked.exists() else 0


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


@pytest.mark.parametrize("name", ["opencode-ai", "@opencode/cli", "opencode-linux-x64"])
def test_a_package_is_believed_without_asking(installed: Installed, name: str) -> None:
    installed.describe({"name": name, "version": "1.18.40"})
    assert installed.version() == (1, 18, 40)
    assert installed.times == 0


def test_a_link_to_the_binary(installed: Installed, tmp_path: Path) -> None:
    installed.describe({"name": "opencode-ai", "version": "1.18.40"})
    link = tmp_path / "opencode"
    link.symlink_to(installed.path)
    assert version(str(link), installed.environ, OpenCode()) == (1, 18, 40)


@pytest.mark.parametrize(
    "content", [{}, {"name": "x", "version": "9.9.9"}, {"name": "opencode-ai"}, {"name": 1}, []]
)
def test_another_package_says_nothing(installed: Installed, content: object) -> None:
    installed.describe(content)
    assert installed.version() == (1, 18, 33)


def test_the_answer_is_kept_until_the_binary_changes(installed: Installed) -> None:
    assert installed.version(ask=False) == (0, 0, 0)
    assert installed.version() == (1, 18, 33)
    assert installed.version() == (1, 18, 33)
    assert installed.version(ask=False) == (1, 18, 33)
    assert installed.times == 1
    installed.say("2.0.10")
    assert installed.version() == (2, 0, 10)
    assert installed.times == 2


def test_a_binary_that_does_not_answer(installed: Installed) -> None:
    installed.path.write_text("#!/bin/sh\nexit 1\n")
    assert installed.version() == (0, 0, 0)
    installed.path.write_bytes(b"\x7fELF nothing")
    assert installed.version() == (0, 0, 0)
    installed.path.unlink()
    assert installed.version() == (0, 0, 0)


@pytest.mark.parametrize("content", [b"", b"\xff\0\n", b"9.9.9 somewhere else\n", b"x" * 99])
def test_a_damaged_memory_is_no_answer(installed: Installed, content: bytes) -> None:
    installed.version()
    store = Path(installed.environ["HOME"], ".cache/routeguard/agents/versions")
    store.write_bytes(content)
    assert installed.version(ask=False) == (0, 0, 0)
    assert installed.version() == (1, 18, 33)


def test_a_cache_that_cannot_be_written_costs_only_time(installed: Installed) -> None:
    Path(installed.environ["HOME"]).write_text("a file is in the way")
    assert installed.version() == (1, 18, 33)


def test_an_installer_that_keeps_several_versions_says_it_in_the_name(tmp_path: Path) -> None:
    program = tmp_path / "share" / "claude" / "versions" / "2.1.332"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexit 1\n")
    link = tmp_path / "claude"
    link.symlink_to(program)
    assert version(str(link), {}, ClaudeCode()) == (2, 1, 332)
    assert version(str(link), {}, OpenCode()) == (0, 0, 0)


def test_a_binary_beside_its_package_file(tmp_path: Path) -> None:
    said = {"name": "@anthropic-ai/claude-code-linux-x64", "version": "2.1.332"}
    (tmp_path / "package.json").write_text(json.dumps(said))
    assert version(str(tmp_path / "claude"), {}, ClaudeCode()) == (2, 1, 332)
