"""The command line of opencode 2 as a launch reads it, held against the stand-in's parser."""

from __future__ import annotations

import pytest
from fake_opencode2 import Parsed, Stopped
from hypothesis import given
from hypothesis import strategies as st

from guard.agents.kinds import GUARDED, HARMLESS, LOCAL, SERVER
from guard.agents.opencode2 import grammar
from guard.agents.opencode2.planner import STANDALONE


@pytest.mark.parametrize(
    ("argv", "command", "kind"),
    [
        ("", "", GUARDED),
        ("somewhere", "", GUARDED),
        ("Run hi", "", GUARDED),
        ("-- run hi", "", GUARDED),
        ("run hi", "run", GUARDED),
        ("--log-level debug run hi", "run", GUARDED),
        ("-c run", "run", GUARDED),
        ("mini", "mini", GUARDED),
        ("models", "models", GUARDED),
        ("acp", "acp", SERVER),
        ("serve --stdio", "serve", SERVER),
        ("pair", "pair", SERVER),
        ("api GET /x", "api", SERVER),
        ("auth", "auth", HARMLESS),
        ("auth list", "auth list", LOCAL),
        ("auth connect x", "auth", LOCAL),
        ("mcp list", "mcp list", LOCAL),
        ("debug paths", "debug paths", HARMLESS),
        ("debug agents", "debug agents", LOCAL),
        ("service status", "service status", HARMLESS),
        ("service stop", "service stop", HARMLESS),
        ("service start", "service start", SERVER),
        ("service restart", "service restart", SERVER),
        ("service set env A b", "service set", SERVER),
        ("service set disabled true", "service set", HARMLESS),
        ("service set disabled false", "service set", SERVER),
        ("upgrade -m npm", "upgrade", HARMLESS),
        ("update", "update", HARMLESS),
        ("--help", "", HARMLESS),
        ("run --help", "run", HARMLESS),
        ("run -h hi", "run", HARMLESS),
        ("run --help false hi", "run", GUARDED),
        ("run --no-help hi", "run", GUARDED),
        ("run -- --help", "run", GUARDED),
        ("run -s --help hi", "run", HARMLESS),
        ("-v", "", HARMLESS),
        ("--completions bash", "", HARMLESS),
        ("--completions", "", GUARDED),
        # opencode 1 has these; to 2.x they are directories
        ("db", "", GUARDED),
        ("generate", "", GUARDED),
        ("attach http://x.invalid", "", GUARDED),
    ],
)
def test_the_kinds_of_commands(argv: str, command: str, kind: str) -> None:
    read = grammar.read(argv.split())
    assert (read.command.name, read.kind) == (command, kind)


@pytest.mark.parametrize(
    ("argv", "unknown"),
    [
        ("run -mX hi", ["-X"]),
        ("run --mod x hi", ["--mod"]),
        ("run --Standalone hi", ["--Standalone"]),
        ("run --port 1 hi", ["--port"]),
        ("run --attach http://x.invalid hi", ["--attach"]),
        ("run --no-model hi", ["--no-model"]),
        ("models --provider x", ["--provider"]),
        ("auth connect http://x.invalid", ["auth connect"]),
        ("mcp serve", ["mcp serve"]),
        ("run -- --port 1", []),
        ("run --no-fork --no-standalone hi", []),
    ],
)
def test_what_is_not_known(argv: str, unknown: list[str]) -> None:
    assert grammar.read(argv.split()).unknown == unknown


@pytest.mark.parametrize(
    ("argv", "shared"),
    [
        ("run --standalone false hi", True),
        ("run --standalone=false hi", True),
        ("run --standalone no hi", True),
        ("run --standalone 0 hi", True),
        ("run --standalone off hi", True),
        ("run --no-standalone hi", True),
        ("run hi --standalone --no-standalone", True),
        ("run --standalone=perhaps hi", True),
        ("run --standalone hi", False),
        ("run --standalone true hi", False),
        ("run --standalone=yes hi", False),
        ("run -- --no-standalone", False),
    ],
)
def test_who_asks_for_the_shared_server(argv: str, shared: bool) -> None:
    assert grammar.read(argv.split()).uses_shared_server() is shared


WORDS = st.lists(
    st.sampled_from(
        [
            *("run", "mini", "models", "auth", "list", "session", "--", "-", "", "hi", "false"),
            *("true", "no", "1", "-m", "--model", "--model=a/b", "-m=c/d", "a/b", "-c", "-cs"),
            *("-s", "--session", "--fork", "--standalone", "--standalone=false", "--no-fork"),
            *("--no-standalone", "--log-level", "debug", "--auto", "--title", "-mX", "--server"),
            *("--print-logs", "-f", "--file=x", "--agent", "build", "stats", "--days", "--json"),
        ]
    ),
    max_size=8,
)


@given(WORDS)
def test_it_reads_what_opencode_reads(argv: list[str]) -> None:
    """Where the stand-in starts at all: the command, its words, and the first value of each."""
    try:
        parsed = Parsed(argv)
    except Stopped:
        return
    read = grammar.read(argv)
    assert read.command.name == parsed.command
    assert read.words == parsed.words
    for name, values in parsed.values.items():
        first = read.named(name)[0]
        said = first.value if first.value is not None else "false" if first.negated else "true"
        assert said == values[0], (argv, name)
    assert not read.unknown


@given(WORDS)
def test_our_own_server_whatever_follows(argv: list[str]) -> None:
    """The word that is put in makes the server private, and changes nothing else."""
    read = grammar.read(argv)
    if not read.command.private or read.unknown or read.early:
        return
    ours = [*argv[: read.behind], STANDALONE, *argv[read.behind :]]
    try:
        before, after = Parsed(argv), Parsed(ours)
    except Stopped:
        return
    assert after.on("standalone")
    assert (after.command, after.words) == (before.command, before.words)
    assert {k: v for k, v in after.values.items() if k != "standalone"} == {
        k: v for k, v in before.values.items() if k != "standalone"
    }
