"""Every command of ours, for tests that hold for each."""

from __future__ import annotations

from collections.abc import Iterator

import click

from guard.cli import group


def commands(*, hidden: bool = True) -> dict[str, click.Command]:
    """Each command by its path, `routeguard` first; without `hidden`, those that help shows."""
    return dict(_below(group, click.Context(group, info_name="routeguard"), hidden))


def _below(
    command: click.Command, context: click.Context, hidden: bool
) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            if hidden or not inner.hidden:
                yield from _below(
                    inner, click.Context(inner, info_name=name, parent=context), hidden
                )
