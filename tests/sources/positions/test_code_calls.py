"""Where the functions that start programs are named in code."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from guard.sources.positions import code_calls

NAMES = sorted((*code_calls._WORDS, *code_calls._TEXTS), key=len)[::-1]
EVERY = re.compile(rf"(?:{'|'.join(map(re.escape, NAMES))})\s{{0,3}}\(")
PARTS = [*NAMES, *code_calls._STEMS, "(", " (", "   (", "    (", ".", "_", "\n", "Sync", "3"]


def test_each_name_has_a_part_by_which_it_is_looked_for() -> None:
    assert sorted(name for _, names in code_calls._BY_STEM for name in names) == sorted(NAMES)


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_names_are_found_as_one_regex_of_all_finds_them(text: str) -> None:
    assert [(one.start, one.end) for one in code_calls._named(text)] == [
        match.span() for match in EVERY.finditer(text)
    ]
