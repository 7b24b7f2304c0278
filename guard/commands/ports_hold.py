"""`routeguard ports hold`: keep local proxies off their ports."""

from __future__ import annotations

import errno
import os
import socket
import sys
import textwrap
import time
from collections.abc import Collection

import click

from guard.catalog import local_proxies
from guard.commands import complete
from guard.errors import ExitCode, GuardError, UsageError, printable
from guard.launch.local_proxies import owner, ways_out
from guard.launch.process import own_environment
from guard.policy import cache
from guard.policy.accepted import NEEDED_PORTS
from guard.proxies import hold as holding
from guard.proxies.find import find_listeners
from guard.proxies.found import Found
from guard.signals import Ending
from guard.sources import sockets
from guard.sources.listener import SocketsUnreadableError

RETRY = 1.0
"""Seconds between two tries to get a port that was taken: less than the three seconds after
which systemd starts a stopped ollama.service again."""


@click.command(
    epilog="""\b
Examples:
  routeguard ports hold                  until Ctrl-C
  routeguard ports hold 11434 3456       these two only

Exit status: 0 after SIGTERM, 130 after Ctrl-C, 1 if no port could be held."""
)
@click.argument(
    "ports",
    metavar="[PORT]...",
    nargs=-1,
    type=click.IntRange(1, 65535),
    shell_complete=complete.ports,
)
def hold(ports: tuple[int, ...]) -> int:
    """Hold the ports of local proxies so that none can start.

    Each port is bound but not listened on: a program that binds it gets "address already in use",
    a client is refused at once. Ports that other programs use too are held only where the policy
    lists them (proxies.hold). A port with an exception (`routeguard allow port`) and the gateway's
    own are left alone. Taken ports are tried again until they are free.
    """
    policy = cache.load("/", own_environment(os.environ))
    allowed = holding.permitted(policy, local_proxies.distinctive())
    for port in ports:
        if port in NEEDED_PORTS:
            raise UsageError(
                f"port {port} cannot be held: it is {NEEDED_PORTS[port]}",
                why="a fenced agent could not work without it",
            )
        if port not in allowed:
            raise UsageError(
                f"port {port} is not used by local proxies only",
                why="holding it would keep other programs off, so the policy has to list it",
                fix=f"add it to your policy:\n[proxies]\nhold = [{port}]",
            )
    wanted, left = holding.plan(policy, set(ports) or allowed, time.time())
    held: dict[int, list[socket.socket]] = {}
    with Ending() as ending:
        taken = dict.fromkeys(wanted, 0)
        while True:
            first = not held
            for port in list(taken):
                try:
                    held[port] = holding.take(port)
                except OSError as error:
                    taken[port] = error.errno or errno.EINVAL
                    continue
                del taken[port]
                if not first:
                    _say(f"holds now  {port:>5}")
            if first:
                _say_start(held, left)
                _say_taken(taken, policy.base_url)
                if not held:
                    raise GuardError("no port could be held", exit_code=ExitCode.FINDINGS)
                holding.notify_ready()
            status = ending.wait(RETRY if taken else None)
            if status is not None:
                return status


def _say_start(held: Collection[int], left: dict[int, str]) -> None:
    _say(f"routeguard holds {len(held)} ports (pid {os.getpid()}):")
    listed = " ".join(map(str, sorted(held)))
    _say(textwrap.fill(listed, 76, initial_indent="  ", subsequent_indent="  "))
    for port, why in left.items():
        _say(f"left alone {port:>5}  {printable(why)}")


def _say_taken(taken: dict[int, int], gateway: str) -> None:
    """Who has the ports that could not be had, and what ends it."""
    found: dict[int, Found] = {}
    try:
        listeners = [one for one in sockets.listening() if one.port in taken]
        # where two programs have one port, the proxy is named
        listed = sorted(find_listeners(listeners, gateway=gateway), key=lambda one: one.forbidden)
        found = {one.port: one for one in listed}
    except SocketsUnreadableError:
        pass  # who has them is then not known
    for port, number in taken.items():
        what = os.strerror(number)
        if number == errno.EACCES:
            what += ": ports below 1024 take root"
        elif port in found:
            who = [found[port].name, ", ".join(owner(found[port]))]
            what = ": ".join(one for one in who if one) or "another user's program"
        elif number == errno.EADDRINUSE:
            what = "nothing listens: an open connection has it, or another `ports hold`"
        _say(f"taken      {port:>5}  {printable(what)}")
        if port in found and found[port].forbidden:
            _say(f"                  stop it: {printable(ways_out(found[port])[0])}")


def _say(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()
