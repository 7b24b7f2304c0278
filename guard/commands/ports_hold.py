"""`routeguard ports hold`: keep local proxies off their ports; as a service, too."""

from __future__ import annotations

import json
import os
import sys
import time

import click

from guard.catalog import local_proxies
from guard.errors import ExitCode, UsageError, printable
from guard.hook import interpreter
from guard.policy import compiled
from guard.proxies import hold as holder

SCHEMA_VERSION = 1
"""Version of the JSON output; within one, keys are only added."""


@click.command(
    epilog="""\b
Examples:
  routeguard ports hold                  until Ctrl-C
  routeguard ports hold 11434 3456       these two only
  routeguard ports hold --status
  routeguard ports hold --install        at every login, in the background

Exit status: 0 after SIGTERM or SIGHUP, 130 after Ctrl-C, 1 if another hold runs already.
With --status: 0 if a hold runs, 1 if none does."""
)
@click.argument("ports", metavar="[PORT]...", nargs=-1, type=click.IntRange(1, 65535))
@click.option("--status", "mode", flag_value="status", help="Say whether a hold runs.")
@click.option("--install", "mode", flag_value="install", help="Start it at every login.")
@click.option("--uninstall", "mode", flag_value="uninstall", help="Undo --install.")
@click.option("-y", "--yes", is_flag=True, help="With --install, --uninstall: do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON lines on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def hold(ports: tuple[int, ...], mode: str | None, yes: bool, as_json: bool, quiet: bool) -> int:
    """Hold the ports that only local proxies use, so that none can start on them.

    Each port is bound and never listened on: whatever tries to bind it is told "address already
    in use", whatever connects is refused at once. Ports that other programs use, too, are held
    only where the policy lists them (proxies.hold); a port with an exception (`routeguard allow
    port`) and the gateway's own are left alone. Taken ports are tried again until they are free.

    A held port is no listening socket, so `ss` and `lsof` do not show it: --status does.
    """
    if mode is None and yes:
        raise UsageError("--yes answers the question of --install or --uninstall")
    if mode is not None and ports:
        raise UsageError(f"--{mode} takes no port", fix="list ports in the policy: proxies.hold")
    if mode is not None and mode != "status" and (as_json or quiet):
        raise UsageError(f"--{mode} has text output only")
    if as_json and quiet:
        raise UsageError("--json and --quiet exclude each other")
    if mode == "status":
        return _status(as_json, quiet)
    if mode == "install":
        return _install(yes)
    if mode == "uninstall":
        return _uninstall(yes)
    return _run(ports, "json" if as_json else "quiet" if quiet else "text")


def _run(ports: tuple[int, ...], form: str) -> int:
    """Check the ports, then become the daemon, which is far smaller than this process.

    Raises PolicyError, UsageError for a port that may not be held, AlreadyHeldError.
    """
    policy = compiled.load("/", os.environ)
    catalogue = local_proxies.distinctive()
    for port in ports:
        if port not in holder.permitted(policy, catalogue):
            raise UsageError(
                f"{port} is not a port that only local proxies use",
                why="holding it would keep other programs off, so the policy has to list it",
                fix=f"add it to your policy: [proxies] hold = [{port}]",
            )
    already = holder.running(os.environ)
    if already is not None:
        raise holder.AlreadyHeldError(already)
    python, _ = interpreter()
    sys.stdout.flush()
    sys.stderr.flush()
    script = os.path.abspath(holder.__file__)
    os.execv(python, [python, "-I", "-S", script, *holder.arguments(catalogue, ports, form)])


def _status(as_json: bool, quiet: bool) -> int:
    found = holder.running(os.environ)
    if as_json:
        document: dict[str, object] = {"schema_version": SCHEMA_VERSION, "running": bool(found)}
        if found:
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.since))
            document |= {
                "pid": found.pid,
                "since": since,
                "held": list(found.held),
                "taken": list(found.taken),
            }
        click.echo(json.dumps(document))
    elif not quiet:
        _say_status(found)
    return ExitCode.OK if found else ExitCode.FINDINGS


def _say_status(found: holder.Running | None) -> None:
    if found is None:
        click.echo("no hold runs")
        return
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.since))
    click.echo(f"a hold runs: pid {found.pid}, since {since}")
    click.echo(f"holds {len(found.held)} ports:")
    if found.held:
        click.echo(holder.listed(found.held))
    if found.taken:
        click.echo(f"taken by others: {len(found.taken)} (see: routeguard ports)")
        click.echo(holder.listed(found.taken))


def _install(yes: bool) -> int:
    from guard.install import hold_service

    python, main_file = interpreter()
    service = hold_service.service(os.environ, python, main_file)
    state = hold_service.state(service)
    if state != "current":
        click.echo(printable(f"{'replaces' if state == 'outdated' else 'writes'} {service.path}:"))
        click.echo("".join(f"  {line}\n" for line in service.text.splitlines()))
    else:
        click.echo(printable(f"is there already: {service.path}"))
    for words in hold_service.to_start(service, state):
        click.echo(printable(f"runs {' '.join(words)}"))
    if not yes:
        click.confirm("Go on?", abort=True)
    _say(hold_service.install(service, os.environ))
    return ExitCode.OK


def _uninstall(yes: bool) -> int:
    from guard.install import hold_service

    python, main_file = interpreter()
    service = hold_service.service(os.environ, python, main_file)
    if hold_service.state(service) == "missing":
        click.echo(printable(f"nothing to remove: there is no {service.path}"))
        return ExitCode.OK
    for words in hold_service.to_stop(service):
        click.echo(printable(f"runs {' '.join(words)}"))
    click.echo(printable(f"removes {service.path}"))
    if not yes:
        click.confirm("Go on?", abort=True)
    _say(hold_service.uninstall(service, os.environ))
    return ExitCode.OK


def _say(lines: list[str]) -> None:
    for line in lines:
        click.echo(printable(line))
