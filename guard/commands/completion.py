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
def completion(shell: str) -> int:
    """Print the code that completes commands in a shell."""
    click.echo(code(shell))
    return ExitCode.OK


def code(shell: str) -> str:
    """The code that completes routeguard's commands in `shell`, for its start file.

    click's own, which is silent only in bash 4.4 or later and after zsh's compinit; here it is
    silent everywhere, and completes nothing where it cannot.
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click completes in each shell that has a hook"
    program = kind(click.Group(), {}, "routeguard", VARIABLE)
    text = program.source_template % program.source_vars()
    name = program.func_name
    return text.replace(
        f"complete -o nosort -F {name} routeguard",
        f"complete -o nosort -F {name} routeguard 2>/dev/null || :",
    ).replace(f"    compdef {name}", f"    (( ! $+functions[compdef] )) || compdef {name}")
