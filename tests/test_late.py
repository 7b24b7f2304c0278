"""A regex that is compiled when it is first used answers as one that was compiled before."""

from __future__ import annotations

import re

import pytest

from guard.late import late


def test_it_answers_like_a_compiled_one() -> None:
    one, other = late(r"(?P<a>b+)c", re.IGNORECASE), re.compile(r"(?P<a>b+)c", re.IGNORECASE)
    text = "xBBc bC"
    for _ in range(2):
        assert [m.span("a") for m in one.finditer(text)] == [
            m.span("a") for m in other.finditer(text)
        ]
        assert one.sub("-", text) == other.sub("-", text)
        assert one.match(text, 1, 4)
        assert not one.match(text)
        assert (one.pattern, one.flags, one.groups) == (other.pattern, other.flags, other.groups)


def test_a_wrong_one_fails_when_it_is_asked() -> None:
    wrong = late("(")
    with pytest.raises(re.error):
        wrong.search("")
