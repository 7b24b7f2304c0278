"""`routeguard status`: whether launches from this shell are guarded, on one screen."""

from __future__ import annotations

import os

import click

from guard import paths
from guard.doctor import status as one_line
from guard.doctor.context import Context
from guard.doctor.head import read_head
from guard.doctor.result import MEANINGS
from guard.errors import ExitCode, printable
from guard.report.document import show_document
from guard.report.table import fields
from guard.report.terminal import paint, show
from guard.report.words import short_all


@click.command(
    epilog="""\b
Examples:
  routeguard status
  routeguard status --short                 one line, for a prompt
  PS1='$(routeguard status --short) \\$ '    bash: at every prompt
  routeguard status --json | jq .guarded

Contacts nothing and runs nothing; `routeguard doctor` checks everything.

Exit status: 0 launches are guarded, 1 they are not, 2 usage.""",
)
@click.option("--short", "in_short", is_flag=True, help="One line, for a prompt.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(in_short: bool, as_json: bool) -> int:
    """Show whether launches from this shell are guarded."""
    if in_short and not as_json:
        return one_line.main()
    context = Context(os.environ, paths.here())
    head = read_head(context)
    if as_json:
        show_document(head.document)
    else:
        home = paths.home(context.environ)
        rows = []
        for row in head.rows:
            text = printable(short_all(row.text, home))
            rows.append(
                (row.label, text if row.state == "ok" else paint(text, MEANINGS[row.state]))
            )
        show(fields([*rows, ("fix", head.fix)]))
    return ExitCode.OK if head.guarded else ExitCode.FINDINGS
