"""`routeguard exec --help`. The command itself runs on the hot path: guard/launch/execute.py."""

from __future__ import annotations

import click

from guard.agents.registry import AGENTS

_AGENT = AGENTS[0]


@click.command(
    "exec",
    context_settings={
        "help_option_names": ["-h", "--help"],
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
    epilog=f"""\b
Examples:
  routeguard exec -- {_AGENT.example:<20}   the agent, planned and pinned to the gateway
  routeguard exec -- make test              any command, without direct provider keys
  routeguard exec -- bash -l                a shell whose agents start through shims
  routeguard exec --fence -- {_AGENT.names[0]:<12}   neither it nor its children reach a local proxy

Exit status: the command's own; 126 refused (the reason is on stderr), 127 not found,
2 usage, 3 policy. ROUTEGUARD_QUIET=1 keeps a launch that goes ahead silent.""",
)
@click.option(
    "--fence/--no-fence",
    default=None,
    help="Deny the command and its children the ports that only local proxies use. Refused (RG404)"
    " where the system cannot: it takes Linux 6.7, or sandbox-exec on macOS (untested). sudo"
    " does not work inside. --no-fence is refused where the policy requires a fence.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARG]…")
def exec_command(fence: bool | None, command: tuple[str, ...]) -> int:
    """Run a command that reaches models through the gateway only.

    For a known agent the arguments are rewritten to the gateway, the environment is cleaned, the
    config is pinned and the surroundings are checked; then this process becomes the agent, or says
    why not. Any other command gets a cleaned environment; an agent that it starts is guarded only
    where `routeguard shim install` or the setup has made the shims.
    """
    from guard.launch.execute import main

    option = [] if fence is None else ["--fence" if fence else "--no-fence"]
    return main([*option, "--", *command])
