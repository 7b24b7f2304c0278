"""The valid names after a wrong one: readable on whatever terminal, and in a pipe."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from command_tree import commands

from guard.cli import main
from guard.errors import UsageError, listed
from guard.report.terminal import fold


def choices() -> Iterator[tuple[str, ...]]:
    """The words of each parameter with choices, with a value that is none of them."""
    for path, command in commands().items():
        for param in command.params:
            if isinstance(param.type, click.Choice):
                option = [param.opts[-1]] if isinstance(param, click.Option) else []
                yield (*path.split()[1:], *option, "nonsense")


@pytest.mark.parametrize("words", list(choices()), ids=" ".join)
def test_after_a_wrong_one(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        main([*words])
    assert "nonsense" in caught.value.what
    assert caught.value.why.startswith("it is one of: ")
    said = caught.value.render()
    assert max(map(len, said.split("\n"))) <= 60, said
    for width in (60, 80, 200):
        assert fold(said, width) == said


def test_a_word_too_many() -> None:
    for words, said in (("a", "unexpected argument: a"), ("a b", "unexpected arguments: a b")):
        with pytest.raises(UsageError) as caught:
            main(["policy", "path", *words.split()])
        assert caught.value.what == said


def test_each_name_is_whole_and_in_order() -> None:
    names = [f"name-{number}" for number in range(40)]
    lines = listed("there are", names).split("\n")
    assert " ".join(lines) == "there are: " + ", ".join(names)
    assert max(map(len, lines)) <= 50
    assert listed("there are", []) == "there are: none"
    assert listed("there are", ["x" * 80]) == "there are:\n" + "x" * 80
