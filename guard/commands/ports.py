"""`routeguard ports`: what listens on this machine, and which of it is a local proxy."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from guard.commands.groups import LazyGroup
from guard.errors import ExitCode, UsageError, counted, printable
from guard.findings import allow
from guard.launch.process import load_policy
from guard.proxies.found import OTHER, PROXY, SUSPECT, Found, Process
from guard.proxies.view import Listening, View, view_listeners
from guard.report.document import show_document
from guard.report.table import Column, table
from guard.report.terminal import Progress, paint, show
from guard.report.words import local, span, utc
from guard.sources import processes

if TYPE_CHECKING:
    from guard.report.terminal import Meaning
    from guard.sources.keepers import Keeper

_COLUMNS = (
    Column("PORT", right=True),
    Column("ADDRESS", least=10),
    Column("PROGRAM", least=8),
    Column("PID"),
    Column("USER", least=4),
    Column("WHAT IT IS", least=12),
    Column("EVIDENCE", least=12),
    Column("SINCE"),
    Column("KEPT BY", least=10),
)
_MEANINGS: dict[str, Meaning] = {"forbidden": "bad", "unknown": "warning", "allowed": "good"}


class _Group(LazyGroup):
    """The subcommands; a port is not one of them."""

    def meant(self, ctx: click.Context, args: list[str]) -> list[str]:
        found = super().meant(ctx, args)
        if len(found) > 1:
            return found  # a command was probably meant
        stop = f"routeguard ports stop {printable(args[0])}"
        return ["the table:", "routeguard ports", "to end what listens there:", stop]


@click.group(
    cls=_Group,
    targets={
        "hold": "guard.commands.ports_hold:hold",
        "stop": "guard.commands.ports_stop:stop",
    },
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  routeguard ports                local proxies and what may be one
  routeguard ports --all          everything that listens
  routeguard ports stop 4000      end what listens on port 4000
  routeguard ports --json | jq '.ports[] | select(.state == "forbidden").port'

Exit status: 0 nothing forbidden listens, 1 something does, 2 usage, 3 policy.
To keep looking: routeguard watch""",
)
@click.option(
    "-a", "--all", "everything", is_flag=True, help="Include listeners that are not proxies."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def ports(ctx: click.Context, everything: bool, as_json: bool) -> int:
    """Show local proxies and model servers that listen here.

    A program is recognised by its name, its container image or its answers; a port alone counts
    only where nothing but local proxies use it. What an exception allows is shown as allowed.
    """
    if ctx.invoked_subcommand is not None:
        if everything or as_json:
            name = ctx.invoked_subcommand
            raise UsageError(
                f"options of `ports {name}` come after {name}", fix=f"routeguard ports {name} …"
            )
        return ExitCode.OK
    with Progress("identifying listeners"):
        view = view_listeners(load_policy(os.environ))
    if as_json:
        show_document(as_dict(view, everything))
    else:
        show(text(view, everything))
    return ExitCode.FINDINGS if view.forbidden else ExitCode.OK


# Text ---------------------------------------------------------------------------------------------


def text(view: View, everything: bool, now: float = 0.0, width: int | None = None) -> str:
    """`view` as text, `width` terminal columns wide (see `table.render`); `now` in Unix seconds.

    Without `everything` listeners that are not proxies are only counted.
    """
    rows = [_cells(one, now or time.time()) for one in view.rows(everything)]
    parts = [table(_COLUMNS, rows, width)] if rows else []
    return "\n\n".join([*parts, "\n".join(map(printable, _summary(view, everything)))])


def _cells(seen: Listening, now: float) -> tuple[str, ...]:
    found = seen.found
    process = found.process
    pid = str(process.pid) if process is not None else ""
    meaning = _MEANINGS.get(seen.state)
    port, is_what = str(found.port), what(seen)
    return (
        paint(port, meaning) if meaning else port,
        ", ".join(dict.fromkeys(listener.address for listener in found.listeners)),
        process.program if process is not None else "",
        f"{pid} +{len(found.others)}" if found.others else pid,
        user(found),
        paint(is_what, meaning) if meaning else is_what,
        found.how,
        span(now - process.since) if process is not None and process.since else "",
        kept(found.keeper),
    )


def what(seen: Listening) -> str:
    """What a program is, for a person."""
    found = seen.found
    if found.verdict == OTHER:
        return f"not a proxy ({found.name})" if found.name else "not a proxy"
    text = "unknown"
    if found.verdict == PROXY:
        text = found.name or found.proxy
    elif found.verdict == SUSPECT and found.name:
        text = f"unknown, perhaps {found.name}"
    return f"{text}, allowed" if seen.state == "allowed" else text


def user(found: Found) -> str:
    """Whose it is: by the process, else by the socket; "" if neither is known."""
    uid = -1
    if found.process is not None:
        if found.process.user:
            return found.process.user
        uid = found.process.uid
    elif found.listeners:
        uid = found.listeners[0].uid
        if uid < 0 and sys.platform == "darwin":
            # macOS shows one's own processes, and this is none of them
            return "another user"
    return processes.user_name(uid)


def kept(keeper: Keeper | None) -> str:
    """What keeps a program alive, in words."""
    return "" if keeper is None else f"{keeper.kind} {keeper.unit}".rstrip()


def _summary(view: View, everything: bool) -> list[str]:
    said = []
    forbidden = view.forbidden
    if not forbidden:
        said.append("no forbidden local proxy listens here")
    else:
        number = len(forbidden)
        said.append(f"{number} forbidden by the policy [RG402]")
        stoppable = [one for one in forbidden if one.found.identified]
        if stoppable:
            port = stoppable[0].found.port if len(stoppable) == 1 else "--all"
            said.append(f"  stop:  routeguard ports stop {port}")
        allowed_port = forbidden[0].found.port if number == 1 else "PORT"
        said.append(f"  allow: {allow('port', str(allowed_port))}")
    for one in view.seen:
        if one.state == "allowed" and one.exception is not None:
            said.append(
                f"port {one.found.port} is allowed until {local(one.exception.until)}:"
                f" {one.exception.reason}"
            )
    hidden = len(view.seen) - len(view.rows(everything))
    if hidden:
        others = counted(hidden, "other listener")
        said.append(f"{others}, none a model proxy: routeguard ports --all")
    if view.remark:
        said.append(f"note: {view.remark}")
    return said


# JSON ---------------------------------------------------------------------------------------------


def as_dict(view: View, everything: bool) -> dict[str, Any]:
    """`view` as the JSON output carries it."""
    return {
        "forbidden": len(view.forbidden),
        "ports": [described(one) for one in view.rows(everything)],
        "others": len(view.seen) - len(view.rows(everything)),
        "remark": view.remark,
    }


def described(seen: Listening) -> dict[str, Any]:
    """One program that listens. `since` and `until` are in UTC."""
    found, exception = seen.found, seen.exception
    return {
        "port": found.port,
        "addresses": [listener.address for listener in found.listeners],
        "state": seen.state,
        "verdict": found.verdict,
        "proxy": found.proxy,
        "name": found.name,
        "how": found.how,
        "identified": found.identified,
        "user": user(found),
        "process": None if found.process is None else _process(found.process),
        "others": [_process(other) for other in found.others],
        "keeper": None
        if found.keeper is None
        else {
            "kind": found.keeper.kind,
            "unit": found.keeper.unit,
            "stop": list(found.keeper.stop),
            "owned": found.keeper.owned,
        },
        "exception": None
        if exception is None
        else {"reason": exception.reason, "until": utc(exception.until)},
    }


def _process(process: Process) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "program": process.program,
        "uid": process.uid,
        "user": process.user,
        "since": utc(process.since) if process.since else None,
        "parents": [{"pid": pid, "program": program} for pid, program in process.parents],
    }
