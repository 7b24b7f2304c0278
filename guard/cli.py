"""The click group. Loading it imports no command: each is named by module and attribute."""

from __future__ import annotations

import sys

import click

from guard import __version__
from guard.agents.registry import AGENTS
from guard.commands.groups import LazyGroup
from guard.errors import ExitCode

COMMANDS = {
    "agents": "guard.commands.agents:agents",
    "allow": "guard.commands.allow:allow",
    "check": "guard.commands.check:check",
    "completion": "guard.commands.completion:completion",
    "doctor": "guard.commands.doctor:doctor",
    "exec": "guard.commands.exec:exec_command",
    "explain": "guard.commands.explain:explain",
    "hook": "guard.commands.hook:hook",
    "log": "guard.commands.log:log",
    "manual": "guard.commands.manual:manual",
    "policy": "guard.commands.policy:policy",
    "ports": "guard.commands.ports:ports",
    "portkey": "guard.commands.portkey:portkey",
    "rules": "guard.commands.rules:rules",
    "setup": "guard.commands.setup:setup",
    "shim": "guard.commands.shim:shim",
    "status": "guard.commands.status:status",
    "teardown": "guard.commands.teardown:teardown",
    "verify": "guard.commands.verify:verify",
    "watch": "guard.commands.watch:watch",
    "why": "guard.commands.why:why",
}


@click.group(
    cls=LazyGroup,
    targets=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"""\b
Set up a shell:      eval "$(routeguard hook zsh)"     (bash; fish: routeguard hook fish | source)
See a launch:        routeguard explain -- {AGENTS[0].example}
Prove the route:     routeguard verify

Exit status: 0 fine, 1 findings, 2 usage, 3 policy or configuration, 4 internal error;
`exec` ends with the command's own status, 126 refused, 127 not found.""",
)
@click.version_option(__version__, prog_name="routeguard")
def group() -> None:
    """Portkey is the only gateway: guards every launch of an AI coding agent."""


def main(argv: list[str]) -> int:
    """Run the group; returns the exit status. GuardError passes through to the dispatcher."""
    try:
        result = group.main(args=argv, prog_name="routeguard", standalone_mode=False)
    except click.ClickException as error:
        error.show(file=sys.stderr)
        return ExitCode.USAGE
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        sys.stderr.write("routeguard: aborted, nothing was changed\n")
        return 130
    return result if isinstance(result, int) else ExitCode.OK
