"""`routeguard ports stop`: end local proxies, and say whether they stay ended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import click

from guard.commands import complete
from guard.errors import ExitCode, GuardError, UsageError, printable
from guard.launch.local_proxies import address
from guard.launch.process import load_policy
from guard.proxies import names, stop_plan
from guard.proxies import stop as stopping
from guard.proxies.found import PROXY, Found
from guard.proxies.stop import StopOutcome
from guard.proxies.stop_plan import Step
from guard.proxies.view import Listening, View, view_listeners
from guard.report.document import show_document
from guard.report.terminal import can_ask, say, show, show_error
from guard.report.words import local

_INTERRUPTED = 130

_TITLES = {
    stopping.CAME_BACK: "came back",
    stopping.STILL_THERE: "still listens",
    stop_plan.NOT_OURS: "was not stopped",
    stop_plan.UNIDENTIFIED: "was not stopped",
    stopping.FAILED: "could not be stopped",
}


@click.command(
    epilog="""\b
Examples:
  routeguard ports stop 4000            what listens on this port
  routeguard ports stop litellm         by name, wherever it listens
  routeguard ports stop --all --yes     everything the policy forbids, without asking

Exit status: 0 all stopped or nothing was there, 1 something still listens or the answer was no,
2 usage (also: no terminal to ask on), 3 policy, 126 refused (not identified, or not yours).""",
)
@click.argument("targets", nargs=-1, metavar="[PORT|NAME]...", shell_complete=complete.proxies)
@click.option("-a", "--all", "everything", is_flag=True, help="Everything the policy forbids.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--grace",
    type=click.FloatRange(0, 300),
    default=stop_plan.GRACE,
    show_default=True,
    metavar="SECONDS",
    help="Time between TERM and KILL.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; needs --yes.")
def stop(targets: tuple[str, ...], everything: bool, yes: bool, grace: float, as_json: bool) -> int:
    """End local proxies after showing what will be done.

    A unit that would restart it is stopped first, if you may; then TERM, KILL after the grace
    period, and a check some seconds later whether it came back. Only a program that is itself a
    proxy is ended, and only your own processes (as root: anyone's). For a program that forwards
    to one, the command that ends it is shown.
    """
    if everything and targets:
        raise UsageError("--all and PORT or NAME exclude each other")
    wanted = [_target(word) for word in targets]
    view = view_listeners(load_policy(os.environ))
    if not everything and not targets:
        raise UsageError("say which proxy to stop", fix=_choices(view))
    chosen = view.forbidden if everything else _chosen(wanted, view)
    steps = stop_plan.plan([one.found for one in chosen], os.getuid())
    todo = [step for step in steps if not step.refused]
    if not steps:
        if everything:
            say("no forbidden local proxy listens here")
        if as_json:
            show_document({"results": []})
        return ExitCode.OK
    if todo:
        _announce(todo, chosen, grace)
        if not yes and not _agreed(len(todo), as_json, targets):
            say("nothing was stopped")
            return ExitCode.FINDINGS
    try:
        outcomes = stopping.carry_out_all(steps, grace=grace)
    except KeyboardInterrupt:
        # click would say that nothing was changed, and signals may have been sent
        say("interrupted; `routeguard ports` shows what still listens")
        return _INTERRUPTED
    if as_json:
        show_document({"results": _results(steps, outcomes)})
    for step, outcome in zip(steps, outcomes, strict=True):
        _report(step, outcome, as_json)
    results = {outcome.result for outcome in outcomes}
    if results & set(stopping.LISTENS):
        return ExitCode.FINDINGS
    return ExitCode.REFUSED if results & set(stopping.REFUSED) else ExitCode.OK


# What is meant ------------------------------------------------------------------------------------


def _target(word: str) -> int | str:
    """A port (also written as HOST:PORT), or a name in lower case. Raises UsageError."""
    text = word.strip().removeprefix("http://").rstrip("/")
    last = text.rpartition(":")[2]
    if last.isascii() and last.isdigit():
        port = int(last[:6])
        if not 0 < port < 65536:
            raise UsageError(f"not a port: {printable(word)}", why="ports are 1 to 65535")
        return port
    if not text or text.startswith("-"):
        raise UsageError(f"{printable(word) or '(empty)'} is neither a port nor a known proxy")
    return text.casefold()


def _chosen(wanted: Sequence[int | str], view: View) -> list[Listening]:
    """What is meant, each once. Raises UsageError for a name that nothing has."""
    chosen: dict[int, Listening] = {}
    for target in wanted:
        if isinstance(target, int):
            there = [one for one in view.seen if one.found.port == target]
            # two programs can have one port on two addresses: the proxy is meant
            there = [one for one in there if one.found.identified] or there
            nothing = f"nothing listens on port {target}"
        else:
            there = [one for one in view.seen if target in names.of(one.found)]
            nothing = f"{printable(target)} does not listen here"
            if not there and not names.is_known(target):
                raise UsageError(f"no known proxy: {printable(target)}", fix=_near(target, view))
        if not there:
            others = _listed(view)
            say(nothing + (f"; listening: {', '.join(others)}" if others else ""))
        chosen.update((id(one), one) for one in there)
    return list(chosen.values())


def _near(name: str, view: View) -> str:
    near = names.near(name, [one.found for one in view.seen if one.found.identified])
    return (f"did you mean:\nrouteguard ports stop {near}\n" if near else "") + _choices(view)


def _choices(view: View) -> str:
    lines = [
        f"{one.found.name or one.found.proxy}:\nrouteguard ports stop {one.found.port}"
        for one in view.seen
        if one.found.identified
    ]
    if len(lines) > 1:
        lines.append("all of them:\nrouteguard ports stop --all")
    return "\n".join(lines) or "what listens:\nrouteguard ports --all"


def _listed(view: View) -> list[str]:
    return [
        f"{one.found.port} ({one.found.name or one.found.proxy})"
        for one in view.seen
        if one.found.verdict == PROXY
    ]


# Asking -------------------------------------------------------------------------------------------


def _announce(steps: Sequence[Step], chosen: Sequence[Listening], grace: float) -> None:
    exceptions = {id(one.found): one.exception for one in chosen}
    for step in steps:
        where = ", ".join(address(found) for found in (step.found, *step.also))
        lines = [f"{_name(step.found)} on {where}"]
        lines += [f"  {sentence}" for sentence in step.words(grace)]
        exception = exceptions.get(id(step.found))
        if exception is not None:
            text = f"an exception allows it until {local(exception.until)}: {exception.reason}"
            lines.append(f"  note: {text}")
        show("\n".join(map(printable, lines)), err=True)


def _agreed(number: int, as_json: bool, targets: Sequence[str]) -> bool:
    """Whether the user says yes. Raises UsageError without a terminal to ask on."""
    if as_json or not can_ask():
        words = " ".join(printable(word) for word in targets) or "--all"
        raise UsageError(
            "nothing was stopped: no terminal to ask on",
            why="--json never asks" if as_json else "",
            fix=f"routeguard ports stop {words} --yes" + " --json" * as_json,
        )
    return click.confirm("Stop it?" if number == 1 else f"Stop these {number}?", err=True)


# Telling ------------------------------------------------------------------------------------------


def _report(step: Step, outcome: StopOutcome, as_json: bool) -> None:
    """One outcome: what went well on stdout (unless that is JSON), what did not on stderr."""
    found = outcome.found
    name, ports = _name(found), ", ".join(str(port) for port in step.ports)
    if outcome.result in (stopping.STOPPED, stopping.GONE):
        text = f"{outcome.result}: {name} on port {ports}"
        text += f"; {outcome.detail}" if outcome.detail else ""
        show(printable(text), err=as_json)
        return
    what = f"{name} on port {ports} {_TITLES[outcome.result]}"
    if outcome.seconds >= 0.1:
        what += f" after {outcome.seconds:.1f} s"
    where = address(outcome.after or found)
    show_error(GuardError(what, where=where, why=outcome.detail, fix=outcome.fix, rule="RG402"))


def _name(found: Found) -> str:
    if found.verdict == PROXY:
        return found.name or found.proxy
    program = found.process.program if found.process is not None else ""
    return program or "what listens"


def _results(steps: Sequence[Step], outcomes: Sequence[StopOutcome]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for step, outcome in zip(steps, outcomes, strict=True):
        process, after = outcome.found.process, outcome.after
        results.append(
            {
                "ports": list(step.ports),
                "proxy": outcome.found.proxy,
                "name": outcome.found.name,
                "pid": process.pid if process is not None else None,
                "user": process.user if process is not None else "",
                "result": outcome.result,
                "detail": outcome.detail,
                "fix": outcome.fix,
                "seconds": round(outcome.seconds, 1),
                "after": None
                if after is None
                else {
                    "port": after.port,
                    "pid": after.process.pid if after.process is not None else None,
                    "program": after.process.program if after.process is not None else "",
                },
            }
        )
    return results
