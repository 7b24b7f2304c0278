"""`routeguard completion`: what makes a shell complete routeguard's own commands."""

from __future__ import annotations

import click

from guard.errors import ExitCode
from guard.hook import SHELLS
from guard.hook.command import asking_shell
from guard.hook.templates import template


@click.command(
    epilog="""\b
Start files:
  ~/.bashrc, bash 4.4 or later   eval "$(routeguard completion bash)"
  ~/.zshrc, after compinit       eval "$(routeguard completion zsh)"
  ~/.config/fish/config.fish     routeguard completion fish | source

\b
`routeguard setup` does this. Without SHELL, it is the one you type this in.""",
)
@click.argument("shell", type=click.Choice(SHELLS), metavar="[SHELL]", required=False)
def completion(shell: str | None) -> int:
    """Print the code that completes commands in a shell."""
    click.echo(code(shell or asking_shell("completion")))
    return ExitCode.OK


def code(shell: str) -> str:
    """The code that completes routeguard's commands in `shell`, for its start file.

    It asks click, by the variable _ROUTEGUARD_COMPLETE; loading it is silent in every shell, and
    completes nothing where it cannot.
    """
    return template(f"complete.{shell}")
