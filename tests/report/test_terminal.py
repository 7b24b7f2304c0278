"""The one way to a person's terminal."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable

import click
import pytest
from command_tree import commands

from guard import cli
from guard.commands.groups import summary
from guard.errors import GuardError, UsageError
from guard.report import terminal
from guard.report.terminal import Progress, fold, paint, plain, show, wrapped


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Screen]:
    def begin(width: int = 40, **environ: str) -> Screen:
        for name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"COLUMNS": str(width), "TERM": "xterm", **environ}.items():
            monkeypatch.setenv(name, value)
        stream = Screen()
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return begin


def test_the_commands_are_those_of_the_group() -> None:
    assert set(cli.COMMANDS) <= set(terminal.COMMANDS)


@pytest.mark.parametrize("path", commands())
def test_help_is_short_and_folds(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = commands()[path]
    # fish cut at a comma; 60 columns have no room for more
    assert len(summary(command)) <= 60
    assert summary(command)[:1].isupper()
    for width in (60, 80, 100, 200):
        context = click.Context(
            command,
            info_name=path,
            terminal_width=min(width, 100) - 2,
            help_option_names=["-h", "--help"],
        )
        lines = command.get_help(context).splitlines()
        # a command stays whole, so that it can be copied
        long = [line for line in lines if len(line) > width and "routeguard" not in line]
        assert long == []
        # and fits the width that most terminals have
        assert [line for line in lines if width == 80 and len(line) > width] == []


# Folding -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "width", "folded"),
    [
        ("one two three", 0, "one two three"),
        ("one two three", 8, "one two\nthree"),
        ("  one two three", 9, "  one two\n  three"),
        ("note: one two three", 14, "note: one two\n      three"),
        ("  why:   one two three", 18, "  why:   one two\n         three"),
        ("  a long command  one two", 22, "  a long command  one\n      two"),
        ("proxy 127.0.0.1:80: no", 14, "proxy\n127.0.0.1:80:\nno"),
        ("key  one two three", 13, "key  one two\n     three"),
        ("├─ one two three", 11, "├─ one two\n│  three"),
        ("a.py:3:4: error one two", 16, "a.py:3:4: error\n    one two"),
        ("averyverylongword two", 8, "averyverylongword\ntwo"),
        ("more: routeguard why NAME", 20, "more: routeguard why NAME"),
        (
            'fix: routeguard allow port 1 --reason "a, b; c" or routeguard watch',
            30,
            'fix: routeguard allow port 1 --reason "a, b; c"\n     or routeguard watch',
        ),
        ("fix: run `npm i -g opencode` now", 24, "fix: run\n     `npm i -g opencode`\n     now"),
        ("  fix: sudo rm -f /a/long/path now", 20, "  fix: sudo rm -f /a/long/path now"),
        ("  fix: unset A_KEY_OF_MINE", 20, "  fix: unset A_KEY_OF_MINE"),
        ("  fix: set -e A_KEY_OF_MINE", 20, "  fix: set -e A_KEY_OF_MINE"),
        ('  key = { command = ["op", "x"] }', 20, '  key = { command = ["op", "x"] }'),
        ("模型 代理 模型", 9, "模型 代理\n模型"),
    ],
)
def test_a_line_is_folded_at_blanks_and_below_its_words(line: str, width: int, folded: str) -> None:
    assert fold(line, width) == folded


def test_paint_takes_no_room() -> None:
    line = f"{paint('why', 'faint')}: one {paint('two', 'bad')} three"
    assert plain(fold(line, 13)) == fold(plain(line), 13) == "why: one two\n     three"


def test_nothing_is_folded_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show("word " * 100 + "end")
    assert capsys.readouterr().out == "word " * 100 + "end\n"


def test_a_key_is_masked_before_it_is_folded(screen: Callable[..., Screen]) -> None:
    stream = screen(30)
    key = "sk-ant-api03-" + "abcdefgh12345678" * 4
    show(f"it was {key} that was found")
    assert key[-20:] not in stream.getvalue()
    assert "****" in stream.getvalue()


def test_what_the_encoding_cannot_hold_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    show("3 files …")
    assert raw.getvalue() == b"3 files \\u2026\n"


def test_a_closed_stderr_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.close()
    for closed in (stream, None):
        monkeypatch.setattr(sys, "stderr", closed)
        if closed is None:
            show("x", err=True)


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 5, [""]),
        ("one two", 7, ["one two"]),
        ("one two", 6, ["one", "two"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("a abcdefgh", 3, ["a", "abc", "def", "gh"]),
        ("模型代理", 5, ["模型", "代理"]),
        ("模", 1, ["模"]),
    ],
)
def test_wrapped(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width) == lines


# Colour ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [
        ({}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "0"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour(screen: Callable[..., Screen], environ: dict[str, str], coloured: bool) -> None:
    stream = screen(**environ)
    show(paint("bad", "bad"))
    assert stream.getvalue() == ("\x1b[31;1mbad\x1b[0m\n" if coloured else "bad\n")


def test_an_error_is_folded_and_its_words_painted(screen: Callable[..., Screen]) -> None:
    stream = screen(40)
    terminal.show_error(
        GuardError(
            "it is wrong", where="/a/b", why="one two three four five six seven", rule="RG101"
        )
    )
    assert plain(stream.getvalue()) == (
        "routeguard: it is wrong [RG101]\n"
        "  where: /a/b\n"
        "  why:   one two three four five six\n"
        "         seven\n"
    )
    assert stream.getvalue().startswith(paint("routeguard:", "bad"))


# Progress ----------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "PATIENCE", 0.0)
    monkeypatch.setattr(Progress, "_TURN", 0.001)


def drawn(stream: Screen, text: str) -> bool:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if text in stream.getvalue():
            return True
        time.sleep(0.002)
    return False


@pytest.mark.usefixtures("at_once")
def test_progress_is_one_line_that_is_cleared(screen: Callable[..., Screen]) -> None:
    stream = screen(30)
    with Progress("asking") as progress:
        assert drawn(stream, "\r\x1b[Krouteguard: asking …")
        progress("\x1b[2J" + "long " * 20)
        assert drawn(stream, "\r\x1b[Krouteguard: \\x1b[2Jlong")
    assert stream.getvalue().endswith("\r\x1b[K")
    assert all(len(part) < 30 for part in stream.getvalue().split("\r\x1b[K"))


@pytest.mark.usefixtures("at_once")
def test_progress_on_a_dumb_terminal_is_a_line_for_each_stage(
    screen: Callable[..., Screen],
) -> None:
    stream = screen(TERM="dumb")
    with Progress("one"):
        assert drawn(stream, "one …\n")
    assert stream.getvalue() == "routeguard: one …\n"


@pytest.mark.usefixtures("at_once")
def test_no_progress_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("asking"):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_what_is_quick_shows_no_progress(screen: Callable[..., Screen]) -> None:
    stream = screen()
    with Progress("asking"):
        pass
    assert stream.getvalue() == ""


@pytest.mark.parametrize("words", [["verify", "--timeout", "x"], ["ports", "hold", "x"]])
def test_a_bad_number_is_said_in_english(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"'x' is not a number$"):
        cli.main(words)
