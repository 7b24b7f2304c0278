"""`routeguard agents`: the coding agents that run on this machine, and which are guarded."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

from guard import paths
from guard.agents import connected, guarded, running
from guard.agents.addresses import programs_behind, resolve_hosts
from guard.errors import ExitCode, printable
from guard.launch.process import own_environment, working_directory
from guard.net import authority
from guard.policy import cache
from guard.report.document import show_document
from guard.report.table import Column, table
from guard.report.terminal import paint, show
from guard.report.words import short, span, utc

if TYPE_CHECKING:
    from guard.agents.connected import Peer
    from guard.agents.running import Running
    from guard.report.terminal import Meaning

_MEANINGS: dict[str, Meaning] = {
    guarded.GUARDED: "good",
    guarded.INHERITED: "good",
    guarded.CLEANED: "warning",
    guarded.UNGUARDED: "bad",
}
_CERTAIN = {
    guarded.GUARDED: True,
    guarded.INHERITED: True,
    guarded.CLEANED: False,
    guarded.UNGUARDED: False,
}

_COLUMNS = (
    Column("PID", right=True),
    Column("SINCE"),
    Column("USER", least=4),
    Column("AGENT", least=8),
    Column("STATE"),
    Column("EVIDENCE", least=16),
)


@click.command(
    epilog="""\b
Examples:
  routeguard agents                 every agent: guarded or not, and the evidence
  routeguard agents --resolve       names for the addresses it is connected to
  routeguard agents --json | jq '.agents[] | {pid, state}'

\b
guarded    a launch by routeguard, with its pinned configuration
inherited  started below one, with the same pinned configuration
cleaned    started through routeguard without direct keys, but not guarded: nothing pins it [RG405]
unguarded  none of these [RG405]
unknown    another user's, or one that the system hides from you

Arguments are never shown: they can hold a prompt or a key. Of variables only names are shown.

Exit status: 0 none is unguarded or cleaned, 1 one is, 2 usage, 3 policy, or no process table.""",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--resolve",
    is_flag=True,
    help="Look up the names of the gateway and the large providers to recognise their addresses.",
)
def agents(as_json: bool, resolve: bool) -> int:
    """List the running coding agents and whether each is guarded.

    Finds what was started before the hook, from a desktop launcher, by a full path or by another
    program.
    """
    # inside a guarded agent the directories of the outer launch are not the user's own
    environ = own_environment(os.environ)
    policy = cache.load(working_directory(), environ)
    running.see_processes()
    found = running.find_running(
        policy,
        time.time(),
        hosts=resolve_hosts(policy.base_url) if resolve else {},
        programs=lambda ports: programs_behind(ports, policy),
    )
    unguarded = sum(one.state in guarded.UNHELD for one in found)
    if as_json:
        show_document({"agents": [as_dict(one) for one in found], "unguarded": unguarded})
    else:
        show(render(found, paths.home(environ), time.time()))
    return ExitCode.FINDINGS if unguarded else ExitCode.OK


def as_dict(one: Running) -> dict[str, Any]:
    """One agent as the JSON output carries it."""
    finding = running.finding(one)
    return {
        "pid": one.pid,
        "since": utc(one.since),
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
    """The agents as text: a table, then what is known of each, then what mends it."""
    if not found:
        return "no known coding agent runs here"
    rows = [
        (
            str(one.pid),
            span(now - one.since),
            one.user,
            one.name,
            paint(one.state, _MEANINGS[one.state]) if one.state in _MEANINGS else one.state,
            one.how,
        )
        for one in found
    ]
    parts = [table(_COLUMNS, rows)]
    parts += ["\n".join(_details(one, home)) for one in found]
    unguarded = [(one, said) for one in found if (said := running.finding(one))]
    if unguarded:
        lines = [f"{len(unguarded)} unguarded [RG405]"]
        for one, said in unguarded:
            fix = "\n    ".join(map(printable, said.fix.splitlines()))
            lines.append(f"  {one.pid}: {fix}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _details(one: Running, home: str) -> list[str]:
    """What is known of one agent, a line each."""
    said = f"{one.pid}: {printable(short(one.program, home))} ({printable(one.recognised)})"
    if one.directory:
        said += f" in {printable(short(one.directory, home))}"
    if one.tty:
        said += f" on {one.tty}"
    lines = [said]
    if one.keys:
        lines.append("  keys: " + ", ".join(_key(key) for key in one.keys))
    if one.peers is None:
        lines.append("  connections: not visible to this user")
    elif one.peers:
        lines.append("  connected: " + ", ".join(_peer(peer) for peer in one.peers))
    if one.listens:
        lines.append("  listens: " + ", ".join(authority(*where) for where in one.listens))
    return lines


def _key(key: guarded.DirectKey) -> str:
    return printable(key.name) + (f" ({key.owner})" if key.owner else "")


def _peer(peer: Peer) -> str:
    if peer.kind == connected.INCOMING:
        said = f"{peer.kind} from {peer.address}"
    else:
        said = f"{peer.kind} {authority(peer.address, peer.port)}"
    if peer.name:
        said += f" ({printable(peer.name)})"
    return said + (f" x{peer.count}" if peer.count > 1 else "")
