"""The valid names after a wrong one: readable on whatever terminal, and in a pipe."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from guard.cli import group, main
from guard.errors import UsageError, listed
from guard.report.terminal import fold


def choices(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each parameter with choices, with a value that is none of them."""
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from choices(below, (*path, name))
    for param in command.params:
        if isinstance(param.type, click.Choice):
            option = [param.opts[-1]] if isinstance(param, click.Option) else []
            yield (*path, *option, "nonsense")


@pytest.mark.parametrize("words", list(choices(group)), ids=" ".join)
def test_after_a_wrong_one(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        main([*words])
    assert "nonsense" in caught.value.what
    assert caught.value.why.startswith("it is one of: ")
    said = caught.value.render()
    assert max(map(len, said.split("\n"))) <= 60, said
    for width in (60, 80, 200):
        assert fold(said, width) == said


def test_each_name_is_whole_and_in_order() -> None:
    names = [f"name-{number}" for number in range(40)]
    lines = listed("there are", names).split("\n")
    assert " ".join(lines) == "there are: " + ", ".join(names)
    assert max(map(len, lines)) <= 50
    assert listed("there are", []) == "there are: none"
    assert listed("there are", ["x" * 80]) == "there are:\n" + "x" * 80
