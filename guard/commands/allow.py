"""`routeguard allow`: make an exception that ends by itself, see those that hold, take one back."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Never, TypeVar

import click
from click.shell_completion import CompletionItem
from pydantic import ValidationError

from guard import audit, paths
from guard.agents.covered import content_digest
from guard.catalog.classify import classify
from guard.catalog.key_shapes import looks_like_key
from guard.errors import ExitCode, GuardError, UsageError, printable
from guard.files.read import NotRegularError, TooLargeError, UnreadableError
from guard.launch.process import own_environment
from guard.net import address, is_loopback
from guard.policy import allowed
from guard.policy.compile import compile_layers
from guard.policy.layers import candidates, read_all
from guard.policy.merge import Merged, Value, merge
from guard.policy.model import Exemption, end_of
from guard.policy.places import allowed_file, user_policy
from guard.policy.problems import translate
from guard.policy.values import normal_subject

SCHEMA_VERSION = 1
"""Version of the JSON output; within one, keys are only added."""

KINDS: Final = ("port", "env", "proxy", "server", "file")
"""What can be allowed: the first words of the subjects of an [[exception]]."""

MAX_DAYS: Final = 90
"""Days an exception made here may hold: what is needed for longer is policy."""

_UNITS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION: Final = re.compile(r"(?:[0-9]{1,6}[mhdw])+")
_KEPT_KINDS: Final = frozenset(("", "ambient", "gateway_key", "gateway_setting", "other_service"))

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Kinds(click.Group):
    """The subcommands; what was meant is said where a kind is missing."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if self.get_command(ctx, word) is None:
            if looks_like_key(word):
                _refuse_key()
            meant = _meant(word)
            if meant:
                raise click.UsageError(f"Say what is allowed: routeguard allow {meant}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Kinds,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  routeguard allow port 11434 --for 2h --reason "comparing a local model"
  routeguard allow env OPENAI_API_KEY --until 2026-12-31 --reason "the transcription script"
  routeguard allow proxy 127.0.0.1:8080 --for 30m --reason "looking at the traffic"
  routeguard allow server https://agents.example.com --for 1d --reason "pair session"
  routeguard allow file ./tools/plugin.js --for 1w --reason "read it, the plugin is ours"
  routeguard allow list
  routeguard allow revoke port:11434

\b
Every exception has a reason and an end, at most 90 days away, and is a line in the audit log.
Exit status: 0 done, 2 usage, 3 a policy that cannot be read, 126 exceptions are not accepted.""",
)
def allow() -> None:
    """Allow for a while what the policy forbids: an exception with a reason and an end.

    It is kept in allowed.toml beside your policy, which stays as it is, and counts for launches,
    checks and shells that start from now on.
    """


def _options(command: _Command) -> _Command:
    """The options every kind has."""
    for option in (
        click.option(
            "--dry-run", is_flag=True, help="Show what would be written, and write nothing."
        ),
        click.option("--reason", metavar="TEXT", help="Why; asked for on a terminal."),
        click.option("--until", metavar="DATE", help="End: 2026-12-31, or 2026-12-31T18:00."),
        click.option("--for", "duration", metavar="TIME", help="End: 30m, 2h, 3d, 1w from now."),
    ):
        command = option(command)
    return command


@allow.command(
    epilog="""\b
Example:
  routeguard allow port 11434 --for 2h --reason "comparing a local model"
See what listens:  routeguard ports"""
)
@click.argument("number", metavar="PORT")
@_options
def port(number: str, **options: Any) -> int:
    """Allow a local proxy on PORT: that it listens, is started by hand, or by a checked file."""
    if re.fullmatch(r"0*[0-9]{1,5}", number):
        number = number.lstrip("0") or "0"
    return _add(f"port:{number}", **options)


def _complete_env(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """Names in the environment that look like credentials; their values are not looked at."""
    return [
        CompletionItem(name)
        for name in sorted(os.environ)
        if name.startswith(start) and re.search(r"KEY|TOKEN|BASE_URL|SECRET", name)
    ]


@allow.command(
    epilog="""\b
Example:
  routeguard allow env OPENAI_API_KEY --for 3d --reason "the transcription script needs it"
See what happens to a variable:  routeguard why OPENAI_API_KEY"""
)
@click.argument("name", metavar="NAME", shell_complete=_complete_env)
@_options
def env(name: str, **options: Any) -> int:
    """Allow the environment variable NAME: it is neither flagged nor removed."""
    if "=" in name:
        raise UsageError("wants the name of a variable, not NAME=VALUE")
    return _add(f"env:{name}", **options)


@allow.command(
    epilog="""\b
Example:
  routeguard allow proxy 127.0.0.1:8080 --for 30m --reason "looking at the traffic"
See where HTTP_PROXY leads:  routeguard why HTTP_PROXY HTTPS_PROXY"""
)
@click.argument("address", metavar="HOST:PORT")
@_options
def proxy(address: str, **options: Any) -> int:
    """Allow the HTTP proxy at HOST:PORT that HTTP_PROXY or HTTPS_PROXY name."""
    for scheme in ("http://", "https://"):
        address = address.removeprefix(scheme)
    return _add(f"proxy:{address.rstrip('/')}", **options)


@allow.command(
    epilog="""\b
Example:
  routeguard allow server https://agents.example.com --for 1d --reason "pair session\""""
)
@click.argument("url", metavar="URL")
@_options
def server(url: str, **options: Any) -> int:
    """Allow an agent to attach, or log in, to the server at URL."""
    return _add(f"server:{url}", **options)


@allow.command(
    epilog="""\b
Example:
  routeguard allow file ./tools/plugin.js --for 1w --reason "read it, the plugin is ours"
The SHA-256 of its content now is kept: after a change it is refused again. Code that it imports
needs an exception of its own; one for a folder covers all that lies below it."""
)
@click.argument("path", metavar="PATH", type=click.Path())
@_options
def file(path: str, **options: Any) -> int:
    """Allow the file or folder PATH, with the content it has now."""
    full = os.path.realpath(path)
    return _add(f"file:{full}", sha256=_digest(full), **options)


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
    kind = subject.partition(":")[0]
    if kind in ("env", "server") and looks_like_key(subject.partition(":")[2]):
        _refuse_key()
    # the subject first: whoever is asked for a reason wants to know that it is worth giving
    _validated({"subject": subject, "reason": "-", "until": date.today()}, sha256)
    merged = _merged(environ)
    _accepted(merged)
    end = _end(duration, until)
    exemption = _validated(
        {
            "subject": subject,
            "reason": _reason(reason),
            "until": end,
            "added": datetime.now(UTC).replace(microsecond=0),
        },
        sha256,
    )
    change = allowed.add(environ, exemption, write=not dry_run)
    if not dry_run:
        _record("allowed", environ, exemption)
    _print_change(exemption, change, merged, environ, dry_run)
    return ExitCode.OK


def _own_environment() -> dict[str, str]:
    """The environment that names the user's own directories.

    Raises GuardError inside a guarded agent: what it reads may tell it to allow itself something.
    """
    if paths.REAL_CONFIG_HOME in os.environ:
        raise GuardError(
            "an agent does not make its own exceptions",
            why="this command runs below a guarded agent, and what an agent reads can tell it what"
            " to run",
            fix="call it in a shell of your own",
        )
    return own_environment(os.environ)


def _merged(environ: Mapping[str, str]) -> Merged:
    """The system and user layers; a project has no say in exceptions. Raises PolicyError."""
    return merge(read_all(candidates(paths.SYSTEM_POLICY, user_policy(environ), ())))


def _accepted(merged: Merged) -> None:
    """Raise GuardError if the policy accepts no exceptions of the user.

    Exit status 126, as for a launch: the policy is understood, and it says no.
    """
    choice = merged.values["user_exceptions"]
    if choice.value != "refuse":
        return
    is_system = choice.origin.layer == "system"
    raise GuardError(
        f"the {choice.origin.layer} policy refuses exceptions of the user",
        where=choice.origin.where,
        why='user_exceptions = "refuse"; nothing was written',
        fix="ask who administers this machine for an [[exception]] there"
        if is_system
        else "change it in your policy first",
    )


def _validated(fields: dict[str, Any], sha256: str) -> Exemption:
    """The exception as a policy file would have it. Raises UsageError where it would be refused."""
    if sha256:
        fields["sha256"] = sha256
    try:
        return Exemption.model_validate(fields)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key, message, found, accepted, fix = translate(detail, detail["loc"])
        raise UsageError(
            f"the {'.'.join(map(str, key)) or 'exception'} {message}",
            why="; ".join(
                part
                for part in (
                    f"found {found}" if found else "",
                    f"accepted: {accepted}" if accepted else "",
                )
                if part
            ),
            fix=fix,
        ) from None


def _end(duration: str | None, until: str | None) -> date | datetime:
    """The moment, or last day, given by --for or --until; asks for it on a terminal."""
    if duration is not None and until is not None:
        raise UsageError("--for and --until both say when it ends", fix="give one of them")
    if until is not None:
        return _until(until)
    if duration is None:
        if not _asks():
            raise UsageError("an exception needs an end", fix="add --for 2h, or --until 2026-12-31")
        duration = click.prompt("For how long (30m, 2h, 3d, 1w)", err=True)
    seconds = _seconds(duration.strip())
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)


def _seconds(duration: str) -> int:
    if not _DURATION.fullmatch(duration):
        raise UsageError(
            f"not a length of time: {_shown(duration)}",
            fix="--for takes minutes, hours, days, weeks: 30m, 2h, 3d, 1w, 1d12h",
        )
    seconds = sum(
        int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([mhdw])", duration)
    )
    if seconds == 0:
        raise UsageError("an exception of no length allows nothing", fix="--for 30m")
    if seconds > MAX_DAYS * _UNITS["d"]:
        raise _too_long()
    return seconds


def _until(text: str) -> date | datetime:
    try:
        day = date.fromisoformat(text) if len(text) <= len("2026-12-31") else None
        found: date | datetime = datetime.fromisoformat(text) if day is None else day
        if isinstance(found, datetime):
            found = found.astimezone().replace(microsecond=0)
        end = end_of(found)
    except (ValueError, OverflowError):
        raise UsageError(
            f"not a date: {_shown(text)}",
            fix="--until takes 2026-12-31 (to the end of that day), or 2026-12-31T18:00",
        ) from None
    if end < time.time():
        raise UsageError(f"{_shown(text)} is over", fix="name a date to come, or use --for 2h")
    # the end of the last day may be up to a day later than the same moment of that day
    last = date.today() + timedelta(days=MAX_DAYS)
    if end > end_of(last):
        raise _too_long()
    return found


def _too_long() -> UsageError:
    last = date.today() + timedelta(days=MAX_DAYS)
    return UsageError(
        f"an exception made here holds {MAX_DAYS} days at most, until {last.isoformat()}",
        why="what is needed for longer is policy, and should be found where policy is",
        fix="a shorter time; or an [[exception]] in your policy: routeguard policy path",
    )


def _reason(reason: str | None) -> str:
    if reason is None:
        if not _asks():
            raise UsageError("an exception needs a reason", fix='add --reason "why it is needed"')
        reason = click.prompt("Why is it needed", err=True)
    reason = reason.strip()
    if not reason:
        raise UsageError("an exception needs a reason", fix='--reason "why it is needed"')
    if looks_like_key(reason):
        raise UsageError(
            "the reason looks like a key (not shown)",
            why="reasons are kept in a file and in the audit log",
            fix="say why in words; if it is a key, it may be in your shell's history: rotate it",
        )
    return reason


def _asks() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _digest(path: str) -> str:
    """The SHA-256 of the file or folder at `path`. Raises UsageError if there is none."""
    try:
        path.encode("utf-8")
        found = content_digest(path)
    except UnicodeEncodeError:
        raise UsageError(
            f"a policy cannot name this file: {printable(path)}",
            why="its path is not UTF-8, as TOML has to be",
            fix="rename it",
        ) from None
    except NotRegularError:
        raise UsageError(
            f"neither a file nor a folder: {printable(path)}", fix="name a file or a folder"
        ) from None
    except TooLargeError as error:
        raise UsageError(
            f"too much to be allowed at once: {printable(path)}",
            why=f"it {error}",
            fix="name the file that the finding names",
        ) from None
    except UnreadableError as error:
        raise _unreadable(path, str(error)) from None
    if not found:
        raise _unreadable(path, "No such file or directory")
    return found


def _unreadable(path: str, why: str) -> UsageError:
    return UsageError(
        f"cannot read {printable(path)}",
        why=why,
        fix="name a file that exists and that you may read",
    )


def _record(decision: str, environ: Mapping[str, str], exemption: Exemption) -> None:
    why = audit.record_exception(
        decision,
        environ,
        subject=exemption.subject,
        until=exemption.until.isoformat(),
        reason=exemption.reason,
    )
    if why:
        log = printable(audit.log_file(environ))
        click.echo(f"routeguard: the audit log cannot be written: {why} ({log})", err=True)


def _print_change(
    exemption: Exemption,
    change: allowed.Change,
    merged: Merged,
    environ: Mapping[str, str],
    dry_run: bool,
) -> None:
    subject = exemption.subject
    click.echo(f"{'would write' if dry_run else 'wrote'}  {printable(change.path)}")
    for line in allowed.block(exemption).splitlines():
        click.echo(f"  {printable(line)}")
    click.echo(f"holds  {_moment(exemption)} ({_left(exemption)})")
    for entry in change.replaced:
        click.echo(f"instead of  until {_moment(entry)}: {printable(entry.reason)}")
    _print_expired(change, dry_run)
    for note in _notes(subject, merged, change.path, environ):
        click.echo(f"note   {printable(note)}")
    if subject.startswith("env:"):
        click.echo("next   open a new shell: one that is open goes by the policy it started with")
    if dry_run:
        return
    undo = [_command(entry) for entry in change.replaced]
    click.echo(f"undo   {undo[0] if undo else _revoke_command(subject)}")


def _print_expired(change: allowed.Change, dry_run: bool) -> None:
    for entry in change.expired:
        click.echo(f"{'would drop' if dry_run else 'dropped'}  {printable(entry.subject)}: expired")


def _notes(subject: str, merged: Merged, path: str, environ: Mapping[str, str]) -> list[str]:
    """What is odd about `subject`: that it changes nothing, or that the policy has it already."""
    out = []
    for item in merged.exceptions:
        if item.origin.path != path and _same(item.value.subject, subject) and not _over(item):
            out.append(f"{item.origin.where} allows it, too, until {_moment(item.value)}")
    kind, _, rest = subject.partition(":")
    if kind == "env":
        layers = read_all(candidates(paths.SYSTEM_POLICY, user_policy(environ), ()))
        policy = compile_layers(layers)
        keys = {provider.key_env for provider in policy.providers if provider.key_env}
        found = classify(rest, policy.variables, keys)[0]
        if found == "gateway_key":
            out.append(f"{rest} is the gateway's own key, which is never removed")
        elif found == "http_proxy":
            out.append(f"an HTTP proxy is allowed by its address: routeguard why {rest} shows it")
        elif found in _KEPT_KINDS:
            out.append(f"nothing is done to {rest}, so this changes nothing: routeguard why {rest}")
        elif rest in policy.remove:
            out.append(f"environment.remove in the policy names {rest}: it goes all the same")
    elif kind == "port" and rest == _gateway_port(merged):
        out.append("it is the port of the gateway on this machine, which is never a local proxy")
    return out


def _gateway_port(merged: Merged) -> str:
    host, port = address(merged.values["gateway.base_url"].value)
    return str(port) if is_loopback(host) else ""


# list --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    item: Value
    counts: bool

    @property
    def state(self) -> str:
        if _over(self.item):
            return "expired"
        return "active" if self.counts else "refused"


@allow.command(
    "list",
    epilog="""\b
Examples:
  routeguard allow list
  routeguard allow list --all        those that are over, or refused by the policy, too
  routeguard allow list --json | jq -r '.exceptions[] | select(.seconds_left < 3600).subject'""",
)
@click.option("--all", "everything", is_flag=True, help="Also what has expired or does not count.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def list_command(everything: bool, as_json: bool) -> int:
    """Show the exceptions that hold, from every layer, the first to end first."""
    environ = own_environment(os.environ)
    merged = _merged(environ)
    rows = _rows(environ, merged)
    shown = [row for row in rows if everything or row.state == "active"]
    if as_json:
        managed = allowed_file(user_policy(environ))
        content = [_json(row, managed) for row in shown]
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, "exceptions": content}, indent=2))
        return ExitCode.OK
    _print_rows(shown)
    refused = sum(row.state == "refused" for row in rows)
    choice = merged.values["user_exceptions"]
    if refused:
        click.echo(
            f'{refused} of your own do not count: user_exceptions = "refuse" in'
            f" {printable(choice.origin.where)}"
        )
    hidden = len(rows) - len(shown)
    if hidden and not everything:
        click.echo(f"{hidden} more expired or refused: routeguard allow list --all")
    return ExitCode.OK


def _rows(environ: Mapping[str, str], merged: Merged) -> list[_Row]:
    """Every exception of every layer, the first to end first."""
    rows = [_Row(item, counts=True) for item in merged.exceptions]
    counted = {(item.origin.path, item.origin.line) for item in merged.exceptions}
    for layer in read_all(candidates(paths.SYSTEM_POLICY, user_policy(environ), ())):
        single = merge([layer])
        for item in single.exceptions:
            if (item.origin.path, item.origin.line) not in counted:
                rows.append(_Row(item, counts=False))
    return sorted(rows, key=lambda row: end_of(row.item.value.until))


def _print_rows(rows: list[_Row]) -> None:
    if not rows:
        click.echo("no exceptions: what the policy says holds")
        return
    cells = [("SUBJECT", "LAYER", "UNTIL", "LEFT", "REASON")]
    for row in rows:
        entry = row.item.value
        left = _left(entry) if row.state == "active" else row.state
        cells.append(
            (
                printable(entry.subject),
                row.item.origin.layer,
                _moment(entry),
                left,
                printable(entry.reason.strip()),
            )
        )
    widths = [max(len(cell[column]) for cell in cells) for column in range(len(cells[0]))]
    for cell in cells:
        line = "  ".join(word.ljust(width) for word, width in zip(cell, widths, strict=True))
        click.echo(line.rstrip())


def _json(row: _Row, managed: str) -> dict[str, Any]:
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
        "until": _utc(end),
        "seconds_left": max(0, int(end - time.time())),
        "added": entry.added.isoformat() if entry.added is not None else "",
        "sha256": entry.sha256,
    }


# revoke ------------------------------------------------------------------------------------------


def _complete_subject(
    ctx: click.Context, param: click.Parameter, start: str
) -> list[CompletionItem]:
    try:
        entries = allowed.entries(own_environment(os.environ))
    except GuardError:
        return []
    return [
        CompletionItem(e.subject, help=e.reason) for e in entries if e.subject.startswith(start)
    ]


@allow.command(
    epilog="""\b
Examples:
  routeguard allow revoke port:11434
  routeguard allow revoke port 11434
  routeguard allow revoke --all          everything `routeguard allow` wrote"""
)
@click.argument("words", nargs=-1, metavar="[SUBJECT]", shell_complete=_complete_subject)
@click.option("--all", "everything", is_flag=True, help="Everything that `allow` wrote.")
@click.option("--dry-run", is_flag=True, help="Show what would be taken back, and write nothing.")
def revoke(words: tuple[str, ...], everything: bool, dry_run: bool) -> int:
    """Take back an exception that `routeguard allow` made.

    One that stands in a policy file is named with its line: that file is yours to edit.
    """
    if everything == bool(words):
        raise UsageError(
            "say which exception: SUBJECT, or --all for all of them",
            fix="routeguard allow list shows them",
        )
    environ = own_environment(os.environ)
    subject = "" if everything else _spoken(words)
    merged = _merged(environ)
    elsewhere = [
        item
        for item in merged.exceptions
        if item.origin.path != allowed_file(user_policy(environ))
        and _same(item.value.subject, subject)
        and not _over(item)
    ]
    change = allowed.revoke(environ, None if everything else [subject], write=not dry_run)
    if subject and not change.revoked:
        _not_ours(subject, elsewhere, change)
    for entry in change.revoked:
        if not dry_run:
            _record("revoked", environ, entry)
        click.echo(f"{'would revoke' if dry_run else 'revoked'}  {printable(entry.subject)}")
        if not dry_run:
            click.echo(f"undo     {_command(entry)}")
    _print_expired(change, dry_run)
    if not change.revoked:
        click.echo("nothing to revoke: `routeguard allow` wrote no exception that holds")
    for item in elsewhere:
        click.echo(
            f"note     {printable(item.origin.where)} allows it still, until {_moment(item.value)}"
        )
    return ExitCode.OK


def _spoken(words: tuple[str, ...]) -> str:
    """The subject that `words` name: `port:11434`, `port 11434`, or a path or port alone."""
    if len(words) == 2 and words[0] in KINDS:
        words = (f"{words[0]}:{words[1]}",)
    if len(words) != 1:
        raise UsageError(
            "one subject at a time", fix="routeguard allow revoke port:11434; --all for all"
        )
    kind, _, rest = words[0].partition(":")
    if kind == "file" and rest:
        return f"file:{os.path.realpath(rest)}"
    if kind in KINDS and rest:
        return words[0]
    meant = _meant(words[0])
    if meant:
        guessed, _, thing = meant.partition(" ")
        return _spoken((guessed, shlex.split(thing)[0]))
    return words[0]


def _not_ours(subject: str, elsewhere: list[Value], change: allowed.Change) -> None:
    """Raise UsageError: `allow` did not write `subject`, or it is over."""
    if looks_like_key(subject):
        _refuse_key()
    for item in elsewhere:
        whose = "the system policy" if item.origin.layer == "system" else "your policy"
        raise UsageError(
            f"{printable(subject)} is allowed by {whose}, not by `routeguard allow`",
            fix=f"edit {item.origin.where}",
        )
    if any(_same(entry.subject, subject) for entry in change.expired):
        return
    from difflib import get_close_matches

    near = get_close_matches(subject, [entry.subject for entry in change.kept], n=1)
    raise UsageError(
        f"no exception for {_shown(subject)}",
        fix=f"did you mean {near[0]}?" if near else "routeguard allow list shows those that hold",
    )


# Words -------------------------------------------------------------------------------------------


def _meant(word: str) -> str:
    """The kind and subject that `word` alone probably stands for, "" if that cannot be told."""
    kind, _, rest = word.partition(":")
    if kind in KINDS and rest:
        return f"{kind} {shlex.quote(rest)}"
    if re.fullmatch(r":?[0-9]{1,5}", word):
        return f"port {word.removeprefix(':')}"
    if word.startswith(("http://", "https://")):
        return f"server {shlex.quote(word)}"
    if re.fullmatch(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", word):
        return f"proxy {shlex.quote(word)}"
    if "/" in word or os.path.isfile(word):
        return f"file {shlex.quote(word)}"
    if re.fullmatch(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", word):
        return f"env {word}"
    return ""


def _refuse_key() -> Never:
    raise UsageError(
        "what was given looks like a key itself (not shown)",
        fix="name the variable: routeguard allow env OPENAI_API_KEY; and rotate the key, which"
        " may be in your shell's history",
    )


def _shown(text: str) -> str:
    """`text` as a message may repeat it."""
    if looks_like_key(text):
        return "(not shown, it looks like a key)"
    return repr(text if len(text) <= 60 else text[:59] + "…")


def _same(one: str, other: str) -> bool:
    return normal_subject(one) == normal_subject(other)


def _over(item: Value) -> bool:
    return end_of(item.value.until) < time.time()


def _moment(entry: Exemption) -> str:
    """The end of `entry` in this machine's time zone, to the minute."""
    until = entry.until
    if not isinstance(until, datetime):
        return f"{until.isoformat()} 23:59"
    try:
        return until.astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):
        # a moment of the year 9999 elsewhere can be in the year 10000 here
        return until.isoformat()


def _utc(end: float) -> str:
    """`end`, in Unix seconds, in ISO 8601; the last day there is for what lies behind it."""
    try:
        return datetime.fromtimestamp(int(end), UTC).isoformat()
    except (ValueError, OverflowError):
        # the end of the year 9999 here can be in the year 10000 in UTC
        return datetime.max.replace(microsecond=0, tzinfo=UTC).isoformat()


def _left(entry: Exemption) -> str:
    """The time that is left, in its two largest units, rounded up to the minute."""
    minutes = math.ceil((end_of(entry.until) - time.time()) / 60)
    parts = (("d", minutes // 1440), ("h", minutes // 60 % 24), ("m", minutes % 60))
    said = [f"{number}{unit}" for unit, number in parts if number]
    return " ".join(said[:2])


def _revoke_command(subject: str) -> str:
    return f"routeguard allow revoke {printable(shlex.quote(subject))}"


def _command(entry: Exemption) -> str:
    """The command that makes `entry` again."""
    kind, _, rest = entry.subject.partition(":")
    words = ("routeguard", "allow", kind, rest, "--until", entry.until.isoformat())
    return printable(shlex.join((*words, "--reason", entry.reason)))
