"""`routeguard setup`: everything that a guarded launch needs, in one go."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys

import click

from guard.commands.completion import code
from guard.commands.manual import page, root
from guard.commands.steps import say, step
from guard.errors import ExitCode, UsageError
from guard.hook import SHELLS
from guard.install import files, way
from guard.install.state import require_own_home
from guard.paths import here
from guard.report.terminal import can_ask


@click.command(
    epilog="""\b
Examples:
  routeguard setup                 ask, step, write, prove
  routeguard setup --dry-run       show every file that would be written
  routeguard setup --yes           ask nothing; only what is safe without an answer

\b
Running it again changes only what differs; `routeguard teardown` undoes all of it.
Exit status: 0 done, 1 not possible (nothing changed unless it says so), 2 usage, 3 policy, 130
not confirmed."""
)
@click.option(
    "--shell",
    "shells",
    type=click.Choice([*SHELLS, "all"]),
    multiple=True,
    help="Set up this shell (repeatable). [default: yours, and each with a start file]",
)
@click.option("--no-rc", is_flag=True, help="Leave the shells' start files alone.")
@click.option("--no-shims", is_flag=True, help="Make no shims.")
@click.option("--no-completion", is_flag=True, help="Install no completion.")
@click.option("--no-verify", is_flag=True, help="Leave out the launch that proves the route.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--dry-run", is_flag=True, help="Show what would be written and write nothing.")
@click.option("--clone", hidden=True, default="", help="The clone that install.sh was run from.")
def setup(
    shells: tuple[str, ...],
    no_rc: bool,
    no_shims: bool,
    no_completion: bool,
    no_verify: bool,
    yes: bool,
    dry_run: bool,
    clone: str,
) -> int:
    """Guard your shells and agents, step by step."""
    if no_rc and shells:
        raise UsageError("--no-rc and --shell exclude each other")
    if not (yes or dry_run or can_ask()):
        raise UsageError(
            "setup asks, and there is no terminal",
            fix="routeguard setup --yes   (or --dry-run; every answer is an option, too)",
        )
    # nobody else may write to what is made, whatever the umask was
    os.umask(os.umask(0o077) | 0o022)
    environ = dict(os.environ)
    require_own_home(environ, here())
    this = way.current(environ, clone)
    way.require_lasting(this, environ)
    if this.kind == "install.sh" and sys.executable != this.python:
        # started past the link: what is written must survive an upgrade
        os.execve(
            this.python, [this.python, "-I", "-S", this.main, "setup", *sys.argv[2:]], environ
        )
    choices = files.Choices(shells, rc=not no_rc, shims=not no_shims)
    planned = files.plan(choices, environ)
    if not no_completion:
        found = dict.fromkeys(shell for _, shell in planned.start_files)
        choices = dataclasses.replace(choices, completion={one: code(one) for one in found})
    choices = dataclasses.replace(choices, manual=page(root(click.get_current_context())))
    files.check(this, planned)
    say("Would write (dry run: nothing is written now):" if dry_run else "Setting up routeguard:")
    files.put(this, planned, choices, environ, step, dry_run=dry_run)
    launcher = shlex.quote(this.launcher)
    if not planned.start_files:
        say("  no start file was changed; to guard a shell, add to its own:")
        say(f'    bash, zsh: eval "$({launcher} hook bash)"   (or: hook zsh)')
        say(f"    fish:      {launcher} hook fish | source")
    if not dry_run:
        say('Done. It guards shells that start from now on; in this one: exec "$SHELL"')
        say(f"Prove it:  {launcher} verify")
        say(f"Undo it:   {launcher} teardown")
    return ExitCode.OK
