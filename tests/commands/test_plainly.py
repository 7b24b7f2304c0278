"""Commands without click: plain words, as a hook of git gives them, mean what click says."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from guard.cli import group
from guard.cli import main as by_click_alone
from guard.commands import overview, plainly
from guard.commands.groups import LazyGroup, summary

PLAIN = (
    "check",
    "check a.py b/",
    "check --staged -q",
    "check a.py --json b.py --stats",
    "check --all --strict --no-baseline --quiet",
    "check --format concise a.py --fail-on note",
    "check -- --staged -q",
    "check -q -- -",
    "check --format json --format text",
    "why",
    "why A_KEY B_KEY",
    "why --json A_KEY",
    "why -- --json",
    "policy show",
    "policy show --json --effective",
    "policy show --effective --",
)
NOT_PLAIN = (
    "check --since main",
    "check --format=json",
    "check --format xml",
    "check --format",
    "check --fail-on nothing",
    "check -qq",
    "check -h",
    "check --stage",
    "check -",
    "check --no-such a.py",
    "why -h",
    "why --help A_KEY",
    "why --js",
    "why --no-such",
    "policy show --effective --effect",
    "policy show user",
    "policy show -- user",
    "policy show --help",
    "policy show --effect",
    "policy",
    "policy --json show",
    "policy path",
    "portkey --help --help",
    "status",
    "--no-such",
    "why.",
    "",
)


def by_click(argv: list[str]) -> dict[str, Any]:
    """What click says the words after the command mean."""
    command: click.Command = group
    words = list(argv)
    with click.Context(group, info_name="routeguard") as context:
        while isinstance(command, click.Group):
            found = command.get_command(context, words.pop(0))
            assert found is not None
            command = found
    with click.Context(command) as context:
        command.parse_args(context, words)
        return dict(context.params)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the functions behind the commands were called with; none of them runs."""
    calls: list[dict[str, Any]] = []

    def command(**named: Any) -> int:
        calls.append(named)
        return 0

    for module in plainly.MODULES.values():
        monkeypatch.setattr(import_module(f"guard.commands.{module}"), "command", command)
    return calls


@pytest.mark.parametrize("line", PLAIN)
def test_plain_words_mean_what_click_says(line: str, asked: list[dict[str, Any]]) -> None:
    argv = line.split()
    assert plainly.main(argv) == 0
    (given,) = asked
    params = by_click(argv)
    assert params.items() >= given.items()
    # what click adds is what the function takes without it
    assert all(params[name] in (None, False, (), "error") for name in params.keys() - given.keys())


@pytest.mark.parametrize("line", NOT_PLAIN)
def test_all_else_is_left_to_click(line: str, asked: list[dict[str, Any]]) -> None:
    assert plainly.main(line.split()) is None
    assert asked == []


def test_two_words_in_one_are_no_command(asked: list[dict[str, Any]]) -> None:
    assert {plainly.main([line]) for line in PLAIN if " " in line} == {None}
    assert asked == []


@pytest.mark.parametrize("argv", [[], ["check"], ["why"], ["--help"], ["--version"]], ids=" ".join)
def test_a_shell_that_completes_gets_its_answer_from_click(
    argv: list[str], asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_ROUTEGUARD_COMPLETE", "bash_complete")
    assert plainly.main(argv) is None
    assert asked == []


@pytest.mark.parametrize("words", plainly.MODULES, ids=" ".join)
def test_an_interrupted_command_says_so(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: Any) -> int:
        raise KeyboardInterrupt

    module = import_module(f"guard.commands.{plainly.MODULES[words]}")
    monkeypatch.setattr(module, "command", interrupted)
    assert plainly.main([*words]) == 130
    assert capsys.readouterr().err == "routeguard: interrupted\n"


# Help --------------------------------------------------------------------------------------------


def lazy(path: str) -> LazyGroup:
    """The group that is typed as `path`."""
    found: click.Command | None = group
    for word in path.split()[1:]:
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    assert isinstance(found, LazyGroup)
    return found


@pytest.mark.parametrize("width", [50, 51, 55, 60, 66, 72, 78, 79, 90, 98])
@pytest.mark.parametrize("path", overview.OVERVIEWS)
def test_an_overview_is_what_click_would_say(path: str, width: int) -> None:
    """Of the commands as they are: their options, and the first sentences of their own help."""
    found = lazy(path)
    context = click.Context(found, info_name=path, terminal_width=width, **group.context_settings)
    formatter = context.make_formatter()
    summaries = {
        heading: {name: summary(found.get_command(context, name)) for name in names}
        for heading, names in overview.OVERVIEWS[path].summaries.items()
    }  # fmt: skip
    found.overview = None
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(found, "summaries", lambda _: summaries, raising=False)
            found.format_help(context, formatter)
    finally:
        found.overview = overview.OVERVIEWS[path]
    said = overview.OVERVIEWS[path].text(width)
    assert said == formatter.getvalue().rstrip("\n")
    listed = {name for names in summaries.values() for name in names}
    assert listed == {
        name for name in found.list_commands(context) if not found.get_command(context, name).hidden
    }


@pytest.mark.parametrize(
    ("environ", "width"),
    [
        ({}, 78),
        ({"COLUMNS": "60"}, 58),
        ({"COLUMNS": "20"}, 50),
        ({"COLUMNS": "300"}, 98),
        ({"COLUMNS": "0"}, 78),
        ({"COLUMNS": "wide"}, 78),
        ({"COLUMNS": "-5"}, 78),
        ({"NO_COLOR": "1", "COLUMNS": "70"}, 68),
        ({"FORCE_COLOR": "1", "COLUMNS": "70"}, 68),
        ({"TERM": "dumb"}, 78),
    ],
    ids=str,
)
@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["portkey", "--help"]], ids=" ".join)
def test_help_is_the_same_with_and_without_click(
    argv: list[str],
    environ: dict[str, str],
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with open("/dev/null", "w") as no_terminal:
        monkeypatch.setattr(sys, "__stdout__", no_terminal)
        assert plainly.main(argv) == 0
        alone = capsys.readouterr().out
        assert by_click_alone(argv) == 0
    assert alone == capsys.readouterr().out
    assert alone.rstrip("\n") == overview.asked_for(argv).text(width)


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
    assert slow & loaded == set()
