"""`routeguard teardown`: undo what setup did."""

from __future__ import annotations

import os

import click

from guard.commands.steps import say, step
from guard.errors import ExitCode, UsageError
from guard.install import teardown as removal
from guard.install.state import require_own_home
from guard.install.way import current
from guard.managed.files import remove_own
from guard.paths import here
from guard.report.terminal import can_ask


@click.command(
    epilog="""\b
Examples:
  routeguard teardown --dry-run    show what would be removed
  routeguard teardown --yes        remove it without asking
  routeguard teardown --purge      your policy, the audit log and a stored key, too

Start files end up byte for byte as they were. In a clone, `./install.sh --uninstall` does the
same.

Exit status: 0 done, 1 not possible (nothing changed unless it says so), 2 usage, 130 not
confirmed."""
)
@click.option("--purge", is_flag=True, help="Remove your policy, the audit log and a stored key.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed and remove nothing.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
def teardown(purge: bool, dry_run: bool, yes: bool) -> int:
    """Undo everything that setup did."""
    environ = dict(os.environ)
    require_own_home(environ, here())
    if not (dry_run or yes or can_ask()):
        raise UsageError(
            "teardown asks before it removes, and there is no terminal",
            fix="routeguard teardown --yes\nor, to remove nothing:\nrouteguard teardown --dry-run",
        )
    # asked now: afterwards an environment of install.sh is gone
    package = current(environ).remove
    if dry_run or not yes:
        say("Would remove (dry run: nothing is removed now):" if dry_run else "Will remove:")
        remove_own(environ, step, dry_run=True)
        removal.run(environ, step, purge=purge, dry_run=True)
    if not dry_run:
        if not yes:
            click.confirm("Remove it?", abort=True, err=True)
        say("Removing routeguard:")
        remove_own(environ, step, dry_run=False)
        hooked = removal.run(environ, step, purge=purge, dry_run=False)
        for line in removal.ended(hooked=hooked, stays=bool(package)):
            say(line)
    if package:
        say(f"The program itself is still installed; to remove it: {package}")
    return ExitCode.OK
