"""`routeguard hook --help`; the hook itself is printed by `guard.hook.command`, without click."""

from __future__ import annotations

import click

from guard.hook.command import main


@click.command(
    epilog="""\b
Start files:
  ~/.bashrc                    eval "$(routeguard hook bash)"
  ~/.zshrc                     eval "$(routeguard hook zsh)"
  ~/.config/fish/config.fish   routeguard hook fish | source
Put the line last, so that the hook sees what the rest of the file exports.

\b
Just this shell:   eval "$(routeguard hook bash)"
Bash scripts too:  routeguard hook bash > ~/.routeguard.bash
                   export BASH_ENV=~/.routeguard.bash
Undo it:           take the line out, open a new shell

Exit status: 0 a hook was printed (with a policy that cannot be read: one that only wraps the
agents, which then refuse to start), 2 no such shell, 3 routeguard's own files are damaged.""",
)
@click.argument("shell", metavar="[bash|zsh|fish]", required=False)
def hook(shell: str | None) -> int:
    """Print the code that guards a shell.

    It wraps each agent and keeps direct provider keys out. At each prompt it looks at the names of
    exported variables, without starting a process, and says in one line what it did.
    More in docs/shells.md.
    """
    return main([shell] if shell else [])
