"""`routeguard why`: what routeguard does with a variable, and where the variable comes from."""

from __future__ import annotations

import click

from guard.commands import complete, variables


@click.command(
    epilog="""\b
Examples:
  routeguard why                            the names set now that matter
  routeguard why ANTHROPIC_API_KEY          what happens to it, who set it, how to allow it
  routeguard why GITHUB_TOKEN HTTPS_PROXY --json | jq '.variables[].launch'

Values are masked; of an address only user, password, query and unusual parts of its path are.
Startup files are read, not run: what `eval` or another program sets has no line to show.

Exit status: 0 nothing wrong, 1 a finding for one of the names, 2 usage, 3 policy.""",
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete.variables)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def why(names: tuple[str, ...], as_json: bool) -> int:
    """Explain what routeguard does with environment variables.

    With NAME: what it is, which rule is about it, what happens to it at the prompt and at a launch
    under the policy here, where it was set, and how to allow or remove it. Without: a table of
    the names set now.
    """
    return variables.command(names, as_json)
