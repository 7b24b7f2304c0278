"""Heads of Markdown files: what they mean to opencode, or that they are not read at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.agents.opencode.frontmatter import (
    FrontMatterError,
    foreign_language,
    read,
    render,
    split,
)


@pytest.mark.parametrize(
    ("head", "data"),
    [
        ("description: Use this: when x", {"description": "Use this: when x"}),
        ('description: "a: b"\nmode: primary', {"description": "a: b", "mode": "primary"}),
        ("tools:\n  bash: false\n  write: true", {"tools": {"bash": False, "write": True}}),
        (
            'permission:\n  bash:\n    "*": ask\n    git *: allow\n  edit: deny',
            {"permission": {"bash": {"*": "ask", "git *": "allow"}, "edit": "deny"}},
        ),
        ('tools: { write: false, "edit": true }', {"tools": {"write": False, "edit": True}}),
        # with a colon left over anywhere, opencode takes every such value for a text
        ("a: x: y\nb: {c: d}", {"a": "x: y", "b": "{c: d}"}),
        ("a: |\n  x\n  y\n\nb: 1", {"a": "x\ny\n", "b": 1}),
        ("a: >-\n  x\n  y\nb: 2", {"a": "x y", "b": 2}),
        ("a: long\n  goes on\nb: x # c", {"a": "long goes on", "b": "x"}),
        ("a:\n- x\n- 2\nb:\n  - true", {"a": ["x", 2], "b": [True]}),
        (
            "a: 0.3\nb: ~\nc:\nd: off\ne: 'it''s'",
            {"a": 0.3, "b": None, "c": None, "d": "off", "e": "it's"},
        ),
        ("model: portkey/gpt-4:free", {"model": "portkey/gpt-4:free"}),
        ("# only a comment", {}),
    ],
)
def test_read(head: str, data: dict[str, Any]) -> None:
    """Each was read alike by gray-matter 4.0.3 with opencode's repair, the package it bundles."""
    assert read(f"---\n{head}\n---\nbody\n") == (data, "body")
    crlf = head.replace("\n", "\r\n")
    assert read(f"---\r\n{crlf}\r\n---\r\nbody\r\n") == (data, "body")


@pytest.mark.parametrize(
    "head",
    [
        "a: *x", "a: &x y", "<<: {a: 1}", "a: !!js/function x", "a: 1\na: 2", '"a": 1\na: 2',
        "? a\n: b", "a: [1,2", "a: 010", "a: 0x1f", "a: 2020-01-01", "a: 1_0", "a: {b:c}",
        "a: {b: 1, b: 2}", "- x", "tools:\n  a: 1\n   b: 2", "tools:\n\ta: 1", "a: \"\\q\"",
        "a: 'x", "a: @x", "a: x\n  b: c", "a:\n" + "  " * 40 + "b: 1\nc", "a: \x00",
    ],
)  # fmt: skip
def test_what_could_mean_two_things_is_not_read(head: str) -> None:
    with pytest.raises(FrontMatterError):
        read(f"---\n{head}\n---\nbody\n")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x", ("", "", "x")),
        ("----\nx", ("", "", "----\nx")),
        ("\ufeff---\na: 1\n---\nb", ("", "\na: 1", "b")),
        ("---JSON\n{}\n---\nb", ("json", "\n{}", "b")),
        ("---\na: 1\n---b", ("", "\na: 1", "b")),
        ("---\na: 1", ("", "\na: 1", "")),
    ],
)
def test_split(text: str, parts: tuple[str, str, str]) -> None:
    assert split(text) == parts


@pytest.mark.parametrize("language", ["js", "JavaScript", " js ", "coffee", "toml", "x\r"])
def test_languages_that_may_be_programs(language: str) -> None:
    assert foreign_language(f"---{language}\n1\n---\n") == language.strip().lower()
    with pytest.raises(FrontMatterError):
        read(f"---{language}\n{{}}\n---\n")


KEYS = st.text().filter(lambda key: key != "__proto__")  # refused: in JavaScript no key of its own
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.text())
def test_what_is_written_is_read(fields: dict[str, Any], body: str) -> None:
    assert read(render(fields, body)) == (fields, body.strip())


@pytest.mark.parametrize(
    "head",
    [
        "a: 1\n" + "".join(f"k{n}: {{}}\n" for n in range(100_000)),
        "a: [" + '"",' * 100_000 + "]",
        "a" + ":a" * 100_000 + ": 1",
        "a: |\n" + "  x\n" * 100_000,
    ],
)
def test_a_head_that_nobody_wrote_is_not_read(head: str) -> None:
    with pytest.raises(FrontMatterError, match="longer than 64 KiB"):
        read(f"---\n{head}\n---\nbody\n")


@pytest.mark.parametrize("head", ["a" + ":a" * 32_000 + ": 1", "a: [" + '"",' * 21_000 + "]"])
def test_a_long_head_takes_no_time_without_end(head: str) -> None:
    assert len(read(f"---\n{head}\n---\nbody\n")[0]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "---\n__proto__:\n  permission: allow\n---\n",
        "---\na:\n  __proto__: 1\n---\n",
        '---\n"\\u005f_proto__": 1\n---\n',
        "---\na: {__proto__: {b: 1}}\n---\n",
        '---json\n{"a": {"__proto__": 1}}\n---\n',
    ],
)
def test_a_key_that_is_none_in_javascript(text: str) -> None:
    with pytest.raises(FrontMatterError, match="__proto__"):
        read(text)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have(word: str) -> None:
    with pytest.raises(FrontMatterError, match=f"holds {word}"):
        read(f'---json\n{{"temperature": {word}}}\n---\n')
