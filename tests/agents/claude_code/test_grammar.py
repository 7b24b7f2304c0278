"""How Claude Code reads a command line: each row was seen on 2.1.332, see `grammar`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.agents.claude_code import grammar
from guard.agents.kinds import GUARDED, HARMLESS, LOCAL, REMOTE, SERVER


@pytest.mark.parametrize(
    ("line", "kind", "command"),
    [
        ("", GUARDED, ""),
        ("hi", GUARDED, ""),
        ("-p hi", GUARDED, ""),
        ("-- hi", GUARDED, ""),
        ("--version", HARMLESS, ""),
        ("-v", HARMLESS, ""),
        ("-V", HARMLESS, ""),
        ("-p --version", GUARDED, ""),
        ("-p hi --help", HARMLESS, ""),
        ("doctor", HARMLESS, "doctor"),
        ("--verbose doctor", HARMLESS, "doctor"),
        ("-- doctor", HARMLESS, "doctor"),
        ("-p doctor", GUARDED, ""),
        ("-p -- mcp list", GUARDED, ""),
        ("--model -p doctor", HARMLESS, "doctor"),
        ("-n -p doctor", HARMLESS, "doctor"),
        ("-cp mcp list", LOCAL, "mcp"),
        ("mcp list -- -p", LOCAL, "mcp"),
        ("mcp add x -- npx -y server", LOCAL, "mcp"),
        ("mcp --help", HARMLESS, "mcp"),
        ("mcp serve", SERVER, "mcp serve"),
        ("mcp serve --help", SERVER, "mcp serve"),
        ("--model haiku mcp list", LOCAL, "mcp"),
        ("plugin eval x", REMOTE, "plugin eval"),
        ("plugins list", LOCAL, "plugins"),
        ("auth login", REMOTE, "auth login"),
        ("auth status", HARMLESS, "auth"),
        ("setup-token", REMOTE, "setup-token"),
        ("auto-mode critique", REMOTE, "auto-mode critique"),
        ("remote-control --help", SERVER, "remote-control"),
        ("--continue agents", SERVER, "agents"),
        ("logs x", HARMLESS, "logs"),
        ("daemon status", SERVER, "daemon"),
        ("ssh host", REMOTE, "ssh"),
        ("-p logs x", GUARDED, ""),
        ("--allowedTools Bash Edit -p hi", GUARDED, ""),
        ("--allowedTools Bash --help", HARMLESS, ""),
        ("--add-dir --help -p hi", GUARDED, ""),
        ("--tools -h -p hi", GUARDED, ""),
        ("--betas -- --help", HARMLESS, ""),
        ("--help hi", HARMLESS, ""),
        # another release may know the word, and then reads what is behind it in its own way
        ("hi --help", GUARDED, ""),
        ("mcp add --not-in-the-table x", LOCAL, "mcp"),
    ],
)
def test_kind(line: str, kind: str, command: str) -> None:
    found = grammar.read(line.split())
    assert (found.kind, found.command.name, found.two_readings) == (kind, command, False)


@pytest.mark.parametrize(
    "line",
    [
        "--plugin-dir --help -p hi",
        "--client-data-url -h -p hi",
        "--not-in-the-table --help -p hi",
        "--help --bg hi",
        "-v --bg hi",
        "--version --routine x",
        "-V --bg hi",
        "-V -p hi",
        "-p -V",
        "-V hi",
        "-pV",
        "-V --help",
        "workspace-trust --json",
        "-h -w x --tmux",
        "doctor --bg",
        "auth status --background",
        "mcp list --bg",
        # hidden options of the first word: each starts a service (run)
        "--chrome-native-host doctor",
        "--bg-spare doctor",
        "--eval-mock-server -- update",
        "--claude-in-chrome-mcp mcp --help",
    ],
)
def test_neither_a_plea_for_help_nor_a_subcommand_opens_what_is_refused(line: str) -> None:
    found = grammar.read(line.split())
    assert found.kind == GUARDED
    assert found.unknown or found.named(*grammar.REFUSED)


@pytest.mark.parametrize(
    "line", ["mcp -p list", "doctor --print", "--verbose logs x", "--verbose ssh h", "agents -p"]
)
def test_what_can_be_read_in_two_ways_is_a_model_call_that_is_refused(line: str) -> None:
    found = grammar.read(line.split())
    assert found.two_readings
    assert found.kind == GUARDED


@pytest.mark.parametrize("word", ["remote-control", "rc", "bridge", "remote", "sync"])
@pytest.mark.parametrize("asks", ["", " --help", " -ph", " -ch", " --help=x", " -h"])
def test_no_plea_for_help_starts_the_remote_control(word: str, asks: str) -> None:
    """`claude sync -ph` starts it: only `-h` and `--help` as whole words are pleas there."""
    assert grammar.read((word + asks).split()).kind == SERVER


@pytest.mark.parametrize(
    ("line", "options", "operands"),
    [
        ("--model opus hi", [("--model", ("opus",))], ["hi"]),
        ("--model=opus hi", [("--model", ("opus",))], ["hi"]),
        ("-p --model -- hi", [("-p", ()), ("--model", ("--",))], ["hi"]),
        ("-cp hi", [("-c", ()), ("-p", ())], ["hi"]),
        ("-pnNAME hi", [("-p", ()), ("-n", ("NAME",))], ["hi"]),
        ("-r -p hi", [("-r", ()), ("-p", ())], ["hi"]),
        ("-r id hi", [("-r", ("id",))], ["hi"]),
        ("--add-dir a b --verbose c", [("--add-dir", ("a", "b")), ("--verbose", ())], ["c"]),
        ("--tools --bg a -p", [("--tools", ("--bg", "a")), ("-p", ())], []),
        ("hi -- --model x", [], ["hi", "--model", "x"]),
        ("- hi", [], ["-", "hi"]),
        ("--bg hi", [("--bg", ())], ["hi"]),
    ],
)
def test_options(
    line: str, options: list[tuple[str, tuple[str, ...]]], operands: list[str]
) -> None:
    found = grammar.read(line.split())
    assert [(option.name, option.values) for option in found.options] == options
    assert [found.argv[index] for index in found.operands] == operands
    assert found.unknown == []


@pytest.mark.parametrize("word", ["--frobnicate", "--modle=x", "-x", "-pz"])
def test_an_option_that_is_not_known_is_said(word: str) -> None:
    assert grammar.read([word, "hi"]).unknown


def test_no_option_is_both_allowed_and_refused() -> None:
    assert not set(grammar.OPTIONS) & set(grammar.REFUSED)


WORDS = st.sampled_from(
    ["-p", "--print", "--", "mcp", "list", "doctor", "logs", "hi", "-c", "-cp", "--model", "x"]
)


@given(st.lists(WORDS, max_size=7))
def test_a_line_that_prints_is_never_taken_for_a_subcommand(words: list[str]) -> None:
    """With `-p` in front of it no word is a subcommand, so such a line has to be pinned."""
    found = grammar.read(words)
    if words[:1] in (["-p"], ["--print"]):
        assert found.kind == GUARDED


@given(st.lists(WORDS, max_size=7))
def test_every_word_is_read_once(words: list[str]) -> None:
    found = grammar.read(words)
    if found.command.name in ("logs",):
        return
    spans = [range(option.start, option.end) for option in found.options]
    read = {index for span in spans for index in span} | set(found.operands)
    missing = set(range(len(words))) - read
    assert missing <= {found.separator}
