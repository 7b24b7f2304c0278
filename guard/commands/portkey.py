"""`routeguard portkey`: what the gateway key does."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import click

from guard.commands.groups import LazyGroup
from guard.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.policy.values import CompiledPolicy

SUBCOMMANDS = {
    "models": "guard.commands.portkey_models:models",
    "probe": "guard.commands.portkey_probe:probe",
    "setup": "guard.commands.portkey_setup:setup",
    "status": "guard.commands.portkey_status:status",
    "sync": "guard.commands.portkey_sync:sync",
}

_PATIENCE = 1.0
"""Seconds of silence before progress is shown."""


@click.group(
    cls=LazyGroup,
    targets=SUBCOMMANDS,
    epilog="""\b
Examples:
  routeguard portkey status                providers, configs, fallbacks of the key
  routeguard portkey models gpt            models whose name holds "gpt"
  routeguard portkey probe gpt-4           does it really work, and how is it named
  routeguard portkey sync                  put what was found into your policy
  routeguard portkey setup                 the same, asked step by step

Exit status: 0 fine, 1 the gateway or the key says no, 2 usage, 3 policy, 126 refused.""",
)
def portkey() -> None:
    """What the gateway key does: account, routing, models.

    The key goes to the gateway of your policy and nowhere else; no value of it is ever shown.
    """


def here() -> tuple[CompiledPolicy, dict[str, str]]:
    """The policy of the current directory and the user's own environment."""
    from guard.launch.process import load_policy, own_environment

    environ = own_environment(os.environ)
    return load_policy(environ), environ


def progress(environ: Mapping[str, str]) -> Callable[[str], None]:
    """Tells a person on a terminal what takes so long, once it has taken longer than a second."""
    begun = time.monotonic()

    def say(text: str) -> None:
        if sys.stderr.isatty() and time.monotonic() - begun > _PATIENCE:
            click.echo(f"routeguard: {printable(text)} …", err=True)

    return say


def columns() -> int:
    """How wide the terminal on stdout is; 0 if stdout is none, and lines stay as they are."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def fitted(line: str, width: int) -> str:
    """`line` broken between words to `width` columns (0: never), below where its text begins."""
    if not width or len(line) <= width:
        return line
    # a branch of a tree, blanks, and a label with two blanks behind it
    found = re.match(r"[ │├└─]*(?:@?[\w.-]+ {2,}|\d+\. |\w+: )?", line)
    head = found.group() if found else ""
    if len(head) > width // 2:
        head = head[: width // 4]
    below = "".join({"├": "│", "│": "│"}.get(char, " ") for char in head)
    return "\n".join(
        textwrap.wrap(
            line,
            width,
            subsequent_indent=below,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def entry_option(function: Callable[..., int]) -> Callable[..., int]:
    """`--entry NAME`: whose key, of those that the policy names."""
    return click.option(
        "--entry",
        default="",
        metavar="NAME",
        help="The provider entry of your policy whose key is used. [default: the default model's]",
    )(function)
