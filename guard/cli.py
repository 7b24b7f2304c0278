"""The click group. Loading it imports no command: each is named by module and attribute."""

from __future__ import annotations

import sys
from typing import Any

import click

from guard import __version__
from guard.commands.groups import LazyGroup, as_typed, usage_error, with_help
from guard.commands.overview import MAX_WIDTH, OVERVIEWS
from guard.errors import ExitCode
from guard.report.terminal import say

COMMANDS = {
    "agents": "guard.commands.agents:agents",
    "allow": "guard.commands.allow:allow",
    "check": "guard.commands.check:check",
    "completion": "guard.commands.completion:completion",
    "doctor": "guard.commands.doctor:doctor",
    "exec": "guard.commands.exec:exec_command",
    "explain": "guard.commands.explain:explain",
    "hook": "guard.commands.hook:hook",
    "key": "guard.commands.key:key",
    "log": "guard.commands.log:log",
    "managed": "guard.commands.managed:managed",
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


class _ClosedError(Exception):
    """Whoever read the output is gone. No OSError: click makes status 1 of that by itself."""


class _Top(LazyGroup):
    """The group of all commands."""

    def meant(self, ctx: click.Context, args: list[str]) -> list[str]:
        from guard.catalog.agents import agents  # only a mistake needs it

        if any(args[0] in agent.typed for agent in agents()):
            return [f"did you mean:\n{as_typed(f'{ctx.command_path} exec --', args)}"]
        return super().meant(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _ClosedError from None


@with_help
@click.group(
    cls=_Top,
    targets=COMMANDS,
    overview=OVERVIEWS["routeguard"],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": MAX_WIDTH},
)
@click.version_option(__version__, "-V", "--version", prog_name="routeguard")
def group() -> None:  # help and summaries are data
    pass


def main(argv: list[str]) -> int:
    """Run the group; returns the exit status. GuardError passes through to the dispatcher."""
    try:
        result = group.main(args=argv, prog_name="routeguard", standalone_mode=False)
    except _ClosedError:
        raise BrokenPipeError from None
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(error.format_message() + "\n")
        return ExitCode.USAGE
    except click.ClickException as error:
        raise usage_error(error) from None
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort as error:
        # click makes one of Ctrl-C, too: then what the command had done by then is done
        running = isinstance(error.__cause__, KeyboardInterrupt)
        if not running:
            sys.stderr.write("\n")  # the line of the question is still open
        say("interrupted" if running else "aborted, nothing was changed")
        return 130
    return result if isinstance(result, int) else ExitCode.OK
