"""`routeguard allow revoke`: take an exception back."""

from __future__ import annotations

import os
import shlex
from difflib import get_close_matches

import click

from guard.catalog.key_shapes import is_key
from guard.commands import complete
from guard.commands.allow import ends, expired, record
from guard.errors import ExitCode, UsageError, printable
from guard.launch.process import own_environment
from guard.policy import allowed, exceptions, spans, subjects
from guard.policy.merge import Value, merge
from guard.policy.places import allowed_file, user_policy
from guard.policy.subjects import named, refuse_key
from guard.policy.values import normal_subject
from guard.report.table import fields
from guard.report.terminal import show
from guard.report.words import short


@click.command(
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
            record("revoked", environ, entry)
            rows.append(("undo", subjects.command(entry)))
    rows += expired(change, dry_run)
    if not change.revoked:
        rows.append(("nothing", "`routeguard allow` made no exception that is still active"))
    for item in others:
        rows.append(("note", f"{short(item.origin.where)} still allows it until {ends(item)}"))
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
