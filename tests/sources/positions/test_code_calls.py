"""Where the functions that start programs are named in code."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.sources.positions import code_calls

NAMES = sorted((*code_calls._WORDS, *code_calls._TEXTS), key=len)[::-1]
EVERY = re.compile(rf"(?:{'|'.join(map(re.escape, NAMES))})\s{{0,3}}\(")
PARTS = [*NAMES, *code_calls._STEMS, "(", " (", "   (", "    (", ".", "_", "\n", "Sync", "3"]


def test_each_name_has_a_part_by_which_it_is_looked_for() -> None:
    assert sorted(name for _, names in code_calls._BY_STEM for name in names) == sorted(NAMES)


def test_calls_that_tell_nothing_are_read_once() -> None:
    asked = []

    def tells(part: str) -> bool:
        asked.append(len(part))
        return "opencode" in part

    far = " " * (code_calls._LONGEST - 20)
    text = "exec.Command(" * 5_000 + far + 'exec.Command("a"' + far
    text += 'exec.Command("{}")'.format("opencode")  # apart: it is no call of this repository
    (call,) = code_calls.calls(text, tells)
    assert [word.shown for word in call.words] == ["opencode"]
    assert sum(asked) < len(text) + 5_002 * code_calls._LONGEST_WORD + 3 * code_calls._LONGEST


@given(
    st.lists(st.sampled_from(("spawn(", 'run("opencode"', ", ", "x" * 60, ")", " ")), max_size=30),
    st.integers(10, 200),
)
def test_what_tells_is_looked_for_behind_each_call(parts: list[str], longest: int) -> None:
    text = "".join(parts)
    asked: list[str] = []

    def tells(part: str) -> bool:
        asked.append(part)
        return "opencode" in part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_calls, "_LONGEST", longest)
        list(code_calls.calls(text, tells))
        told = sum("opencode" in part for part in asked)
        plain = [
            text[one.end : one.end + longest]
            for one in code_calls._named(text)
            if code_calls._starts(one, text) and not code_calls._FIRST_NAME.match(text, one.end)
        ]
    assert told == sum("opencode" in part for part in plain)


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_names_are_found_as_one_regex_of_all_finds_them(text: str) -> None:
    assert [(one.start, one.end) for one in code_calls._named(text)] == [
        match.span() for match in EVERY.finditer(text)
    ]
