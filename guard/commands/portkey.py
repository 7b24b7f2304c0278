"""`routeguard portkey`: what the gateway key does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from guard.commands import complete
from guard.commands.groups import LazyGroup
from guard.commands.overview import OVERVIEWS

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.policy.values import CompiledPolicy

SUBCOMMANDS = {
    "models": "guard.commands.portkey_models:models",
    "probe": "guard.commands.portkey_probe:probe",
    "status": "guard.commands.portkey_status:status",
    "sync": "guard.commands.portkey_sync:sync",
}


@click.group(cls=LazyGroup, targets=SUBCOMMANDS, overview=OVERVIEWS["routeguard portkey"])
def portkey() -> None:  # help and summaries are data
    pass


def here() -> tuple[CompiledPolicy, dict[str, str]]:
    """The policy of the current directory and the user's own environment."""
    from guard.launch.process import load_policy, own_environment

    environ = own_environment(os.environ)
    return load_policy(environ), environ


def entry_option(function: Callable[..., int]) -> Callable[..., int]:
    """`--entry NAME`: whose key, of those that the policy names."""
    return click.option(
        "--entry",
        default="",
        metavar="NAME",
        shell_complete=complete.entries,
        help="Provider entry of your policy whose key is used. [default: the default model's]",
    )(function)
