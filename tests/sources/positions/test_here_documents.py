"""Where here-documents end: as a search for each one's end would say, in one reading."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.sources.positions.code_calls import shell_texts
from guard.sources.positions.here_documents import Ends

_PARTS = st.lists(st.sampled_from(("<<~", "<<", "SH", "EOS", "'", "\n", " ", "x")), max_size=30)


@given(_PARTS.map("".join), st.integers(0, 20))
@settings(max_examples=300, deadline=None)
def test_the_end_is_the_first_line_that_begins_with_the_tag(text: str, at: int) -> None:
    ends = Ends(text)
    for tag in ("SH", "EOS", "x"):
        plain = re.compile(rf"\n[ \t]*{tag}\b").search(text, at)
        assert ends.find(tag, at) == (plain.span() if plain else None)


@given(_PARTS.map("".join))
@settings(max_examples=500, deadline=None)
def test_here_documents_for_a_shell_are_found(text: str) -> None:
    plain = re.compile(
        r"<<[-~]?(?P<q>[\"']?)(?P<tag>SH|EOS)(?P=q)[^\n]*\n(?P<text>.*?)\n[ \t]*(?P=tag)\b", re.S
    )
    said = [(found.value, found.places[0]) for found in shell_texts(text)]
    assert said == [(found["text"], found.start("text")) for found in plain.finditer(text)]


def test_a_here_document_that_does_not_end_is_read_once() -> None:
    # in quadratic time this would not come back
    assert not list(shell_texts("<<~SH " * 200_000))
    assert not list(shell_texts("<<~SH\n" * 200_000))
