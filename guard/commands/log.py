"""`routeguard log`: what was launched and what was refused, for people."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache

import click

from guard import audit, paths
from guard.agents.registry import AGENTS, typed_name, typed_names
from guard.errors import ExitCode, GuardError, UsageError, counted, printable
from guard.files.read import UnreadableError
from guard.launch.process import own_environment
from guard.policy import spans
from guard.report.document import show_document
from guard.report.terminal import paint, show
from guard.report.words import clock, local, short
from guard.rule_table import RULES
from guard.signals import Ending
from guard.sources.audit_log import Log, LogEntry

INTERVAL = 0.5
"""Seconds between two looks of `--follow`."""

SHOWN = 20
"""Entries that are shown where nothing else is asked for."""


@click.command(
    epilog=f"""\b
Examples:
  routeguard log                          the last 20 entries
  routeguard log --refused --since 7d     what was refused in the last seven days, and why
  routeguard log --agent {AGENTS[0].names[0]} -n all  every entry of one agent
  routeguard log -f                       keep printing as entries are written
  routeguard log --refused --json | jq '.entries[].rules'

The log holds names, never a value or a prompt: ~/.local/state/routeguard/audit.jsonl. How to send
it to journald, syslog or a collector: docs/log.md.

Exit status: 0 shown, 2 usage, 3 the log cannot be read, 130 `-f` ended by Ctrl-C.""",
)
@click.option("--since", metavar="TIME", help="Only what is newer: 2h, 7d, 2026-11-01.")
@click.option("--refused", is_flag=True, help="Only refused launches.")
@click.option("--agent", "agent", metavar="NAME", help="Only launches of this agent.")
@click.option("-n", "number", metavar="NUMBER", help="How many of the last entries, or all.")
@click.option("-f", "--follow", is_flag=True, help="Keep printing entries as they are written.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with -f one entry a line.")
def log(
    since: str | None,
    refused: bool,
    agent: str | None,
    number: str | None,
    follow: bool,
    as_json: bool,
) -> int:
    """Show what was launched and what was refused."""
    environ = own_environment(os.environ)
    home = paths.home(environ)
    after = 0.0
    if since is not None:
        after = spans.since(since, time.time())
    wanted = _filter(after, refused, agent)
    source = Log(audit.log_file(environ))
    every = _read(source.read, source.path)
    found = [entry for entry in every if wanted(entry)]
    limit = _limit(number, SHOWN if since is None else len(found), len(found))
    last = found[len(found) - limit :]
    if as_json and not follow:
        entries = [entry.content for entry in last]
        show_document({"log": source.path, "entries": entries, "damaged": source.damaged})
        return ExitCode.OK
    _show(last, home, as_json=as_json)
    if not as_json:
        if every and not found:
            show("No entry matches; every entry: routeguard log -n all", err=True)
        _remarks(source, len(found) - len(last), bool(every), home)
    if not follow:
        return ExitCode.OK
    with Ending() as ending:
        while (status := ending.wait(INTERVAL)) is None:
            _show(filter(wanted, _read(source.more, source.path)), home, as_json=as_json)
    return status


def _limit(number: str | None, default: int, most: int) -> int:
    """How many of `most` entries are wanted. Raises UsageError."""
    if number is None or number == "all":
        return min(default if number is None else most, most)
    if number.isascii() and number.isdigit() and len(number) < 10:
        return min(int(number), most)
    raise UsageError(f"not a number: {printable(number[:60])}", fix="-n takes 50, or all")


def _remarks(source: Log, earlier: int, some: bool, home: str) -> None:
    path = printable(short(source.path, home))
    if not some and not earlier:
        show(f"No entry in {path}.", err=True)
    if earlier:
        show(f"{earlier} earlier: routeguard log -n all", err=True)
    if source.damaged:
        show(f"{counted(source.damaged, 'damaged line')} left out: {path}", err=True)


def _read(read: Callable[[], list[LogEntry]], path: str) -> list[LogEntry]:
    try:
        return read()
    except UnreadableError as error:
        raise GuardError(
            "the audit log cannot be read",
            where=path,
            why=f"it {error}",
            fix="look at its owner and mode; a log that is no file has to be moved away",
            rule="RG503",
            exit_code=ExitCode.CONFIG,
        ) from None


def _filter(after: float, refused: bool, agent: str | None) -> Callable[[LogEntry], bool]:
    def wanted(entry: LogEntry) -> bool:
        return (
            entry.moment >= after
            and (not refused or entry.decision == "refused")
            and (agent is None or agent in _names(entry.text("agent")))
        )

    return wanted


@cache
def _names(identifier: str) -> tuple[str, ...]:
    """The id of an agent, as the log has it, and the names under which that is started."""
    return (identifier, *typed_names(identifier))


def _show(entries: Iterable[LogEntry], home: str, *, as_json: bool) -> None:
    for entry in entries:
        if as_json:
            show_document(entry.content, indent=None)
        else:
            show(render(entry, home))


def _end(text: str) -> str:
    """The end of an exception, a date or a moment in ISO 8601, as `allow list` shows it."""
    try:
        return local(datetime.fromisoformat(text).timestamp()) if "T" in text else text
    except (ValueError, OverflowError, OSError):
        return text  # anybody may have written into the log


def render(entry: LogEntry, home: str) -> str:
    """One entry as text: a line, and below it why, or what was removed."""
    word = f"{printable(entry.decision):<8}"
    if entry.decision == "refused":
        word = paint(word, "bad")
    head = f"{clock(entry.moment)}  {word}  "
    if entry.text("subject"):
        until = f" until {_end(entry.text('until'))}" if entry.text("until") else ""
        reason = f": {entry.text('reason')}" if entry.text("reason") else ""
        return head + printable(f"{entry.text('subject')}{until}{reason}")
    agent = typed_name(entry.text("agent"), entry.text("program"))
    words = " ".join(filter(None, (agent, entry.text("command"))))
    # what was refused went nowhere, and may have named another model
    route = entry.text("route") if entry.decision != "refused" else ""
    parts = [words, route, short(entry.text("directory"), home)]
    if entry.text("command") == "key" and not entry.text("agent"):
        asked = f"for {entry.text('program')}" if entry.text("program") else ""
        parts[1:2] = [entry.text("entry"), asked]
    lines = [head + "  ".join(printable(part) for part in parts if part)]
    for rule in entry.texts("rules"):
        known = RULES.get(rule)
        lines.append(f"{'':31}{printable(rule)}{f' {known.title}' if known else ''}")
    removed = entry.texts("removed")
    if removed and entry.decision == "launched":
        lines.append(f"{'':31}removed {printable(', '.join(removed))}")
    return "\n".join(lines)
