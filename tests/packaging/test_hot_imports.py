"""The hot path loads little: asserted on what Python itself says that it imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HEAVY = {
    "asyncio", "click", "concurrent", "contextlib", "ctypes", "dataclasses", "dotenv", "email",
    "enum", "hashlib", "hmac", "http", "importlib.metadata", "importlib.resources", "inspect",
    "json", "logging", "pathlib", "psutil", "pydantic", "pydantic_core", "re", "rich", "shutil",
    "site", "socket", "ssl", "subprocess", "tempfile", "tomllib", "typing", "typing_extensions",
    "urllib",
}  # fmt: skip
"""Modules (with all below them) that cost more than the whole of a hot run may."""

COLD = {"guard.cli", "guard.commands", "guard.policy.compile", "guard.report", "guard.sources"}
"""Rooms of ours that import the heavy ones."""


def imported(home: Path, *argv: str, **more: str) -> set[str]:
    """The modules that `routeguard ARGV` imports, started as the launcher starts it."""
    command = [
        sys.executable, "-X", "importtime", "-I", "-S", str(ROOT / "guard/__main__.py"), *argv
    ]  # fmt: skip
    environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **more}
    result = subprocess.run(
        command, env=environ, cwd=home, capture_output=True, text=True, check=True
    )
    lines = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip() for line in lines} - {"imported package"}


def within(modules: set[str], packages: set[str]) -> set[str]:
    """Those of `modules` that are one of `packages` or lie below one."""
    return {
        module
        for module in modules
        if any(module == package or module.startswith(f"{package}.") for package in packages)
    }


@pytest.mark.parametrize(
    "argv",
    [("hook", "bash"), ("hook", "zsh"), ("hook", "fish"), ("exec", "--", "true"), ("key",)],
    ids=" ".join,
)
def test_a_hot_run_imports_nothing_heavy(tmp_path: Path, argv: tuple[str, ...]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    key = {"PORTKEY_API_KEY": "pk-canary-0123456789"}
    imported(home, *argv, **key)  # the first run compiles the policy, which is not hot
    modules = imported(home, *argv, **key)
    assert "guard.errors" in modules, "the list itself is empty or cut"
    assert within(modules, HEAVY | COLD) == set()


@pytest.mark.parametrize("argv", [("hook", "zsh"), ("exec", "--", "true")], ids=" ".join)
def test_no_agent_is_loaded_where_its_name_is_enough(tmp_path: Path, argv: tuple[str, ...]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    imported(home, *argv)
    loaded = within(imported(home, *argv), {"guard.agents", "guard.launch", "zlib"})
    assert "guard.agents.registry" in loaded
    assert not {name for name in loaded if name.startswith("guard.agents.opencode.")}
    assert not loaded & {"guard.agents.adapter", "guard.launch.agent", "zlib"}


@pytest.mark.parametrize(
    ("name", "room"),
    [("claude", "guard.agents.claude_code"), ("codex", "guard.agents.codex")],
)
def test_a_command_that_calls_no_model_loads_no_look_around(
    tmp_path: Path, name: str, room: str
) -> None:
    """And still gets no key."""
    home, tools = tmp_path / "home", tmp_path / "bin"
    for folder in (home, tools):
        folder.mkdir()
    seen = tmp_path / "seen"
    agent = tools / name
    agent.write_text(f"#!/bin/sh\nenv > {seen}\n")
    agent.chmod(0o755)
    argv = ("exec", "--", name, "--version")
    given = {"PATH": f"{tools}:/usr/bin:/bin", "ANTHROPIC_API_KEY": "sk-ant-canary0123456789"}
    imported(home, *argv, **given)
    modules = imported(home, *argv, **given)
    assert f"{room}.grammar" in modules
    skipped = {"guard.agents.proved", "guard.launch.bare_calls", "guard.launch.local_proxies"}
    skipped |= {f"{room}.{module}" for module in ("facts", "own", "planner", "settings")}
    assert not modules & {*skipped, "guard.agents.behind", "guard.agents.managed"}
    assert "canary" not in seen.read_text()


def test_a_prompt_that_shows_the_status_imports_nothing_heavy(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    imported(home, "hook", "bash")  # compiles the policy
    modules = imported(home, "status", "--short", ROUTEGUARD_HOOK="live:bash")
    assert "guard.doctor.status" in modules
    assert within(modules, HEAVY | COLD) == set()


SLOW = {
    "ast", "asyncio", "click", "dataclasses", "email", "enum", "http", "importlib", "inspect",
    "logging", "pathlib", "psutil", "pydantic", "pydantic_core", "re", "shutil", "site", "socket",
    "ssl", "subprocess", "tempfile", "textwrap", "threading", "tomllib", "typing", "uuid",
}  # fmt: skip
"""What a command that a person waits for may not load before it needs it."""


NEEDED = {
    ("--help",): set(),
    ("--version",): set(),
    ("policy", "show"): set(),
    ("policy", "show", "--effective"): set(),
    ("doctor", "--short"): set(),
    ("portkey", "--help"): {"enum", "re"},
    ("policy", "show", "--json"): {"enum", "re"},
    ("why", "OPENAI_API_KEY"): {"enum", "re", "site", "typing"},
}
"""What some need all the same."""


def test_a_command_loads_nothing_slow_that_it_does_not_need(tmp_path: Path) -> None:
    given = {"ROUTEGUARD_HOOK": "live:bash", "PORTKEY_API_KEY": "pk-canary-0123456789"}
    imported(tmp_path, "hook", "bash")  # compiles the policy
    for argv, needed in NEEDED.items():
        assert within(imported(tmp_path, *argv, **given), SLOW - needed) == set(), argv


def test_the_check_itself_sees_a_heavy_module(tmp_path: Path) -> None:
    assert within(imported(tmp_path, "rules"), HEAVY) >= {"click", "re"}
