"""How Codex reads a command line: each row was seen on 0.171.0, see `grammar`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.agents.codex import grammar
from guard.agents.kinds import GUARDED, HARMLESS, LOCAL, REMOTE, SERVER


@pytest.mark.parametrize(
    ("line", "kind", "command"),
    [
        ("", GUARDED, ""),
        ("hi", GUARDED, ""),
        ("-- mcp list", GUARDED, ""),
        ("exec hi", GUARDED, "exec"),
        ("e hi", GUARDED, "exec"),
        ("-m x exec hi", GUARDED, "exec"),
        # the name of a subcommand counts behind a prompt, too (run), and behind no second one
        ("exec hi resume --last", GUARDED, "exec resume"),
        ("exec hi review --uncommitted", GUARDED, "exec review"),
        ("hi exec --ephemeral", GUARDED, "exec"),
        ("resume hi app-server", GUARDED, "resume"),
        ("--no-daemon hi app-server", SERVER, "app-server"),
        ("--no-daemon hi login --with-api-key", REMOTE, "login"),
        ("-mx hi cloud list", REMOTE, "cloud"),
        ("hi sandbox -- env", LOCAL, "sandbox"),
        ("hi -- login", GUARDED, ""),
        ("cloud-tasks list", REMOTE, "cloud"),
        ("execpolicy check x", HARMLESS, "execpolicy"),
        ("exec --yolo hi", GUARDED, "exec"),
        ("exec --experimental-json hi", GUARDED, "exec"),
        ("exec -- --version", GUARDED, "exec"),
        ("exec resume --last hi", GUARDED, "exec resume"),
        ("exec review --base main", GUARDED, "exec review"),
        ("review --uncommitted", GUARDED, "review"),
        ("resume --last", GUARDED, "resume"),
        ("agents", GUARDED, "agents"),
        ("exec --help", HARMLESS, "exec"),
        ("exec hi --version", HARMLESS, "exec"),
        ("exec -mx -h", HARMLESS, "exec"),
        ("--version exec hi", HARMLESS, "exec"),
        ("exec help", HARMLESS, "exec help"),
        ("help exec", HARMLESS, "help"),
        ("doctor", HARMLESS, "doctor"),
        ("features list", HARMLESS, "features"),
        ("login status", HARMLESS, "login status"),
        ("debug models", HARMLESS, "debug models"),
        ("debug prompt-input hi -i a.png", GUARDED, "debug prompt-input"),  # starts MCP servers
        ("archive x", HARMLESS, "archive"),
        ("mcp list", LOCAL, "mcp"),
        ("mcp add x -- npx -y server --oss", LOCAL, "mcp"),
        ("sandbox ls --oss", LOCAL, "sandbox"),
        ("login", REMOTE, "login"),
        ("login --device-auth", REMOTE, "login"),
        ("login --issuer status", REMOTE, "login"),
        ("cloud list", REMOTE, "cloud"),
        ("a task", REMOTE, "apply"),
        ("queue --thread x --message y", REMOTE, "queue"),
        ("app-server", SERVER, "app-server"),
        ("-c x=1 app-server --listen ws://x", SERVER, "app-server"),
        ("exec-server", SERVER, "exec-server"),
        ("remote-control start", SERVER, "remote-control"),
        ("responses-api-proxy", SERVER, "responses-api-proxy"),
        ("debug app-server send-message-v2 x", SERVER, "debug"),
        ("mcp-server", SERVER, "mcp-server"),
        ("app-server --help", HARMLESS, "app-server"),
        ("app-server --listen --help", SERVER, "app-server"),
        ("archive --remote ws://x y", GUARDED, "archive"),
    ],
)
def test_kind(line: str, kind: str, command: str) -> None:
    found = grammar.read(line.split())
    assert (found.kind, found.command.name) == (kind, command)
    assert found.wrong == [] or kind != GUARDED


@pytest.mark.parametrize(
    "words",
    [
        ["exec", "-c", "a=b", "hi"],
        ["exec", "-ca=b", "hi"],
        ["exec", "-c=a=b", "hi"],
        ["exec", "--config", "a=b", "hi"],
        ["exec", "--config=a=b", "hi"],
        ["-ca=b", "exec", "hi"],
        ["exec", "resume", "--last", "hi", "-c=a=b"],
    ],
)
def test_every_spelling_of_an_override(words: list[str]) -> None:
    found = grammar.read(words)
    assert found.values("--config") == ["a=b"]
    assert found.wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "exec -m --help hi",  # an error of Codex, and the pin would be the value of an option at
        "exec -c --version",  # the end
        "exec hi -m",
        "exec -m -- hi",
        "exec -i",
        "-i a.png exec hi",  # the terminal's screen with two pictures (run)
        "-i a.png mcp list",
        "exec --mod x hi",
        "exec --new-in-a-later-version --help",
        "exec -Z hi",
    ],
)
def test_what_is_not_known_is_wrong_and_never_harmless(line: str) -> None:
    found = grammar.read(line.split())
    assert found.wrong
    assert all(fix for _, _, fix in found.wrong)
    assert found.kind == GUARDED


_WORDS = """
    exec e resume fork review mcp login status debug app-server hi -- - -h -V --help --version -m
    -mx -c -ca=b --config=a=b -i a.png --oss --remote ws://x --last --json -C --cd=x -p --worktree
    --no-daemon sandbox archive --unknown
"""
WORDS = st.sampled_from(_WORDS.split())


@given(st.lists(WORDS, max_size=7))
def test_options_lie_in_front_of_the_separator_and_each_word_counts_once(words: list[str]) -> None:
    found = grammar.read(words)
    taken = [at for one in found.options for at in range(one.start, one.end)]
    taken = list(dict.fromkeys(taken))  # letters of one word share it
    assert all(at < found.separator for at in taken)
    assert not set(taken) & set(found.operands)
    assert all(word != "--" for word in words[: found.separator]) or found.command.name == "sandbox"


@given(st.lists(WORDS, max_size=6), st.sampled_from(["--oss", "--remote=ws://x", "--worktree"]))
def test_what_is_refused_is_never_harmless_in_front_of_the_separator(
    words: list[str], refused: str
) -> None:
    found = grammar.read([refused, *words])
    asks = found.named("--help", "--version")
    assert found.kind not in (HARMLESS, LOCAL) or asks
