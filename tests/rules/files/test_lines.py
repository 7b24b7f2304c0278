"""Strings of Nix and here-documents of HCL that do not end."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.values import CompiledPolicy
from guard.rules.files.lines import DETECTOR, _nix_strings
from guard.sources.file import SourceFile

# what a string or a comment is, written plainly: in quadratic time where one does not end
_PLAIN = re.compile(
    r"\"(?:[^\"\\]|\\.)*+\"|''(?:[^'$]|'(?!')|''[$'\\]|\$)*+''(?!['$\\])|#[^\n]*|/\*.*?\*/", re.S
)
_PARTS = ("'", "''", "$", "\\", '"', "#", "\n", "/*", "*/", "/", "*", "a", "x ''b''")


def _spans(found: list[re.Match[str]]) -> list[tuple[int, int]]:
    # two pairs of quotes hold nothing: where one that does not end has more, they may be either
    return [one.span() for one in found if one.group().strip("'")]


@given(st.lists(st.sampled_from(_PARTS), max_size=16).map("".join))
@settings(max_examples=1000, deadline=None)
def test_strings_and_comments_of_nix_are_found(text: str) -> None:
    assert _spans(list(_nix_strings(text))) == _spans(list(_PLAIN.finditer(text)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.nix", "''$" * 100_000),
        ("a.nix", '\\"' * 200_000),
        ("a.nix", "/*" * 200_000),
        ("a.tf", "command = <<EOF\n" * 30_000),
        ("a.tf", "".join(f"inline = <<E{number}\n" for number in range(30_000))),
    ],
)
def test_what_does_not_end_is_read_once(name: str, text: str) -> None:
    # in quadratic time this would not come back
    assert not list(DETECTOR.check(SourceFile(name, text.encode()), CompiledPolicy()))
