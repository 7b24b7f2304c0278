"""`routeguard agents`: the coding agents that run on this machine, and which are guarded."""

from __future__ import annotations

import concurrent.futures
import json
import os
import socket
import time
from datetime import UTC, datetime
from typing import Any

import click

from guard import catalog, net, paths
from guard.agents import running
from guard.agents.running import Peer, Running
from guard.errors import ExitCode, GuardError, printable
from guard.launch.process import own_environment, working_directory
from guard.policy import cache
from guard.report import colour

SCHEMA_VERSION = 1
"""Version of the JSON output; within one, keys are only added."""

RESOLVE_SECONDS = 3.0
"""How long all name lookups of `--resolve` may take together."""

_COLOURS = {
    running.GUARDED: "green",
    running.INHERITED: "green",
    running.CLEANED: "yellow",
    running.UNGUARDED: "red",
}
_CERTAIN = {running.GUARDED: True, running.INHERITED: True, running.UNGUARDED: False}


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  routeguard agents                 every agent: guarded or not, and how we know
  routeguard agents --resolve       names for the addresses it is connected to
  routeguard agents --json | jq '.agents[] | select(.state == "unguarded") | .pid'

\b
guarded    a launch by routeguard, with its pinned configuration
inherited  started below one, with the same pinned configuration
cleaned    started through routeguard without direct keys; nothing pins this agent's configuration
unguarded  none of these [RG405]
unknown    another user's, or one the system does not let us see

\b
Arguments are never shown: they can hold a prompt or a key. Of variables only names are shown.
Exit status: 0 none is unguarded, 1 one is, 2 usage, 3 policy, or no process table to read.""",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.option(
    "--resolve",
    is_flag=True,
    help="Look up the gateway's and the large providers' names, to recognise their addresses.",
)
def agents(as_json: bool, resolve: bool) -> int:
    """List the coding agents that run on this machine, and whether each is guarded.

    Finds what was started before the hook, from a desktop launcher, by a full path or by another
    program.
    """
    # inside a guarded agent the directories of the outer launch are not the user's own
    environ = own_environment(os.environ)
    policy = cache.load(working_directory(), environ)
    see_processes()
    found = running.look(
        policy,
        time.time(),
        hosts=resolve_hosts(policy.base_url) if resolve else {},
        programs=lambda ports: programs_behind(ports, policy.base_url),
    )
    unguarded = [one for one in found if one.state == running.UNGUARDED]
    if as_json:
        listed = [as_dict(one) for one in found]
        output = {
            "schema_version": SCHEMA_VERSION,
            "agents": listed,
            "unguarded": len(unguarded),
        }
        click.echo(json.dumps(output, indent=2))
    else:
        click.echo(render(found, paths.home(environ), time.time()), color=colour.wanted(environ))
    return ExitCode.FINDINGS if unguarded else ExitCode.OK


def see_processes() -> None:
    """Raise GuardError where the process table cannot be read: nothing found would say nothing."""
    if os.getpid() not in running.Table().pids():
        raise GuardError(
            "which agents run cannot be told",
            where="/proc",
            why="it does not even show this process",
            fix="mount /proc, or run this where it is",
            rule="RG405",
            exit_code=ExitCode.CONFIG,
        )


def as_dict(one: Running) -> dict[str, Any]:
    """One agent as the JSON output carries it."""
    finding = running.finding(one)
    return {
        "pid": one.pid,
        "since": _iso(one.since),
        "uid": one.uid,
        "user": one.user,
        "agent": one.agent,
        "name": one.name,
        "recognised": one.recognised,
        "program": one.program,
        "state": one.state,
        "guarded": _CERTAIN.get(one.state),
        "how": one.how,
        "rule": finding.rule if finding else "",
        "fix": finding.fix if finding else "",
        "launch": one.launch or None,
        "keys": [{"name": k.name, "kind": k.kind, "owner": k.owner} for k in one.keys],
        "connections": None
        if one.peers is None
        else [
            {"kind": p.kind, "address": p.address, "port": p.port, "name": p.name, "count": p.count}
            for p in one.peers
        ],
        "listens": None
        if one.listens is None
        else [{"address": address, "port": port} for address, port in one.listens],
        "tty": one.tty,
        "cwd": one.directory,
        "parents": [{"pid": pid, "program": program} for pid, program in one.parents],
    }


def render(found: list[Running], home: str, now: float) -> str:
    """The agents as text: a table, then what is known of each."""
    if not found:
        return "no coding agent of the catalogue runs here"
    rows = [("pid", "since", "user", "agent", "state", "how we know")]
    rows += [
        (
            str(one.pid),
            ago(now - one.since),
            printable(one.user),
            one.name,
            one.state,
            printable(one.how),
        )
        for one in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for index, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        if index and row[4] in _COLOURS:
            cells[4] = click.style(cells[4], fg=_COLOURS[row[4]])
        lines.append("  ".join((*cells, row[-1])))
        if index:
            lines += [f"       {line}" for line in _details(found[index - 1], home)]
    count = sum(one.state == running.UNGUARDED for one in found)
    if count:
        lines.append("")
        which = "one is" if count == 1 else f"{count} are"
        lines.append(f"{which} unguarded [RG405]:")
        for one in found:
            said = running.finding(one)
            if said:
                fix = "\n    ".join(printable(line) for line in said.fix.splitlines())
                lines.append(f"  {one.pid}: {fix}")
    return "\n".join(lines)


def ago(seconds: float) -> str:
    """A duration in its largest unit: `40 s`, `12 min`, `3 h`, `5 d`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def resolve_hosts(base_url: str, limit: float = RESOLVE_SECONDS) -> dict[str, tuple[str, str]]:
    """Addresses of the gateway and of the providers opencode has built in, as they resolve now.

    One forward lookup per name, all within `limit` seconds; a name that has no answer by then is
    left out. An address that several share is the gateway's first.
    """
    gateway = net.host_of(base_url)
    providers = sorted(
        provider.host
        for provider in catalog.providers().values()
        if provider.host and not provider.api
    )
    wanted = dict.fromkeys([gateway, *providers])
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=16)
    asked = {pool.submit(_addresses, host): host for host in wanted}
    done, _ = concurrent.futures.wait(asked, timeout=limit)
    # a lookup that hangs must not keep us: its thread ends with the process
    pool.shutdown(wait=False, cancel_futures=True)
    answers = {asked[future]: future.result() for future in done}
    found: dict[str, tuple[str, str]] = {}
    for host in wanted:
        kind = running.GATEWAY if host == gateway else running.PROVIDER
        for address in answers.get(host, ()):
            found.setdefault(address, (kind, host))
    return found


def programs_behind(ports: set[int], base_url: str) -> dict[int, str]:
    """The names of what listens on these ports of this machine, as far as they can be known."""
    from guard.proxies.find import find
    from guard.sources.listener import SocketsUnreadableError
    from guard.sources.sockets import listening

    try:
        listeners = [one for one in listening() if one.port in ports]
    except SocketsUnreadableError:
        return {}
    return {
        found.port: found.name or (found.process.program if found.process else "")
        for found in find(listeners, gateway=base_url)
    }


def _addresses(host: str) -> list[str]:
    try:
        answers = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(answer[4][0]).partition("%")[0] for answer in answers]


def _details(one: Running, home: str) -> list[str]:
    """What is known of one agent, a line each."""
    said = f"{printable(_short(one.program, home))} ({printable(one.recognised)})"
    if one.directory:
        said += f" in {printable(_short(one.directory, home))}"
    if one.tty:
        said += f" on {one.tty}"
    lines = [said]
    if one.keys:
        lines.append("keys: " + ", ".join(_key(key) for key in one.keys))
    if one.peers is None:
        lines.append("connections: not shown to us")
    elif one.peers:
        lines.append("connected: " + ", ".join(_peer(peer) for peer in one.peers))
    if one.listens:
        lines.append("listens: " + ", ".join(written(*where) for where in one.listens))
    return lines


def _key(key: running.Key) -> str:
    return printable(key.name) + (f" ({key.owner})" if key.owner else "")


def _peer(peer: Peer) -> str:
    if peer.kind == running.INCOMING:
        said = f"{peer.kind} from {peer.address}"
    else:
        said = f"{peer.kind} {written(peer.address, peer.port)}"
    if peer.name:
        said += f" ({printable(peer.name)})"
    return said + (f" x{peer.count}" if peer.count > 1 else "")


def written(address: str, port: int) -> str:
    """An address and a port as one writes them: `127.0.0.1:4096`, `[::1]:4096`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _short(path: str, home: str) -> str:
    home = home.rstrip("/")
    if home and (path == home or path.startswith(home + "/")):
        return "~" + path[len(home) :]
    return path


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
