"""Positions of keys in TOML, for every way in which TOML can write one."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy.locate import Locations, position

TEXT = '''# a comment with = and [brackets]
schema = 1
"quoted key" = "a = b # no comment"
'literal' = 'x'
a.b . "c.d" = { e = 1, f = [ 1, { g = "}" } ] }

[gateway] # comment
base_url = """
[not.a.table]
not_a_key = 1
"""
text = \'\'\'
it's = "fine"
\'\'\'
[gateway.providers.portkey-openrouter]
models = [
  "one", # first
  "two",
]
[[exception]]
subject = "env:A"
[[exception]]
  subject = "env:B"
  until = 2026-12-31 23:59:59
[exception.inner]
x = 1
["\\u0061b"]
y = 1
'''


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("schema",), (2, 1)),
        (("quoted key",), (3, 1)),
        (("literal",), (4, 1)),
        (("a",), (5, 1)),
        (("a", "b"), (5, 3)),
        (("a", "b", "c.d"), (5, 7)),
        (("a", "b", "c.d", "e"), (5, 17)),
        (("a", "b", "c.d", "f", 0), (5, 30)),
        (("a", "b", "c.d", "f", 1, "g"), (5, 35)),
        (("gateway",), (7, 1)),
        (("gateway", "base_url"), (8, 1)),
        (("gateway", "text"), (12, 1)),
        (("gateway", "providers", "portkey-openrouter"), (15, 1)),
        (("gateway", "providers", "portkey-openrouter", "models", 1), (18, 3)),
        (("exception", 0), (20, 1)),
        (("exception", 0, "subject"), (21, 1)),
        (("exception", 1), (22, 1)),
        (("exception", 1, "subject"), (23, 3)),
        (("exception", 1, "inner", "x"), (26, 1)),
        (("ab", "y"), (28, 1)),
        (("exception", 0, "reason"), (20, 1)),
        (("nowhere", "at", "all"), (1, 1)),
    ],
)
def test_find(path, expected):
    tomllib.loads(TEXT)
    assert Locations(TEXT).find(path) == expected


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("a = [[1, 2], [3]]\nb = 1", ("a", 1, 0), (1, 15)),
        ('a = """x""""\nb = 1', ("b",), (2, 1)),
        ("a = '''x'''''\nb = 1", ("b",), (2, 1)),
        ('a = ""\nb = ""', ("b",), (2, 1)),
        ('a = """"""\nb = ""', ("b",), (2, 1)),
        ('a = "\\\\"\nb = 1', ("b",), (2, 1)),
        ('a = """\\\n  x\\""""\nb = 1', ("b",), (3, 1)),
        ("a = []\nb = {}\nc = 1", ("c",), (3, 1)),
        ("a = [ # ]\n]\nb = 1", ("b",), (3, 1)),
        ("a = 1979-05-27 07:32:00\nb = -inf", ("b",), (2, 1)),
        ("\tindented = 1", ("indented",), (1, 2)),
    ],
)
def test_awkward_values(text, path, expected):
    tomllib.loads(text)
    assert Locations(text).find(path) == expected


@pytest.mark.parametrize(
    "text", ["a", "a =", "a = [", "[", "[a", '"', "a = {", "= 1", "[[a]", "\0", "a = '''", "."]
)
def test_not_toml_is_no_failure(text):
    assert Locations(text).find(("x",)) == (1, 1)


def test_nested_beyond_recursion():
    assert Locations("a = " + "[" * 100_000).find(("a",)) == (1, 1)


def test_each_key_of_a_long_text_has_its_place():
    # counting the lines before each would not come back
    text = "[[a]]\nb = 1\n" * 100_000
    where = Locations(text)
    for number in range(100_000):
        assert where.find(("a", number, "b")) == (2 * number + 2, 1)


@given(st.lists(st.sampled_from(["\n", "\r\n", "# é\n", "a = 1\n", " b = 2\n"]), max_size=12))
def test_a_place_is_the_line_and_column_of_its_offset(parts):
    text = "".join(dict.fromkeys(parts))
    where = Locations(text)
    for path, offset in where._offsets.items():
        assert where.find(path) == position(text, offset)
