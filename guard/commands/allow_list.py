"""`routeguard allow list`: the exceptions of every layer."""

from __future__ import annotations

import os
import time
from typing import Any

import click

from guard.commands.allow import ends
from guard.errors import ExitCode, printable
from guard.launch.process import own_environment
from guard.policy import exceptions
from guard.policy.merge import merge
from guard.policy.model import Exemption
from guard.policy.places import allowed_file, user_policy
from guard.policy.spans import end_of
from guard.report.document import show_document
from guard.report.table import Column, table
from guard.report.terminal import paint, show
from guard.report.words import left, short, utc

_COLUMNS = (
    Column("SUBJECT", least=16),
    Column("LAYER"),
    Column("UNTIL", least=10),
    Column("LEFT", least=6),
    Column("REASON", least=16),
)


@click.command(
    "list",
    epilog="""\b
Examples:
  routeguard allow list
  routeguard allow list --all        include expired and refused ones
  routeguard allow list --json | jq -r '.exceptions[].subject'""",
)
@click.option("--all", "everything", is_flag=True, help="Include expired and refused ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(everything: bool, as_json: bool) -> int:
    """List the exceptions of every layer.

    The next to end comes first.
    """
    environ = own_environment(os.environ)
    layers = exceptions.layers_of(environ)
    merged = merge(layers)
    rows = exceptions.every(merged, layers)
    shown = [row for row in rows if everything or row.state == "active"]
    if as_json:
        managed = allowed_file(user_policy(environ))
        show_document({"exceptions": [_as_dict(row, managed) for row in shown]})
        return ExitCode.OK
    lines = [table(_COLUMNS, map(_cells, shown))] if shown else ["no exceptions"]
    refused = sum(row.state == "refused" for row in rows)
    if refused:
        where = short(merged.values["user_exceptions"].origin.where)
        lines.append(
            f'{refused} of yours refused: user_exceptions = "refuse" in {printable(where)}'
        )
    if len(rows) > len(shown):
        hidden = len(rows) - len(shown)
        lines.append(f"{hidden} more expired or refused: routeguard allow list --all")
    show("\n".join(lines))
    return ExitCode.OK


def _cells(row: exceptions.Listed) -> tuple[str, ...]:
    entry: Exemption = row.item.value
    active = row.state == "active"
    how_long = left(end_of(entry.until)) if active else paint(row.state, "warning")
    origin = row.item.origin.layer
    return (entry.subject, origin, ends(row.item), how_long, entry.reason.strip())


def _as_dict(row: exceptions.Listed, managed: str) -> dict[str, Any]:
    entry: Exemption = row.item.value
    end = end_of(entry.until)
    origin = row.item.origin
    return {
        "subject": entry.subject,
        "state": row.state,
        "layer": origin.layer,
        "file": origin.path,
        "line": origin.line,
        "managed": origin.path == managed,
        "reason": entry.reason.strip(),
        "until": utc(end),
        "seconds_left": max(0, int(end - time.time())),
        "added": entry.added.isoformat() if entry.added is not None else "",
        "sha256": entry.sha256,
    }
