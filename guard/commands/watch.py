"""`routeguard watch`: one loop that says when a local proxy or an unguarded agent appears."""

from __future__ import annotations

import os
from collections.abc import Iterable

import click

from guard.agents.running import see_processes
from guard.errors import ExitCode, printable
from guard.launch.process import own_environment, working_directory
from guard.launch.watcher import PolicyInForce, Watcher
from guard.proxies.watch import GONE, NEW, PRESENT, Event
from guard.report.document import show_document
from guard.report.notices import Notices
from guard.report.terminal import paint, show
from guard.report.words import clock, utc
from guard.signals import Ending

INTERVAL = 5.0
"""Seconds between two looks: about four CPU seconds an hour with 400 processes, 30 with 3,000
(`tests/bench/watch.py`)."""


@click.command(
    epilog="""\b
Examples:
  routeguard watch                        a line for each local proxy and unguarded agent
  routeguard watch --on-find stop         end local proxies of yours as they appear
  routeguard watch --once                 look once, for a CI job: exit status 1 if it found any
  routeguard watch --json | jq -r .message

Only identified proxies of your own are stopped, each at most three times an hour, and none where
the policy says proxies.action = "flag". Agents are never stopped.

Exit status: 0 ended by TERM, or --once and nothing found; 1 --once and something found; 2 usage;
3 policy; 130 ended by Ctrl-C.""",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.2, max=3600.0),
    default=INTERVAL,
    show_default=True,
    metavar="SECONDS",
    help="Time between checks.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--notify/--no-notify",
    default=None,
    help="Desktop notifications. By default where a desktop session and its program are there.",
)
@click.option(
    "--on-find",
    type=click.Choice(["flag", "stop"]),
    default="flag",
    show_default=True,
    help="What is done about a local proxy.",
)
@click.option("--once", is_flag=True, help="Look once and exit.")
def watch(interval: float, as_json: bool, notify: bool | None, on_find: str, once: bool) -> int:
    """Watch for local proxies and unguarded agents.

    Says what is there at the start, then what comes and goes.
    """
    # inside a guarded agent the directories of the outer launch are not the user's own
    environ = own_environment(os.environ)
    policy = PolicyInForce(working_directory(), environ)
    see_processes()
    notices = Notices(environ, wanted=False if once and notify is None else notify)

    def tell(happened: Iterable[Event]) -> None:
        notices.show(event.finding.message for event in happened if event.what != GONE)

    watcher = Watcher(policy, Lines(as_json=as_json), tell, stops=on_find == "stop")
    if once:
        return ExitCode.FINDINGS if watcher.look() else ExitCode.OK
    with Ending() as ending:
        while True:
            watcher.look()
            status = ending.wait(interval)
            if status is not None:
                notices.close()
                return status


class Lines:
    """Writes what happens to stdout, a line each, at once."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def event(self, event: Event) -> None:
        """One thing that was found or has gone."""
        found = event.finding
        if self._as_json:
            about = {key: getattr(found, key) for key in ("severity", "subject", "where")}
            self._json(event.at, event.what, found.rule, found.message, found.fix, **about)
            return
        below = [] if event.what == GONE else [("where", found.where), ("fix", found.fix)]
        self._text(event.at, event.what, f"{found.message} [{found.rule}]", below)

    def said(self, at: float, what: str, message: str, fix: str = "") -> None:
        """Something about the watch itself, or what became of a proxy that was stopped."""
        if self._as_json:
            self._json(at, what, "", message, fix)
        else:
            self._text(at, what, message, [("fix", fix)])

    def _text(self, at: float, what: str, message: str, below: list[tuple[str, str]]) -> None:
        word = f"{what:<7}"
        if what in (PRESENT, NEW):
            word = paint(word, "bad")
        lines = [f"{clock(at)}  {word}  {printable(message)}"]
        for label, text in below:
            for number, line in enumerate(text.splitlines()):
                head = f"{label}:" if number == 0 else ""
                lines.append(f"{'':19}  {head:<6} {printable(line)}")
        show("\n".join(lines))

    def _json(self, at: float, what: str, rule: str, message: str, fix: str, **more: str) -> None:
        content = {"time": utc(at), "event": what, "rule": rule, "message": message, "fix": fix}
        show_document({**content, **more}, indent=None)
