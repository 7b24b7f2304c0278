"""`routeguard doctor`: what is wrong on this machine, and the command that mends it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from guard import paths
from guard.doctor import status
from guard.doctor.checks import CHECKS, as_dict, count, run
from guard.doctor.context import Context
from guard.doctor.result import MEANINGS, STATES
from guard.errors import ExitCode, UsageError, printable
from guard.report.document import show_document
from guard.report.terminal import Progress, paint, show
from guard.report.words import short_all

if TYPE_CHECKING:
    from guard.doctor.checks import Found


@click.command(
    epilog="""\b
Examples:
  routeguard doctor                 every check, and how to fix what fails
  routeguard doctor tls gateway     these checks alone
  routeguard doctor --offline       without the network
  routeguard doctor --json | jq '.checks[] | select(.state == "broken")'

Only the gateway of your policy is contacted. No key is ever shown.

Exit status: 0 nothing is broken, 1 something is, 2 usage.""",
)
@click.argument(
    "names", nargs=-1, metavar="[CHECK]...", type=click.Choice([check.id for check in CHECKS])
)
@click.option("--offline", is_flag=True, help="Leave the network out.")
@click.option("--short", "in_short", is_flag=True, help="One line: routeguard status --short.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(names: tuple[str, ...], offline: bool, in_short: bool, as_json: bool) -> int:
    """Find what is wrong on this machine and how to fix it.

    docs/doctor.md lists the checks by name. Without CHECK, all of them run.
    """
    if in_short and (names or as_json):
        raise UsageError("--short excludes CHECK and --json", fix="routeguard status --json")
    if in_short:
        return status.main()
    context = Context(os.environ, paths.here(), offline=offline)
    with Progress() as progress:
        chosen = [check for check in CHECKS if not names or check.id in names]
        found = run(context, progress, checks=chosen)
    if as_json:
        show_document(as_dict(found))
    else:
        show(render(found, paths.home(context.environ)))
    return ExitCode.FINDINGS if count(found, "broken") else ExitCode.OK


def render(found: Found, home: str) -> str:
    """The results as text: state, check, what is so, and below it what to type."""
    lines = []
    before = max(map(len, STATES)) + 2
    label = max(len(check.title) for check, _ in found) + 2
    for number, (check, result) in enumerate(found):
        title = "" if number and found[number - 1][0] is check else check.title
        state = paint(result.state, MEANINGS[result.state]) + " " * (before - len(result.state))
        rule = f" [{result.rule}]" if result.rule else ""
        lines.append(f"{state}{title:<{label}}{printable(short_all(result.what, home))}{rule}")
        for row, line in enumerate(result.fix.splitlines()):
            head = " " * (before + label) + ("     " if row else "fix: ")
            lines.append(head + printable(short_all(line, home)))
    counts = [f"{number} {state}" for state in STATES if (number := count(found, state))]
    return "\n".join([*lines, "", ", ".join(counts)])
