"""`routeguard key --help`. The command itself runs on the hot path: guard/launch/print_key.py."""

from __future__ import annotations

import click

from guard.commands.portkey import entry_option


@click.command(
    epilog="""\b
Examples:
  routeguard key | wc -c                      is there a key? its length
  routeguard key --headers | wc -c            the same as a JSON object of headers
  "apiKeyHelper": "/usr/bin/routeguard key"   in an agent's settings

Standard output has to be a pipe: a terminal, a file or a network connection gets nothing.
Each call is a line in the audit log, without the key.

Exit status: 0 printed, 1 no usable key, 2 usage, 3 policy, 126 refused: no pipe, or no log.""",
)
@click.option("--headers", is_flag=True, help="Print the gateway's headers as a JSON object.")
@entry_option
def key(headers: bool, entry: str) -> int:
    """Print the gateway key for a helper program.

    The key is the one that a launch from here would use, by its variable or its key command.
    """
    from guard.launch.print_key import main

    return main([*["--headers"] * headers, *([f"--entry={entry}"] if entry else [])])
