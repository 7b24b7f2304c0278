"""`routeguard completion`: what makes a shell complete routeguard's own commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from guard import hook
from guard.errors import ExitCode

VARIABLE = "_ROUTEGUARD_COMPLETE"
"""The variable by which the printed code asks click for completions."""


@click.command(
    epilog="""\b
Start files:
  ~/.bashrc                    eval "$(routeguard completion bash)"      (bash 4.4 or later)
  ~/.zshrc                     eval "$(routeguard completion zsh)"       (after compinit)
  ~/.config/fish/config.fish   routeguard completion fish | source""",
)
@click.argument("shell", type=click.Choice(hook.SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the code that completes routeguard's commands in a shell."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"click completes nothing in {shell}")
    click.echo(kind(ctx.find_root().command, {}, "routeguard", VARIABLE).source())
    return ExitCode.OK
