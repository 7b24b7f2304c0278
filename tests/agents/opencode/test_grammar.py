"""How opencode 1.x reads its command line: every row of it that was observed on 1.18.33."""

from __future__ import annotations

import random

import pytest

from guard.agents.opencode import grammar
from guard.agents.opencode.grammar import (
    GUARDED,
    HARMLESS,
    LOCAL,
    REMOTE,
    SERVER,
    Invocation,
    kebab,
    read,
)


def model(invocation: Invocation) -> str | None:
    """What the command line says about the model: the last value, None if it says nothing."""
    options = invocation.named("model", "m")
    return options[-1].value if options else None


def words(invocation: Invocation) -> list[str]:
    return invocation.words


@pytest.mark.parametrize(
    ("argv", "command", "named", "free"),
    [
        # every spelling that sets the model
        (["run", "-m", "X", "hi"], "run", "X", ["hi"]),
        (["run", "-m=X", "hi"], "run", "X", ["hi"]),
        (["run", "--model", "X", "hi"], "run", "X", ["hi"]),
        (["run", "--model=X", "hi"], "run", "X", ["hi"]),
        (["run", "--m", "X", "hi"], "run", "X", ["hi"]),
        (["run", "--m=X", "hi"], "run", "X", ["hi"]),
        (["run", "-m@x", "hi"], "run", "@x", ["hi"]),
        (["run", "-m9", "hi"], "run", "9", ["hi"]),
        (["run", "-m1.", "hi"], "run", "1.", ["hi"]),
        (["run", "-m1e5", "hi"], "run", "1e5", ["hi"]),
        (["run", "-m1.5e-3", "hi"], "run", "1.5e-3", ["hi"]),
        (["run", "-m-", "hi"], "run", "-", ["hi"]),
        (["run", "-m\nx", "hi"], "run", "\nx", ["hi"]),
        (["run", "-méx", "hi"], "run", "éx", ["hi"]),
        (["run", "-m\U0001f600", "hi"], "run", "\U0001f600", ["hi"]),
        # a cluster of letters, the last of which takes the next word
        (["run", "-cm", "X", "hi"], "run", "X", ["hi"]),
        (["run", "-cm=X", "hi"], "run", "X", ["hi"]),
        (["run", "-mX", "hi"], "run", None, []),
        (["run", "-mc", "hi"], "run", None, ["hi"]),
        (["run", "-m=", "hi"], "run", None, []),
        # no value
        (["run", "-m", "", "hi"], "run", "", ["hi"]),
        (["run", "hi", "-m"], "run", None, ["hi"]),
        (["run", "-m", "--agent", "b", "hi"], "run", None, ["hi"]),
        (["run", "--no-model", "hi"], "run", None, ["hi"]),
        # the prompt taken for a value
        (["run", "-m", "hi"], "run", "hi", []),
        # options after the message, and after --
        (["run", "hi", "-m", "X"], "run", "X", ["hi"]),
        (["run", "hi", "--", "-m", "X"], "run", None, ["hi"]),
        (["--", "run", "hi", "-m", "X"], "", None, []),
        # a short option takes `--`, `-` and `---` as its value, a long one does not
        (["run", "-s", "--", "-m", "X", "hi"], "run", "X", ["hi"]),
        (["run", "-m", "-", "hi"], "run", "-", ["hi"]),
        (["run", "-m", "---", "hi"], "run", "---", ["hi"]),
        (["run", "-m", "---x", "hi"], "run", "---x", ["hi"]),
        (["run", "--session", "--", "-m", "X", "hi"], "run", None, []),
        (["run", "--model", "-", "hi"], "run", None, ["-", "hi"]),
        (["run", "---", "hi"], "run", None, ["---", "hi"]),
        (["run", "---=x", "hi"], "run", None, ["---=x", "hi"]),
        # the name ends at a line break, as a dot in a JavaScript pattern does
        (["run", "--model\nz", "X", "hi"], "run", "X", ["hi"]),
        (["run", "--\nmodel", "X"], "run", None, ["--\nmodel", "X"]),
        # an option that the top level does not know takes the next word, then `run` is found
        (["-m", "X", "run", "hi"], "run", "X", ["hi"]),
        (["--agent", "b", "run", "hi"], "run", None, ["hi"]),
        (["--session", "s", "run", "hi"], "run", None, ["hi"]),
        (["--port", "0", "run", "hi"], "run", None, ["hi"]),
        (["--dir=d", "run", "hi"], "run", None, ["hi"]),
        (["-c=true", "run", "hi"], "run", None, ["hi"]),
        # a boolean that the top level does not know swallows `run`
        (["-c", "run", "hi"], "", None, ["run", "hi"]),
        (["--auto", "run", "hi"], "", None, ["run", "hi"]),
        (["--standalone", "run", "hi"], "", None, ["hi"]),
        (["-c", "run"], "", None, ["run"]),
        # the four that it knows
        (["--print-logs", "run", "hi"], "run", None, ["hi"]),
        (["--printLogs", "run", "hi"], "run", None, ["hi"]),
        (["--pure", "run", "hi"], "run", None, ["hi"]),
        (["--pure", "true", "run", "hi"], "run", None, ["hi"]),
        (["--log-level", "DEBUG", "run", "hi"], "run", None, ["hi"]),
        (["--logLevel", "DEBUG", "run", "hi"], "run", None, ["hi"]),
        # arrays eat every word up to the next dash, also after `=`
        (["run", "-f", "a", "b", "-m", "X"], "run", "X", []),
        (["run", "--file=a", "b", "hi"], "run", None, []),
        (["run", "-f=a", "b"], "run", None, []),
        (["run", "-f", "a", "-1", "--", "hi"], "run", None, []),
        (["run", "--message", "a", "b", "-m", "X"], "run", "X", []),
        # negative numbers are words
        (["run", "-1", "-.5", "-1.5"], "run", None, ["-1", "-.5", "-1.5"]),
        (["run", "-m", "-1", "hi"], "run", "-1", ["hi"]),
        # commands are case-sensitive, unknown words name a directory
        (["Run", "hi"], "", None, ["Run", "hi"]),
        (["word"], "", None, ["word"]),
        ([], "", None, []),
        ([""], "", None, [""]),
        (["run", ""], "run", None, [""]),
        (["run", "-"], "run", None, ["-"]),
        # no abbreviation, no case folding: an option of its own, which opencode refuses
        (["run", "--mod", "X", "hi"], "run", None, ["hi"]),
        (["run", "--Model", "X", "hi"], "run", None, ["hi"]),
        # fields of an option
        (["run", "--model.x", "y", "hi"], "run", "y", ["hi"]),
        (["run", "-m.x", "y", "hi"], "run", "y", ["hi"]),
        (["run", "-m.x=y", "hi"], "run", "y", ["hi"]),
    ],
)
def test_reading(argv: list[str], command: str, named: str | None, free: list[str]) -> None:
    found = read(argv)
    assert (found.command.name, model(found), words(found)) == (command, named, free)


@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        ([], GUARDED),
        (["run", "hi"], GUARDED),
        (["/some/where"], GUARDED),
        (["agent", "create"], GUARDED),
        (["github", "run"], GUARDED),
        (["pr", "3"], GUARDED),
        (["models"], GUARDED),
        (["debug", "agent", "x", "--tool", "bash"], GUARDED),
        (["debug", "v2"], GUARDED),
        (["serve"], SERVER),
        (["web", "--port", "0"], SERVER),
        (["acp", "--cwd", "/x"], SERVER),
        (["attach", "http://e"], REMOTE),
        (["attach"], REMOTE),
        # what a reader with a simpler idea of `--` and of clusters takes for the TUI
        (["-p", "--", "attach", "http://e"], REMOTE),
        (["-s", "-", "attach", "http://e"], REMOTE),
        (["-u", "---", "attach", "http://e"], REMOTE),
        (["-p1e5", "attach", "http://e"], REMOTE),
        (["-péx", "attach", "http://e"], REMOTE),
        (["-p\U0001f600", "attach", "http://e"], REMOTE),
        (["--password", "x", "attach", "http://e"], REMOTE),
        (["-p", "--", "serve"], SERVER),
        (["mcp", "list"], LOCAL),
        (["session", "list"], LOCAL),
        (["stats"], LOCAL),
        (["agent", "list"], LOCAL),
        (["agent", "ls"], LOCAL),
        (["upgrade", "-m", "npm"], HARMLESS),
        (["completion"], HARMLESS),
        (["debug", "paths"], HARMLESS),
        (["--version"], HARMLESS),
        (["-v"], HARMLESS),
        (["run", "--help"], HARMLESS),
        (["run", "-ch", "hi"], HARMLESS),
        (["serve", "-h"], HARMLESS),
        (["attach", "--help"], HARMLESS),
    ],
)
def test_kinds(argv: list[str], kind: str) -> None:
    assert read(argv).kind == kind


@pytest.mark.parametrize("alias", [("auth", "providers"), ("plug", "plugin")])
def test_aliases_are_the_command_they_stand_for(alias: tuple[str, str]) -> None:
    short, long = alias
    assert read([short, "login"]).command == read([long, "login"]).command


@pytest.mark.parametrize(
    "line",
    [
        "--help false run hi", "run --help false hi", "run hi --help=false", "run -h=false hi",
        "run --h=false hi", "run --no-help hi", "run --no-h hi", "run --help --no-help hi",
        "run -h --help=false hi", "run -h false hi", "run -h5 hi", "run -h1e5 hi", "run -h1. hi",
        "run -h- hi", "run -h@x hi", "run -héx hi", "run -v1e5 hi", "run -v=no hi",
        "run --version=false hi", "run --no-version hi", "run --version false hi",
        "run --help=no hi", "run --help.x hi", "run -h.x hi", "run -- --help", "run -- -h",
        "run hi -- --version", "run --session x --help=0 hi", "run -hv=x hi",
    ],
)  # fmt: skip
def test_help_is_never_seen_where_opencode_would_run(line: str) -> None:
    found = read(line.split())
    assert not found.asks_for_help()
    assert found.kind == GUARDED


@pytest.mark.parametrize("argv", [["run", "-h", "hi"], ["-vh"], ["run", "-ich"], ["--h", "run"]])
def test_help_is_seen_where_nothing_else_can_happen(argv: list[str]) -> None:
    assert read(argv).asks_for_help()


@pytest.mark.parametrize(
    ("argv", "url"),
    [
        (["run", "--attach", "U", "hi"], "U"),
        (["run", "--attach=U", "hi"], "U"),
        (["run", "hi", "--attach", "U"], "U"),
        (["--attach", "U", "run", "hi"], "U"),
        (["run", "--attach.x", "U"], "U"),
        (["run", "--attach.x=U"], "U"),
        (["run", "--attach\nz", "U"], "U"),
        (["run", "-p", "--", "--attach", "U", "hi"], "U"),
        (["run", "-f", "a", "b", "--attach", "U"], "U"),
        (["run", "--attach"], None),
        (["run", "--attach="], ""),
    ],
)
def test_another_server_is_seen_in_every_spelling(argv: list[str], url: str | None) -> None:
    (option,) = read(argv).named("attach")
    assert option.value == url


@pytest.mark.parametrize("argv", [["run", "--", "--attach", "U"], ["run", "--title=--attach U"]])
def test_text_is_no_option(argv: list[str]) -> None:
    assert read(argv).named("attach") == []


def test_array_values_are_kept_apart() -> None:
    (option,) = read(["run", "-f", "a", "b", "-m", "X"]).named("f")
    assert (option.value, option.values, option.start, option.end) == ("a", ("a", "b"), 1, 4)
    (option,) = read(["run", "--file=a", "b"]).named("file")
    assert (option.value, option.values) == ("a", ("a", "b"))
    (option,) = read(["run", "-f"]).named("f")
    assert (option.value, option.values) == (None, ())


def test_a_positional_is_an_option_as_well() -> None:
    assert [o.value for o in read(["--project", "/evil"]).named("project")] == ["/evil"]
    assert [o.value for o in read(["attach", "--url=U"]).named("url")] == ["U"]


@pytest.mark.parametrize(
    ("argv", "separator"),
    [
        (["run", "hi"], 2),
        (["run", "--", "a", "--", "b"], 1),
        (["run", "-s", "--", "hi"], 4),
        (["run", "-s", "--", "--", "hi"], 3),
        (["run", "-f", "a", "--", "hi"], 3),
        (["run", "-c", "--", "hi"], 2),
        (["--"], 0),
    ],
)
def test_where_the_options_end(argv: list[str], separator: int) -> None:
    assert read(argv).separator == separator


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("logLevel", "log-level"),
        ("dangerouslySkipPermissions", "dangerously-skip-permissions"),
        ("log-level", "log-level"),
        ("Model", "Model"),
        ("m", "m"),
        ("", ""),
    ],
)
def test_kebab(typed: str, plain: str) -> None:
    assert kebab(typed) == plain


def test_reading_never_fails_and_accounts_for_every_word() -> None:
    rng = random.Random(1)
    alphabet = "-=.mcfhs@1e \né\udcff\U0001f600ax"
    for _ in range(5000):
        argv = [
            "".join(rng.choices(alphabet, k=rng.randint(0, 5))) for _ in range(rng.randint(0, 6))
        ]
        if rng.random() < 0.5:
            argv.insert(rng.randint(0, len(argv)), rng.choice(["run", "attach", "debug", "--"]))
        found = read(argv)
        taken = set(found.operands)
        for option in found.options:
            assert 0 <= option.start < option.end <= found.separator
            taken.update(range(option.start, option.end))
        left = [i for i in range(found.separator) if i not in taken]
        # what is neither an option nor a free word is the command
        assert len(left) <= 2
        assert [argv[i] for i in left] == [argv[i] for i in left if not argv[i].startswith("--")]
        assert found.argv == tuple(argv)
        assert found.separator == len(argv) or argv[found.separator] == "--"


def test_the_module_says_which_options_listen() -> None:
    assert {"port", "hostname", "mdns", "mdns-domain", "cors"} == grammar.NETWORK
