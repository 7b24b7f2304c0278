"""`routeguard shim`: put the PATH shims in place, take them away, say what they cover."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict

import click

from guard import paths
from guard.commands.groups import Group
from guard.commands.steps import typed
from guard.errors import ExitCode, printable
from guard.files.step import Step
from guard.install import shims, way
from guard.launch import resolve
from guard.report.document import show_document
from guard.report.table import fields
from guard.report.terminal import show
from guard.report.words import short


@click.group(
    cls=Group,
    epilog="""\b
Examples:
  routeguard shim install --dry-run
  routeguard shim status

\b
The hook puts the shims first on PATH. Without it, type:
  bash, zsh   export PATH="$(routeguard shim path):$PATH"
  fish        set -gx PATH (routeguard shim path) $PATH""",
)
def shim() -> None:
    """Guard launches from editors, scripts and other programs.

    A shim is a small script named like the agent, in a directory that comes first on PATH. It
    calls routeguard, which then starts the real program.
    """


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@shim.command(
    epilog="""\b
Examples:
  routeguard shim install --dry-run
  routeguard shim install""",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written.")
@_json
def install(dry_run: bool, as_json: bool) -> int:
    """Write the shims.

    A file that is not a shim of routeguard is never overwritten.
    """
    _tell(shims.install(os.environ, dry_run=dry_run), dry_run, as_json)
    return ExitCode.OK


@shim.command(
    epilog="""\b
Examples:
  routeguard shim uninstall --dry-run
  routeguard shim uninstall""",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed.")
@_json
def uninstall(dry_run: bool, as_json: bool) -> int:
    """Remove the shims and their directory.

    The directory stays if anything else is in it.
    """
    changes = shims.uninstall(os.environ, dry_run=dry_run)
    _tell(changes, dry_run, as_json)
    if not (dry_run or as_json) and any(change.action == "remove" for change in changes):
        show(fields([("undo", f"{_routeguard(os.environ)} shim install")]))
    return ExitCode.OK


@shim.command(
    epilog="""\b
Example:
  ls -l "$(routeguard shim path)\"""",
)
def path() -> int:
    """Print the directory of the shims in use."""
    click.echo(paths.shims(os.environ))
    return ExitCode.OK


@shim.command(
    epilog="""\b
Examples:
  routeguard shim status
  routeguard shim status --json | jq .on_path

\b
Exit status: 0 fine, 1 an agent on PATH would be started without the shims.""",
)
@_json
def status(as_json: bool) -> int:
    """Show whether the shims are in place and first on PATH.

    Also which program each agent's name would start.
    """
    found = shims.status(os.environ)
    if as_json:
        show_document({**asdict(found), "unguarded": found.unguarded})
    else:
        show(fields(_rows(found)))
    return ExitCode.OK if not found.unguarded else ExitCode.FINDINGS


def _routeguard(environ: Mapping[str, str]) -> str:
    """`routeguard` as it can be typed: the shim of that name may have been the only one on PATH."""
    launcher = way.current(environ).launcher
    here = resolve.typed("routeguard", environ) or not os.path.exists(launcher)
    return "routeguard" if here else typed(launcher)


def _tell(changes: list[Step], dry_run: bool, as_json: bool) -> None:
    if as_json:
        show_document({"dry_run": dry_run, "changes": [asdict(change) for change in changes]})
        return
    would = "would " if dry_run else ""
    rows = [
        (f"{would if change.action != 'unchanged' else ''}{change.action}", short(change.path))
        for change in changes
    ]
    show(fields((label, printable(text)) for label, text in rows) or "no shims here")


_ON_PATH = {
    "first": "first on PATH",
    "later": "on PATH, but not first: other directories before it win",
    "absent": "not on PATH",
}


def _rows(found: shims.ShimStatus) -> list[tuple[str, str]]:
    rows = [("directory", f"{short(found.directory)}: {_ON_PATH[found.on_path]}")]
    rows += [("shim", f"{place.name}: {place.state}") for place in found.shims]
    for program in found.resolved:
        what = f"{short(program.path)} ({'a shim' if program.guarded else 'not guarded'})"
        rows.append(("command", f"{program.name}: {what if program.path else 'not on PATH'}"))
    rows += [("hook", f"{file.shell}: {short(file.path)}") for file in found.start_files]
    if not found.start_files:
        rows.append(("hook", "in no start file"))
    if found.unguarded:
        rows.append(("fix", "routeguard shim install\nrouteguard hook --help"))
    return rows
