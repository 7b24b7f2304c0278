"""`routeguard allow`: make an exception that ends by itself, list exceptions, take one back."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Any, TypeVar

import click

from guard import audit
from guard.agents.covered import content_digest
from guard.agents.guarded import refuse_inside
from guard.catalog.key_shapes import is_key, looks_like_key
from guard.commands import complete
from guard.commands.complete import Completer
from guard.commands.groups import Group, as_typed
from guard.errors import ExitCode, UsageError, printable
from guard.files.read import NotRegularError, TooLargeError, UnreadableError
from guard.launch.process import own_environment
from guard.policy import allowed, exceptions, spans, subjects
from guard.policy.accepted import OTHERS
from guard.policy.merge import Value, merge
from guard.policy.model import Exemption
from guard.policy.places import allowed_file, user_policy
from guard.policy.spans import end_of
from guard.policy.subjects import named, refuse_key, validated
from guard.policy.values import normal_subject
from guard.report.document import show_document
from guard.report.table import Column, fields, table
from guard.report.terminal import can_ask, paint, say, show
from guard.report.words import left, local, short, utc

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Kinds(Group):
    """The subcommands; where a kind is missing, what was probably meant is said."""

    def meant(self, ctx: click.Context, args: list[str]) -> list[str]:
        if is_key(args[0], apart=False):
            refuse_key()
        guessed = subjects.guess(args[0])
        if guessed:
            return [f"say what is allowed:\n{as_typed(f'routeguard allow {guessed}', args[1:])}"]
        return super().meant(ctx, args)


@click.group(
    cls=_Kinds,
    epilog="""\b
Examples:
  routeguard allow port 11434 --for 2h --reason "comparing a local model"
  routeguard allow env OPENAI_API_KEY --for 30d --reason "a script"
  routeguard allow proxy 127.0.0.1:8080 --for 30m --reason "to see traffic"
  routeguard allow server https://ai.example.com --for 1d --reason "pairing"
  routeguard allow file ./tools/plugin.js --for 1w --reason "ours, and read"
  routeguard allow agent NAME --for 2h --reason "to compare answers"
  routeguard allow list
  routeguard allow revoke port:11434

Every exception has a reason and an end, at most 90 days away, and is logged.

Exit status: 0 done, 2 usage, 3 unreadable policy, 126 exceptions are not accepted.""",
)
def allow() -> None:
    """Allow for a limited time what the policy forbids.

    An exception has a reason and an end. It is kept in allowed.toml beside your policy, which is
    not changed, and applies to launches, checks and shells that start from now on.
    """


def _options(command: _Command) -> _Command:
    """The options every kind has."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Show what would be written."),
        click.option("--reason", metavar="TEXT", help="Why; asked for on a terminal."),
        click.option("--until", metavar="DATE", help="End: YYYY-MM-DD or YYYY-MM-DDTHH:MM."),
        click.option("--for", "duration", metavar="TIME", help="End: 30m, 2h, 3d or 1w from now."),
    ):
        command = option(command)
    return command


def _port(word: str) -> str:
    return (word.lstrip("0") or "0") if re.fullmatch(r"0*[0-9]{1,5}", word) else word


def _name(word: str) -> str:
    if "=" in word:
        raise UsageError("give the name of a variable, not NAME=VALUE")
    return word


def _agent(word: str) -> str:
    """The id of the agent that is called, or started as, `word`."""
    named = (agent.id for agent in OTHERS.values() if word in agent.typed)
    return word if word in OTHERS else next(named, word)


def _host_and_port(word: str) -> str:
    return word.removeprefix("http://").removeprefix("https://").rstrip("/")


def _kind(
    name: str,
    metavar: str,
    text: str,
    example: str,
    normal: Callable[[str], str] = str,
    completer: Completer | None = None,
) -> None:
    """Add the command that allows one kind of subject, given as `metavar`."""

    def command(word: str, **options: Any) -> int:
        word = normal(word)
        if name == "file":
            options["sha256"] = _digest(word)
        return _add(f"{name}:{word}", **options)

    shown = f"\b\nExample:\n  routeguard allow {name} {example}"
    command.__doc__ = text
    argument = click.argument("word", metavar=metavar, shell_complete=completer)
    allow.command(name, epilog=shown)(argument(_options(command)))


_kind(
    "port",
    "PORT",
    """Allow a local proxy on PORT.

    It may then listen, be started by hand, and be started by a checked file.""",
    """11434 --for 2h --reason "comparing a local model"
See what listens:  routeguard ports""",
    _port,
    complete.ports,
)
_kind(
    "env",
    "NAME",
    "Allow the environment variable NAME.",
    """OPENAI_API_KEY --for 3d --reason "a script needs it"
See what happens to a variable:  routeguard why OPENAI_API_KEY""",
    _name,
    complete.credentials,
)
_kind(
    "proxy",
    "HOST:PORT",
    "Allow the proxy that HTTP_PROXY or HTTPS_PROXY names.",
    """127.0.0.1:8080 --for 30m --reason "to see traffic"
See where HTTP_PROXY leads:  routeguard why HTTP_PROXY HTTPS_PROXY""",
    _host_and_port,
)
_kind(
    "server",
    "URL",
    "Allow an agent to attach or log in to the server at URL.",
    'https://ai.example.com --for 1d --reason "pairing"',
)
_kind(
    "file",
    "PATH",
    """Allow a file or folder with the content it has now.

    After a change it is refused again (its SHA-256 is kept). Code that it imports needs its own
    exception; one for a folder covers everything in it.""",
    './tools/plugin.js --for 1w --reason "ours, and read"',
    os.path.realpath,
)


_kind(
    "agent",
    "NAME",
    """Allow a start of an agent that routeguard refuses.

    It starts without keys and is not guarded: its logins and its own files decide where its
    prompts go. NAME is that of its table in the policy, [agents.NAME].""",
    f"""{next(iter(OTHERS))} --for 2h --reason "to compare answers"
See why it is refused:  routeguard explain -- {OTHERS[next(iter(OTHERS))].typed[0]}""",
    _agent,
    complete.agents,
)


# Adding ------------------------------------------------------------------------------------------


def _add(
    subject: str,
    *,
    duration: str | None,
    until: str | None,
    reason: str | None,
    dry_run: bool,
    sha256: str = "",
) -> int:
    environ = _own_environment()
    kind, _, rest = subject.partition(":")
    if kind == "env" and is_key(rest, apart=False):
        refuse_key()
    if kind in ("proxy", "server") and any(is_key(part, apart=False) for part in _parts(rest)):
        raise UsageError(
            "this address holds what looks like a key (not shown)",
            why="exceptions are kept in a file and in the log",
            fix="give the address without it; rotate the key: it may be in your shell's history",
        )
    # the subject first: whoever is asked for a reason wants to know that it is worth giving
    wanted = {"subject": subject, "sha256": sha256}
    validated({**wanted, "reason": "-", "until": date.today()})
    layers = exceptions.layers_of(environ)
    merged = merge(layers)
    exceptions.refuse_where_not_accepted(merged)
    end, why = _end(duration, until), _reason(reason)
    added = datetime.now(UTC).replace(microsecond=0)
    exemption = validated({**wanted, "reason": why, "until": end, "added": added})
    change = allowed.add(environ, exemption, write=not dry_run)
    if not dry_run:
        _record("allowed", environ, exemption)
    rows = [
        ("would write" if dry_run else "wrote", short(change.path)),
        ("", allowed.block(exemption).rstrip()),
        ("until", f"{_moment(exemption)} ({left(end_of(exemption.until))})"),
        *(("replaces", f"until {_moment(old)}: {old.reason}") for old in change.replaced),
        *_expired(change, dry_run),
    ]
    for item in exceptions.elsewhere(merged.exceptions, subject, change.path):
        rows.append(("note", f"{short(item.origin.where)} also allows it until {_ends(item)}"))
    rows += [("note", note) for note in subjects.notes(subject, merged, layers)]
    if kind == "env":
        rows.append(("next", "open a new shell; this one keeps the policy it started with"))
    if not dry_run:
        revoke_it = f"routeguard allow revoke {shlex.quote(subject)}"
        rows.append(("undo", (*map(subjects.command, change.replaced), revoke_it)[0]))
    show(fields(rows))
    return ExitCode.OK


def _parts(place: str) -> tuple[str, ...]:
    return (place, *re.split(r"[/:?#@&=]", place))


def _own_environment() -> dict[str, str]:
    """The environment that names the user's own directories.

    Raises GuardError inside a guarded agent: what it reads may tell it to allow itself something.
    """
    refuse_inside(os.environ, "an agent cannot make its own exceptions")
    return own_environment(os.environ)


def _end(duration: str | None, until: str | None) -> date | datetime:
    """The moment, or last day, given by --for or --until; asks for it on a terminal."""
    if duration is not None and until is not None:
        raise UsageError("--for and --until exclude each other", fix="give one of them")
    if until is not None:
        return spans.at(until)
    if duration is None:
        if not can_ask():
            raise UsageError("an exception needs an end", fix="add --for 2h, or --until and a date")
        duration = click.prompt("For how long (30m, 2h, 3d, 1w)", err=True)
    return spans.from_now(duration)


def _reason(reason: str | None) -> str:
    if reason is None and can_ask():
        reason = click.prompt("Why is it needed", err=True)
    reason = (reason or "").strip()
    if not reason:
        raise UsageError("an exception needs a reason", fix='add --reason "why it is needed"')
    if looks_like_key(reason) or (" " not in reason and is_key(reason, apart=False)):
        raise UsageError(
            "the reason looks like a key (not shown)",
            why="reasons are kept in a file and in the log",
            fix="give the reason in words; rotate the key: it may be in your shell's history",
        )
    return reason


def _digest(path: str) -> str:
    """The SHA-256 of the file or folder at `path`. Raises UsageError if there is none."""
    shown = printable(short(path))
    why, fix = "No such file or directory", "name a file that exists and that you may read"
    try:
        path.encode("utf-8")
        found = content_digest(path)
        if found:
            return found
    except UnicodeEncodeError:
        why, fix = "its path is not UTF-8, so a policy cannot name it", "rename it"
    except NotRegularError:
        why, fix = "it is neither a file nor a folder", "name a file or a folder"
    except TooLargeError as error:
        why, fix = f"it {error}", "name the file that the finding names"
    except UnreadableError as error:
        why = str(error)
    raise UsageError(f"cannot allow {shown}", why=why, fix=fix)


def _record(decision: str, environ: Mapping[str, str], exemption: Exemption) -> None:
    why = audit.record_exception(
        decision,
        environ,
        subject=exemption.subject,
        until=exemption.until.isoformat(),
        reason=exemption.reason,
    )
    if why:
        say(f"cannot write the log: {why} ({short(audit.log_file(environ))})")


def _expired(change: allowed.ExceptionChange, dry_run: bool) -> list[tuple[str, str]]:
    label = "would drop" if dry_run else "dropped"
    return [(label, f"{entry.subject}: expired") for entry in change.expired]


# list --------------------------------------------------------------------------------------------

_COLUMNS = (
    Column("SUBJECT", least=16),
    Column("LAYER"),
    Column("UNTIL", least=10),
    Column("LEFT", least=6),
    Column("REASON", least=16),
)


@allow.command(
    "list",
    epilog="""\b
Examples:
  routeguard allow list
  routeguard allow list --all        include expired and refused ones
  routeguard allow list --json | jq -r '.exceptions[].subject'""",
)
@click.option("--all", "everything", is_flag=True, help="Include expired and refused ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(everything: bool, as_json: bool) -> int:
    """List the exceptions of every layer.

    The next to end comes first.
    """
    environ = own_environment(os.environ)
    layers = exceptions.layers_of(environ)
    merged = merge(layers)
    rows = exceptions.every(merged, layers)
    shown = [row for row in rows if everything or row.state == "active"]
    if as_json:
        managed = allowed_file(user_policy(environ))
        show_document({"exceptions": [_as_dict(row, managed) for row in shown]})
        return ExitCode.OK
    lines = [table(_COLUMNS, map(_cells, shown))] if shown else ["no exceptions"]
    refused = sum(row.state == "refused" for row in rows)
    if refused:
        where = short(merged.values["user_exceptions"].origin.where)
        lines.append(
            f'{refused} of yours refused: user_exceptions = "refuse" in {printable(where)}'
        )
    if len(rows) > len(shown):
        hidden = len(rows) - len(shown)
        lines.append(f"{hidden} more expired or refused: routeguard allow list --all")
    show("\n".join(lines))
    return ExitCode.OK


def _cells(row: exceptions.Listed) -> tuple[str, ...]:
    entry: Exemption = row.item.value
    active = row.state == "active"
    how_long = left(end_of(entry.until)) if active else paint(row.state, "warning")
    origin = row.item.origin.layer
    return (entry.subject, origin, _ends(row.item), how_long, entry.reason.strip())


def _as_dict(row: exceptions.Listed, managed: str) -> dict[str, Any]:
    entry: Exemption = row.item.value
    end = end_of(entry.until)
    origin = row.item.origin
    return {
        "subject": entry.subject,
        "state": row.state,
        "layer": origin.layer,
        "file": origin.path,
        "line": origin.line,
        "managed": origin.path == managed,
        "reason": entry.reason.strip(),
        "until": utc(end),
        "seconds_left": max(0, int(end - time.time())),
        "added": entry.added.isoformat() if entry.added is not None else "",
        "sha256": entry.sha256,
    }


# revoke ------------------------------------------------------------------------------------------


@allow.command(
    epilog="""\b
Examples:
  routeguard allow revoke port:11434
  routeguard allow revoke port 11434
  routeguard allow revoke --all          everything `routeguard allow` wrote"""
)
@click.argument("words", nargs=-1, metavar="[SUBJECT]", shell_complete=complete.exceptions)
@click.option("--all", "everything", is_flag=True, help="All that `routeguard allow` wrote.")
@click.option("--dry-run", is_flag=True, help="Show what would be taken back.")
def revoke(words: tuple[str, ...], everything: bool, dry_run: bool) -> int:
    """Take back an exception that `routeguard allow` made.

    For one in a policy file the file and line are named: that file is yours to edit.
    """
    if everything == bool(words):
        raise UsageError(
            "say which exception: SUBJECT, or --all for all of them",
            fix="routeguard allow list",
        )
    environ = own_environment(os.environ)
    subject = "" if everything else named(words)
    merged = merge(exceptions.layers_of(environ))
    others = exceptions.elsewhere(merged.exceptions, subject, allowed_file(user_policy(environ)))
    change = allowed.revoke(environ, None if everything else [subject], write=not dry_run)
    if subject and not change.revoked:
        _not_ours(subject, others, change)
    rows = []
    for entry in change.revoked:
        rows.append(("would revoke" if dry_run else "revoked", entry.subject))
        if not dry_run:
            _record("revoked", environ, entry)
            rows.append(("undo", subjects.command(entry)))
    rows += _expired(change, dry_run)
    if not change.revoked:
        rows.append(("nothing", "`routeguard allow` made no exception that is still active"))
    for item in others:
        rows.append(("note", f"{short(item.origin.where)} still allows it until {_ends(item)}"))
    show(fields(rows))
    return ExitCode.OK


def _not_ours(subject: str, others: list[Value], change: allowed.ExceptionChange) -> None:
    """Raise UsageError: `allow` did not write `subject`. Returns if it did and it has expired."""
    if is_key(subject, apart=False):
        refuse_key()
    for item in others:
        whose = "the system policy" if item.origin.layer == "system" else "your policy"
        raise UsageError(
            f"{printable(subject)} is allowed by {whose}, not by `routeguard allow`",
            fix=f"edit {item.origin.where}",
        )
    if any(normal_subject(entry.subject) == normal_subject(subject) for entry in change.expired):
        return
    near = get_close_matches(subject, [entry.subject for entry in change.kept], n=1)
    meant = [f"did you mean:\nrouteguard allow revoke {shlex.quote(near[0])}"] if near else []
    raise UsageError(
        f"no exception for {spans.quoted(subject)}",
        fix="\n".join([*meant, "routeguard allow list"]),
    )


def _moment(entry: Exemption) -> str:
    return local(end_of(entry.until))


def _ends(item: Value) -> str:
    return _moment(item.value)
