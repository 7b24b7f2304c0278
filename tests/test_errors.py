"""Expected failures: one block, nothing that could move a terminal's cursor."""

from __future__ import annotations

import pytest

from guard.errors import ExitCode, GuardError, PolicyError, UsageError, printable
from guard.rule_table import RULES


def test_a_whole_message() -> None:
    error = GuardError("what", where="here", why="because", fix="do this\nthen that", rule="RG201")
    assert error.render() == (
        "routeguard: what [RG201]\n"
        "  where: here\n"
        "  why:   because\n"
        "  fix:   do this\n"
        "         then that"
    )
    assert str(error) == "what"


def test_parts_that_are_empty_are_left_out() -> None:
    assert GuardError("what").render() == "routeguard: what"
    assert GuardError("what", fix="x").render() == "routeguard: what\n  fix:   x"


def test_a_text_of_line_breaks() -> None:
    assert GuardError("what", fix="\n").render().splitlines() == ["routeguard: what", "  fix:   "]


@pytest.mark.parametrize(
    ("error", "code", "rule"),
    [
        (GuardError("x"), 126, ""),
        (GuardError("x", exit_code=ExitCode.NOT_FOUND), 127, ""),
        (PolicyError("x"), 3, "RG501"),
        (PolicyError("x", rule="RG503"), 3, "RG503"),
        (UsageError("x"), 2, ""),
    ],
)
def test_exit_codes(error: GuardError, code: int, rule: str) -> None:
    assert (error.exit_code, error.rule) == (code, rule)
    assert rule in ("", *RULES)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本", "plain é 日本"),
        ("", ""),
        ("a\nb", "a\\nb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\r", "\\r"),
        ("\x00", "\\x00"),
        ("\x9b", "\\x9b"),
        ("\u202e", "\\u202e"),
        ("\u2028", "\\u2028"),
        ("\udcff", "\\xff"),
        ("\udc80x\udcfe", "\\x80x\\xfe"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()


def test_no_part_of_a_message_can_move_the_cursor() -> None:
    bad = "\x1b]0;x\x07\r\x85\u2028\x0b"
    error = GuardError(bad, where=bad, why=bad, fix=bad, rule="RG201")
    for line in error.render().split("\n"):
        assert line.isprintable()
