"""Tables fit the terminal, whatever is in them."""

from __future__ import annotations

import pytest

from guard.report.table import Column, columns_of, render, wrapped

COLUMNS = (Column("PORT", right=True), Column("NAME", least=8), Column("HOW", least=10))
ROWS = (
    ("4000", "LiteLLM proxy", "program litellm"),
    ("11434", "Ollama", "port 11434 is Ollama's alone"),
)


def test_a_table_with_room() -> None:
    assert render(COLUMNS, ROWS) == (
        " PORT  NAME           HOW\n"
        " 4000  LiteLLM proxy  program litellm\n"
        "11434  Ollama         port 11434 is Ollama's alone"
    )


def test_the_widest_cells_are_wrapped_first() -> None:
    assert render(COLUMNS, ROWS, 40) == (
        " PORT  NAME           HOW\n"
        " 4000  LiteLLM proxy  program litellm\n"
        "11434  Ollama         port 11434 is\n"
        "                      Ollama's alone"
    )


def test_where_no_table_fits_each_row_is_a_block() -> None:
    assert render(COLUMNS, ROWS, 22) == (
        "PORT  4000\nNAME  LiteLLM proxy\nHOW   program litellm\n\n"
        "PORT  11434\nNAME  Ollama\nHOW   port 11434 is\n      Ollama's alone"
    )


@pytest.mark.parametrize("width", range(20, 100))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    rows = (*ROWS, ("1", "x" * 200, "模型代理" * 20), ("2", "e\u0301" * 50, "\x1b[31mred\x07"))
    for line in render(COLUMNS, rows, width).splitlines():
        assert columns_of(line) <= width
        assert line.isprintable() or "\u0301" in line


def test_a_column_without_anything_in_it_is_only_kept_where_there_is_room() -> None:
    columns = (*COLUMNS, Column("KEPT BY", least=7))
    rows = [(*row, "") for row in ROWS]
    assert "KEPT BY" in render(columns, rows)
    assert "KEPT BY" in render(columns, rows, 80)
    assert render(columns, rows, 50) == render(COLUMNS, ROWS, 50)
    coloured = render(columns, rows, 50, lambda row, column, text: f"{column}" * len(text))
    assert coloured.splitlines()[1].startswith(" 0000")


def test_control_characters_are_escaped_and_empty_cells_shown() -> None:
    table = render(COLUMNS, [("1", "\x1b]0;title\x07", "")])
    assert "\x1b" not in table
    assert "\\x1b]0;title\\x07" in table
    assert table.endswith("  -")


def test_wide_characters_keep_the_columns_in_line() -> None:
    first, second = render(COLUMNS, [("1", "代理", "a"), ("2", "abcd", "b")]).splitlines()[1:]
    assert columns_of(first) == columns_of(second)


def test_style_does_not_move_anything() -> None:
    plain = render(COLUMNS, ROWS, 40)
    styled = render(COLUMNS, ROWS, 40, lambda row, column, text: f"<{text}>")
    assert styled.replace("<", "").replace(">", "") == plain
    assert "<4000>" in styled
    assert "<PORT>" not in styled


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
