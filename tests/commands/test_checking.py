"""`check` without click: plain arguments, as a hook of git gives them, mean what click says."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from guard.commands import checking
from guard.commands.check import check as command

PLAIN = (
    [],
    ["a.py", "b/"],
    ["--staged", "-q"],
    ["a.py", "--json", "b.py", "--stats"],
    ["--all", "--strict", "--no-baseline", "--quiet"],
    ["--format", "concise", "a.py", "--fail-on", "note"],
    ["--", "--staged", "-q"],
    ["-q", "--", "-"],
    ["--format", "json", "--format", "text"],
)
NOT_PLAIN = (
    ["--since", "main"],
    ["--format=json"],
    ["--format", "xml"],
    ["--format"],
    ["--fail-on", "nothing"],
    ["-qq"],
    ["-h"],
    ["--stage"],
    ["-"],
    ["--no-such", "a.py"],
)


def by_click(argv: list[str]) -> dict[str, Any]:
    with click.Context(command) as context:
        command.parse_args(context, list(argv))
        return dict(context.params)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    real = inspect.signature(checking.check)

    def check(*given: Any, **named: Any) -> int:
        bound = real.bind(*given, **named)
        bound.apply_defaults()
        calls.append(dict(bound.arguments))
        return 0

    monkeypatch.setattr(checking, "check", check)
    return calls


@pytest.mark.parametrize("argv", PLAIN, ids=" ".join)
def test_plain_arguments_mean_what_click_says(argv: list[str], asked: list[dict[str, Any]]) -> None:
    assert checking.plainly(argv) == 0
    assert asked == [by_click(argv)]


@pytest.mark.parametrize("argv", NOT_PLAIN, ids=" ".join)
def test_all_else_is_left_to_click(argv: list[str], asked: list[dict[str, Any]]) -> None:
    assert checking.plainly(argv) is None
    assert asked == []


def test_an_interrupted_check_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(checking, "check", interrupted)
    assert checking.plainly(["a.py"]) == 130
    assert capsys.readouterr().err == "routeguard: interrupted\n"


def test_named_files_are_checked_without_what_is_slow_to_load(tmp_path: Path) -> None:
    """A hook of git waits for this at each commit."""
    for name in ("a.py", "b.json", "c.ts"):
        (tmp_path / name).write_text('{"azure": "a model and its api_key: none"}\n')
    code = (
        "import sys; from guard.dispatch import main; "
        "assert main(['check', '--json', 'a.py', 'b.json', 'c.ts']) == 0; "
        "sys.stderr.write(' '.join(sorted(sys.modules)))"
    )
    for _ in range(2):  # the first one compiles the policy
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            capture_output=True,
            text=True,
            check=True,
        )
    loaded = set(done.stderr.split())
    assert "guard.rules.files.secrets" in loaded
    slow = {"click", "dataclasses", "inspect", "pydantic", "tomllib", "difflib", "hyperscan"}
    assert not slow & loaded
