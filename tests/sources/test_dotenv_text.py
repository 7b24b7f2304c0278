"""The one reader of dotenv texts: python-dotenv's answer, with places, and nothing hidden."""

from __future__ import annotations

import io

import pytest
from dotenv import dotenv_values
from hypothesis import example, given
from hypothesis import strategies as st

from guard.sources.dotenv_text import assignments

PIECES = st.sampled_from(
    [*"AB='\"`#:.\\\n\t ", "\r\n", "\ufeff", "export ", "é", "$(x)", "${A}", "A=", "B = ", " " * 70]
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)


@given(TEXTS)
@example("AA=A\t" + " " * 70 + "A")
def test_the_values_are_those_of_python_dotenv(text: str) -> None:
    """But for long runs of blanks, which are cut, and backticks, npm's quotes."""

    def plain(value: str) -> str:
        return " ".join(value.strip("`").split())

    found = {one.name: plain(one.value) for one in assignments(text)}
    for name, value in dotenv_values(stream=io.StringIO(text), interpolate=False).items():
        if value is not None:
            assert found[name] == plain(value) or text.count(name) > 1


@given(TEXTS)
@example("export \r\nA=")
@example("A='\\''")
def test_each_stands_where_it_says(text: str) -> None:
    lines = io.StringIO(text, newline="").read().replace("\r\n", "\n").replace("\r", "\n")
    for one in assignments(text):
        if one.name.split() != [one.name]:
            continue  # a name in quotes may hold blanks, and is no variable's
        assert text[one.name_at :].startswith(one.name)
        assert 0 <= one.name_at <= one.start <= one.end <= len(text)
        written = text[one.start : one.end]
        if "\\" not in written and " " * 60 not in written:
            assert written == one.value
        assert one.name in lines.split("\n")[one.line - 1]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("KEY='value", "value"),  # docker takes the rest of the line
        ('KEY="value" more', 'value" more'),
        ("KEY: value", "value"),  # npm's dotenv
        ("KEY=`value`", "value"),
        ("KEY=value # why", "value"),
        ("KEY='value # why", "value"),
    ],
)
def test_what_python_dotenv_gives_up_is_read_as_others_do(line: str, value: str) -> None:
    found = [(one.name, one.value) for one in assignments(f"A=1\n{line}\nB=2\n")]
    assert found == [("A", "1"), ("KEY", value), ("B", "2")]
