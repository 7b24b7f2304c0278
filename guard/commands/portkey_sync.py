"""`routeguard portkey sync`: what was found, written into the user's policy."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

import click

from guard import paths
from guard.commands import complete
from guard.commands.portkey import entry_option, here
from guard.errors import ExitCode, UsageError, printable
from guard.launch.keys import find_key
from guard.policy.places import user_policy
from guard.portkey import policy_edit, wishes
from guard.portkey.session import read_account
from guard.report.terminal import Progress, can_ask, paint, show
from guard.report.words import short

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.policy.values import CompiledPolicy
    from guard.report.terminal import Meaning

_MEANINGS: dict[str, Meaning] = {"+": "good", "-": "bad", "@": "note"}


@click.command(
    epilog="""\b
Examples:
  routeguard portkey sync --dry-run                 only show what would change
  routeguard portkey sync                           one entry, models named @slug/model
  routeguard portkey sync --layout each             one entry per provider: portkey-openrouter, …
  routeguard portkey sync gpt mini --provider openai-prod --yes

A model that a probe found not to work is left out. Comments and everything else in the policy
stay; the old file is kept beside it, and the command that restores it is printed.

Exit status: 0 written or nothing to do, 1 the gateway says no, 2 usage, 3 policy, 126 refused."""
)
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option(
    "--layout",
    type=click.Choice(["one", "each"]),
    default=None,
    help="One entry for all providers, or one for each.  [default: as the policy has it]",
)
@click.option(
    "--provider",
    "providers",
    multiple=True,
    metavar="SLUG",
    shell_complete=complete.providers,
    help="Only this provider.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@entry_option
def sync(
    words: tuple[str, ...],
    layout: wishes.Layout | None,
    providers: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    entry: str,
) -> int:
    """Write the providers and models of your key into your policy.

    Afterwards the list of models in the agent shows what this key reaches. WORDs limit
    the models to those whose names hold all of them.
    """
    policy, environ = here()
    key = find_key(policy, environ, entry)
    with Progress("asking the gateway") as progress:
        account = read_account(policy, environ, key, refresh=True, progress=progress)
    wished = wishes.wish(
        account,
        policy,
        layout=layout or wishes.layout_of(policy),
        providers=providers,
        words=words,
    )
    return offer(wished, policy, environ, dry_run=dry_run, yes=yes)


def offer(
    wished: wishes.Wish,
    policy: CompiledPolicy,
    environ: Mapping[str, str],
    *,
    dry_run: bool,
    yes: bool,
) -> int:
    """Show what `wished` changes in the user's policy, ask, and write it; the exit status."""
    change = show_change(wished, policy, environ)
    if change is None or dry_run:
        return ExitCode.OK
    if not yes:
        if not can_ask():
            raise UsageError(
                "nothing was written: there is no terminal to ask on",
                fix="--yes writes, --dry-run shows what would change",
            )
        shown = printable(short(user_policy(environ)))
        click.confirm(f"Write it to {shown}?", abort=True, err=True)
    write_change(change, environ)
    return ExitCode.OK


class PolicyEdit(NamedTuple):
    """The text of the user's policy as it is and as it will be."""

    before: str
    after: str


def show_change(
    wished: wishes.Wish, policy: CompiledPolicy, environ: Mapping[str, str]
) -> PolicyEdit | None:
    """Show what `wished` changes in the user's policy; None if nothing.

    Raises PolicyError or UsageError if the policy would not hold afterwards.
    """
    path = user_policy(environ)
    before = policy_edit.read(path)
    after = policy_edit.edited(before, wished, policy)
    for note in wished.notes:
        show(f"note: {printable(note)}", err=True)
    changes = policy_edit.diff(before, after, path)
    if not changes:
        show(f"{printable(short(path))} is up to date", err=True)
        return None
    policy_edit.tried(after, path, wished)
    for line in changes:
        meaning = _MEANINGS.get(line[:1])
        show(paint(printable(line), meaning) if meaning else printable(line), whole=True)
    return PolicyEdit(before, after)


def write_change(change: PolicyEdit, environ: Mapping[str, str]) -> None:
    """Write the user's policy, and say how to undo it. Raises PolicyError."""
    path = user_policy(environ)
    paths.private_directory(os.path.dirname(path))
    kept = policy_edit.write(path, *change)
    show(f"wrote {printable(short(path))}", err=True)
    # where the policy is a link, the file behind it was written
    written = shlex.quote(os.path.realpath(path))
    undo = f"mv {shlex.quote(kept)} {written}" if kept else f"rm {written}"
    show(f"undo: {printable(undo)}", err=True)
