"""`routeguard portkey`: what the gateway key does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from guard.commands import complete
from guard.commands.groups import LazyGroup

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.policy.values import CompiledPolicy

SUBCOMMANDS = {
    "models": "guard.commands.portkey_models:models",
    "probe": "guard.commands.portkey_probe:probe",
    "status": "guard.commands.portkey_status:status",
    "sync": "guard.commands.portkey_sync:sync",
}

SECTIONS = {
    "Commands": {
        "models": "List the models your key reaches by the name to type",
        "probe": "Try each MODEL with a few tokens under each of its names",
        "status": "Show the providers, configs and fallbacks of your key",
        "sync": "Write the providers and models of your key into your policy",
    },
}
"""What help lists; the summaries are the first sentences of their own help."""


@click.group(
    cls=LazyGroup,
    targets=SUBCOMMANDS,
    sections=SECTIONS,
    epilog="""\b
Examples:
  routeguard portkey status                providers, configs, fallbacks of your key
  routeguard portkey models gpt            models with "gpt" in the name
  routeguard portkey probe gpt-4           try it, and see how to name it
  routeguard portkey sync                  put what was found into your policy
  routeguard setup                         the same and everything else, step by step

Exit status: 0 fine, 1 the gateway or the key says no, 2 usage, 3 policy, 126 refused.""",
)
def portkey() -> None:
    """Ask the gateway what your key can do.

    The key goes to the gateway of your policy and nowhere else; no value of it is ever shown.
    """


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
