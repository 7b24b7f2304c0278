"""`routeguard shim`: put the PATH shims in place, take them away, say what they cover."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import click

from guard.errors import ExitCode, printable
from guard.install import shims

SCHEMA_VERSION = 1
"""Version of the JSON output; within one, keys are only added."""


@click.group(
    epilog="""\b
Examples:
  routeguard shim install --dry-run
  routeguard shim status
  export PATH="$(routeguard shim path):$PATH"    (the shell hook does this by itself)""",
)
def shim() -> None:
    """Guard launches that no shell function sees: editors, scripts, other programs.

    A shim is a small script named like the agent, in a directory that comes first on PATH. It
    calls the guard, which then starts the real program.
    """


@shim.command()
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
def install(dry_run: bool) -> int:
    """Write the shims. A file that is not a shim of ours is never overwritten."""
    _say(shims.install(os.environ, dry_run=dry_run), dry_run)
    return ExitCode.OK


@shim.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
def uninstall(dry_run: bool) -> int:
    """Remove the shims, and their directory if nothing else is in it."""
    changes = shims.uninstall(os.environ, dry_run=dry_run)
    _say(changes, dry_run)
    if not changes:
        click.echo("nothing to remove")
    return ExitCode.OK


@shim.command()
def path() -> int:
    """Print the directory of the shims, for PATH."""
    click.echo(shims.directory(os.environ))
    return ExitCode.OK


@shim.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def status(as_json: bool) -> int:
    """Say whether the shims are in place and come first, and what `command AGENT` would run.

    Exit status 1 if an agent on PATH would be started past them.
    """
    found = shims.status(os.environ)
    if as_json:
        document = {"schema_version": SCHEMA_VERSION, **asdict(found), "unguarded": found.unguarded}
        click.echo(json.dumps(document, indent=2))
    else:
        _render(found)
    return ExitCode.OK if not found.unguarded else ExitCode.FINDINGS


def _say(changes: list[shims.Change], dry_run: bool) -> None:
    for change in changes:
        word = (
            f"would {change.action}" if dry_run and change.action != "unchanged" else change.action
        )
        click.echo(printable(f"{word}  {change.path}"))


_ON_PATH = {
    "first": "first on PATH",
    "later": "on PATH, but not first: what comes before it wins",
    "absent": "not on PATH",
}


def _render(found: shims.Status) -> None:
    lines = [f"directory   {found.directory}: {_ON_PATH[found.on_path]}"]
    for place in found.shims:
        lines.append(f"shim        {place.name}: {place.state}")
    for program in found.resolved:
        if not program.path:
            what = "nothing on PATH"
        else:
            what = f"{program.path} ({'a shim' if program.guarded else 'past the guard'})"
        lines.append(f"command     {program.name}: {what}")
    for file in found.start_files:
        lines.append(f"hook        {file.shell}: {file.path}")
    if not found.start_files:
        lines.append("hook        in no start file")
    if found.unguarded:
        lines.append(
            "fix         routeguard shim install, and the shell hook: routeguard hook --help"
        )
    for line in lines:
        click.echo(printable(line))
