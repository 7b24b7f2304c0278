"""The stand-in does what the facts say of a bare opencode 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_opencode2 import JULY, LATER, Parsed, Stopped
from opencode2_cases import CASES, CHECKS, Bench, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_a_set_up_does_unguarded(case: Case, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    case.setup(bench)
    found = bench.run(LATER)
    assert set(case.bare) <= found


def test_every_start_asks_other_hosts(tmp_path: Path) -> None:
    assert set(CHECKS) <= Bench(tmp_path).run(LATER)


def test_where_the_builds_differ(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.environ["OPENCODE_CONFIG_CONTENT"] = '{"model":"anthropic/claude-x"}'
    assert "api.anthropic.com" not in bench.run(JULY)
    bench.project_says(model="anthropic/claude-x")
    bench.environ["OPENCODE_CONFIG_PROJECT_DISABLE"] = "1"
    assert "api.anthropic.com" in bench.run(JULY, ["run", "--standalone", "hi"])
    del bench.environ["OPENCODE_CONFIG_CONTENT"]
    assert "api.anthropic.com" not in bench.run(LATER, ["run", "--standalone", "hi"])


@pytest.mark.parametrize(
    ("argv", "command", "words", "standalone", "model"),
    [
        ("run hi", "run", ["hi"], False, None),
        ("run --standalone hi", "run", ["hi"], True, None),
        ("run --standalone false hi", "run", ["hi"], False, None),
        ("run --standalone true hi", "run", ["hi"], True, None),
        ("run --standalone=true false hi", "run", ["false", "hi"], True, None),
        ("run --standalone=true --standalone=false hi", "run", ["hi"], True, None),
        ("run --standalone --no-standalone hi", "run", ["hi"], True, None),
        ("run --no-standalone --standalone hi", "run", ["hi"], False, None),
        ("run -m a/b -m c/d hi", "run", ["hi"], False, "a/b"),
        ("run hi -m=a/b", "run", ["hi"], False, "a/b"),
        ("run hi -- -m x/y", "run", ["hi", "-m", "x/y"], False, None),
        ("--log-level debug run hi", "run", ["hi"], False, None),
        ("-cs ID run", "", ["run"], False, None),
        ("Run hi", "", ["Run", "hi"], False, None),
        ("--model=a/b dir", "", ["dir"], False, "a/b"),
        ("update 2.2.7", "upgrade", ["2.2.7"], False, None),
    ],
)
def test_the_command_line(
    argv: str, command: str, words: list[str], standalone: bool, model: str | None
) -> None:
    if argv.startswith("-cs"):
        with pytest.raises(Stopped):
            Parsed(argv.split())
        return
    parsed = Parsed(argv.split())
    assert (parsed.command, parsed.words) == (command, words)
    assert (parsed.on("standalone"), parsed.one("model")) == (standalone, model)


@pytest.mark.parametrize(
    "argv",
    [
        "--standalone run hi",
        "run -mX hi",
        "run --mod x hi",
        "run --Standalone hi",
        "run --provider x hi",
        "run --server http://x.invalid --standalone hi",
        "run -m gpt-4o hi",
        "run -m anthropic/other hi",
        "run -m anthropic/claude-x#high hi",
        "runn hi",
    ],
)
def test_what_it_does_not_start_with(argv: str, tmp_path: Path) -> None:
    found = Bench(tmp_path).run(LATER, argv.split())
    assert "exit 1" in found
    assert not {"api.anthropic.com", "opencode.ai"} & found


def test_a_command_leaves_a_service_behind_and_the_next_one_uses_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run(LATER, ["mcp", "list"])
    assert len(bench.lab.services) == 1
    bench.environ.pop("ANTHROPIC_API_KEY")
    # the service has the environment of the command that started it
    assert "ANTHROPIC_API_KEY at api.anthropic.com" in bench.run(
        LATER, ["run", "-m", "anthropic/claude-x", "hi"]
    )
    assert len(bench.lab.services) == 1
    bench.run(LATER, ["run", "--standalone", "hi"])
    assert len(bench.lab.services) == 1


def test_another_directory_is_read_by_the_same_server(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run(LATER, ["models"])
    bench.put("elsewhere/opencode.json", {"model": "anthropic/claude-x"})
    assert "api.anthropic.com" in bench.run(LATER, cwd=str(tmp_path / "elsewhere"))
