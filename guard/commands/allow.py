"""`routeguard allow`: make an exception that ends by itself."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import click

from guard import audit
from guard.agents.covered import content_digest
from guard.agents.guarded import refuse_inside
from guard.catalog.key_shapes import is_key, looks_like_key
from guard.commands import complete
from guard.commands.complete import Completer
from guard.commands.groups import LazyGroup, as_typed
from guard.errors import ExitCode, UsageError, printable
from guard.files.read import NotRegularError, TooLargeError, UnreadableError
from guard.launch.process import own_environment
from guard.policy import allowed, exceptions, spans, subjects
from guard.policy.accepted import OTHERS
from guard.policy.merge import Value, merge
from guard.policy.model import Exemption
from guard.policy.spans import end_of
from guard.policy.subjects import refuse_key, validated
from guard.report.table import fields
from guard.report.terminal import can_ask, say, show
from guard.report.words import left, local, short

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Kinds(LazyGroup):
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
    targets={
        "list": "guard.commands.allow_list:list_command",
        "revoke": "guard.commands.allow_revoke:revoke",
    },
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
        record("allowed", environ, exemption)
    rows = [
        ("would write" if dry_run else "wrote", short(change.path)),
        ("", allowed.block(exemption).rstrip()),
        ("until", f"{_moment(exemption)} ({left(end_of(exemption.until))})"),
        *(("replaces", f"until {_moment(old)}: {old.reason}") for old in change.replaced),
        *expired(change, dry_run),
    ]
    for item in exceptions.elsewhere(merged.exceptions, subject, change.path):
        rows.append(("note", f"{short(item.origin.where)} also allows it until {ends(item)}"))
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


def record(decision: str, environ: Mapping[str, str], exemption: Exemption) -> None:
    why = audit.record_exception(
        decision,
        environ,
        subject=exemption.subject,
        until=exemption.until.isoformat(),
        reason=exemption.reason,
    )
    if why:
        say(f"cannot write the log: {why} ({short(audit.log_file(environ))})")


def expired(change: allowed.ExceptionChange, dry_run: bool) -> list[tuple[str, str]]:
    """What is said of those that were dropped by the way."""
    label = "would drop" if dry_run else "dropped"
    return [(label, f"{entry.subject}: expired") for entry in change.expired]


def _moment(entry: Exemption) -> str:
    return local(end_of(entry.until))


def ends(item: Value) -> str:
    """When the exception `item` ends, for a person."""
    return _moment(item.value)
