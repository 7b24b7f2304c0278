"""`routeguard check [PATH…]`: the policy, applied to files or to the environment."""

from __future__ import annotations

from typing import Any

import click

from guard.commands import checking, complete
from guard.findings import SEVERITIES


@click.command(
    epilog="""\b
Examples:
  routeguard check                       the repository (what git tracks or does not ignore)
  routeguard check .env deploy/          a file, even if git ignores it, and a directory
  routeguard check --staged              what `git commit` would commit, for a hook of your own
  routeguard check --since origin/main   what this branch adds, for a pull request
  routeguard check --staged --since HEAD
                                         the lines that `git commit` would add
  routeguard check --exclude 'tests/*'   without what is wrong on purpose
  routeguard check --env                 this shell and what a launch from here would meet
  routeguard check --env --ci            the same for a CI job
  routeguard check --env-file prod.env   the variables of a dotenv file
  routeguard check --write-baseline      let today's findings wait; from now on only new ones count
  routeguard check --fix                 show what can be fixed safely; --yes writes it
  routeguard check --all                 tests and examples too, line by line
  routeguard check --format concise      one line each, as a compiler writes them, for an editor
  routeguard check --stats               what was read, what was skipped and how long it took
  routeguard check --format sarif --output routeguard.sarif

\b
In a file, a comment silences a rule on its line, or on the next if it stands alone:
  routeguard: ignore[RG201] the reason, without which it does not count

Exit status: 0 clean, 1 findings at or above --fail-on, 2 usage, 3 policy or baseline,
4 internal error. `routeguard rules` lists the rules.""",
)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=str))
@click.option("--staged", is_flag=True, help="Check what the next commit adds or changes.")
@click.option(
    "--since",
    metavar="REV",
    shell_complete=complete.branches,
    help="Only findings on lines added since this branch left REV.",
)
@click.option("--env", is_flag=True, help="Check the environment instead of files.")
@click.option("--env-file", metavar="FILE", help="Check the variables of a dotenv file.")
@click.option(
    "--ci/--no-ci",
    default=None,
    help="Check the environment as a CI job; with --env the default where CI is set.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(checking.FORMATS),
    help="How findings are written. [default: text; github where GITHUB_ACTIONS=true]",
)
@click.option("--all", "whole", is_flag=True, help="Show findings in tests and examples too.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--output", metavar="FILE", help="Write the report there instead of to stdout.")
@click.option(
    "--fail-on",
    type=click.Choice(list(reversed(SEVERITIES))),
    default="error",
    show_default=True,
    help="The lowest severity that ends in status 1.",
)
@click.option(
    "--select",
    multiple=True,
    metavar="RULES",
    shell_complete=complete.rules,
    help="Only these rules (RG101,RG201…).",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="RULES",
    shell_complete=complete.rules,
    help="All but these rules.",
)
@click.option("--strict", is_flag=True, help="Report placeholders for keys too.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out these paths.")
@click.option(
    "--baseline",
    metavar="FILE",
    help="Known findings that may wait. [default: .routeguard-baseline.json if it exists]",
)
@click.option("--no-baseline", is_flag=True, help="Report what is in the baseline too.")
@click.option("--write-baseline", is_flag=True, help="Write the current findings as the baseline.")
@click.option("--fix", is_flag=True, help="Show what can be fixed safely as a diff.")
@click.option("--yes", is_flag=True, help="With --fix: write it.")
@click.option("--stats", is_flag=True, help="Show what was read and what was skipped.")
@click.option("-q", "--quiet", is_flag=True, help="No report if nothing fails.")
def check(**options: Any) -> int:
    """Find in files or the environment what bypasses the gateway.

    Without PATH the repository of the current directory is checked from its root, or outside one
    the tree below it.
    """
    return checking.command(**options)
