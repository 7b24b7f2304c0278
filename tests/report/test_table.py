"""Tables fit the terminal, whatever is in them."""

from __future__ import annotations

import pytest

from guard.report.table import Column, fields, table
from guard.report.terminal import columns_of, paint, plain

COLUMNS = (Column("PORT", right=True), Column("NAME", least=8), Column("HOW", least=10))
ROWS = (
    ("4000", "LiteLLM proxy", "program litellm"),
    ("11434", "Ollama", "port 11434 is Ollama's alone"),
)


def test_a_table_with_room() -> None:
    assert table(COLUMNS, ROWS) == (
        " PORT  NAME           HOW\n"
        " 4000  LiteLLM proxy  program litellm\n"
        "11434  Ollama         port 11434 is Ollama's alone"
    )


def test_the_widest_cells_are_wrapped_first() -> None:
    assert table(COLUMNS, ROWS, 40) == (
        " PORT  NAME           HOW\n"
        " 4000  LiteLLM proxy  program litellm\n"
        "11434  Ollama         port 11434 is\n"
        "                      Ollama's alone"
    )


def test_where_no_table_fits_each_row_is_a_block() -> None:
    assert table(COLUMNS, ROWS, 22) == (
        "PORT  4000\nNAME  LiteLLM proxy\nHOW   program litellm\n\n"
        "PORT  11434\nNAME  Ollama\nHOW   port 11434 is\n      Ollama's alone"
    )


def test_no_line_is_wider_than_the_terminal() -> None:
    rows = (*ROWS, ("1", "x" * 200, "模型代理" * 20), ("2", "e\u0301" * 50, "\x1b[31mred\x07"))
    for width in range(20, 100):
        for line in table(COLUMNS, rows, width).splitlines():
            assert columns_of(line) <= width
            assert line.isprintable() or "\u0301" in line


def test_a_column_without_anything_in_it_is_only_kept_where_there_is_room() -> None:
    columns = (*COLUMNS, Column("KEPT BY", least=7))
    rows = [(*row, "") for row in ROWS]
    assert "KEPT BY" in table(columns, rows)
    assert "KEPT BY" in table(columns, rows, 80)
    assert table(columns, rows, 50) == table(COLUMNS, ROWS, 50)


def test_control_characters_are_escaped_and_empty_cells_shown() -> None:
    shown = table(COLUMNS, [("1", "\x1b]0;title\x07", "")])
    assert "\x1b" not in shown
    assert "\\x1b]0;title\\x07" in shown
    assert shown.endswith("  -")


def test_wide_characters_keep_the_columns_in_line() -> None:
    first, second = table(COLUMNS, [("1", "代理", "a"), ("2", "abcd", "b")]).splitlines()[1:]
    assert columns_of(first) == columns_of(second)


@pytest.mark.parametrize("width", [0, 40, 22])
def test_paint_moves_nothing(width: int) -> None:
    painted = table(COLUMNS, [tuple(paint(cell, "bad") for cell in row) for row in ROWS], width)
    assert plain(painted) == table(COLUMNS, ROWS, width)
    assert paint("4000", "bad") in painted
    assert paint("PORT", "bad") not in painted
    # each line of a cell is painted for itself: what stands beside it is not
    assert all(line.count("\x1b[31;1m") == line.count("\x1b[0m") for line in painted.split("\n"))


def test_a_field_is_somebody_elses_text() -> None:
    start, end = paint("x", "bad").split("x")
    assert fields([("\x1b[2J", f"a\rb\n{start}c\td{end}"), (f"{start}d{end}", "e")]) == (
        f"\\x1b[2J  a\\rb\n         {start}c\\td{end}\n{start}d{end}        e"
    )


def test_fields_stand_below_each_other() -> None:
    assert fields([("a", "one\ntwo"), ("long", "x"), ("none", "")], indent=2) == (
        "  a     one\n        two\n  long  x"
    )
