"""`routeguard portkey setup`: the policy for a gateway key, asked step by step."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from typing import TYPE_CHECKING

import click

from guard.agents.registry import AGENTS
from guard.catalog.key_shapes import looks_like_key
from guard.commands.portkey import entry_option, here
from guard.commands.portkey_sync import offer
from guard.errors import ExitCode, UsageError, printable
from guard.policy.model import MAX_ITEMS
from guard.policy.places import user_policy
from guard.portkey import shapes
from guard.portkey import sync as edits
from guard.portkey.account import Seen
from guard.portkey.routing import sentence
from guard.portkey.session import find_key, look
from guard.report.terminal import Progress, can_ask, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.policy.values import CompiledPolicy
    from guard.portkey.account import Account

_MANY = 60
_SHOWN = 12
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,199}")


@click.command(
    epilog="""\b
Examples:
  routeguard portkey setup

\b
It asks; nothing is written before the change was shown and confirmed. For scripts there is
`routeguard portkey sync`.
Exit status: 0 written, 1 the gateway says no, 2 usage (or no terminal), 3 policy, 126 refused,
130 not confirmed."""
)
@entry_option
def setup(entry: str) -> int:
    """Set up your policy for the gateway key, step by step.

    One key with smart routing in Portkey's dashboard, or one entry for each provider, with one
    key for all or a key of its own for each: portkey-openrouter, portkey-together, and so on.
    """
    policy, environ = here()
    if not can_ask():
        raise UsageError(
            "setup asks, and there is no terminal", fix="routeguard portkey sync --yes"
        )
    key = find_key(policy, environ, entry)
    say(f"The key comes from {key.source} ({key.shown}) and goes to {policy.base_url} alone.")
    with Progress("asking the gateway") as progress:
        account = look(policy, environ, key, refresh=True, progress=progress)
    say(sentence(account))
    account = _with_slugs(account)
    layout = _layout(policy)
    chosen: tuple[str, ...] = ()
    keys: dict[str, str] = {}
    if layout == "each":
        chosen = _providers(account)
        keys = _keys(edits.wish(account, policy, layout=layout, providers=chosen).entries)
    words = _words(account, chosen)
    wished = edits.wish(account, policy, layout=layout, providers=chosen, words=words, keys=keys)
    wished = _with_default(wished, policy, environ)
    status = offer(wished, policy, environ, dry_run=False, yes=False)
    if status == ExitCode.OK:
        say(f"Next: routeguard explain -- {AGENTS[0].example}; routeguard verify")
        for variable in sorted(set(keys.values()) - set(environ)):
            say(f"      export {variable}=…   (its Portkey key; it is not set yet)")
    return status


def say(text: str) -> None:
    """One line for the person, on stderr."""
    show(printable(text), err=True)


def _with_slugs(account: Account) -> Account:
    """The account, with slugs that the person knows where the key may not see them."""
    if account.providers.value:
        return account
    say(
        "There is no provider in this workspace yet; one that you are about to add can be named."
        if account.providers.known
        else "The providers are not visible to this key; the dashboard has their slugs (Providers)."
    )
    slugs = _asked("Slugs, separated by spaces (such as openrouter-main)", _SLUG)
    names: list[shapes.ModelRow] = list(account.models.value or ())
    for slug in slugs:
        wanted = _asked(f"Models of @{slug}, separated by spaces", _MODEL)
        names += [shapes.ModelRow(id=f"@{slug}/{name.removeprefix(slug + '/')}") for name in wanted]
    return dataclasses.replace(
        account,
        providers=Seen("known", [shapes.ProviderRow(slug=slug) for slug in slugs]),
        models=Seen("known", names),
    )


def _asked(question: str, pattern: re.Pattern[str]) -> list[str]:
    """The words of an answer, each of which matches `pattern`, without their @."""
    while True:
        typed = click.prompt(question, err=True).replace(",", " ")
        words = list(dict.fromkeys(word.removeprefix("@") for word in typed.split()))
        if words and not any(map(looks_like_key, words)) and all(map(pattern.fullmatch, words)):
            return words
        say("Names as the dashboard shows them, never a key.")


def _layout(policy: CompiledPolicy) -> edits.Layout:
    say("")
    say("  1  one entry for all: models are named @slug/model; a config on the key may route")
    say("  2  one entry for each provider: portkey-openrouter/…, portkey-together/…")
    now = "2" if edits.layout_of(policy) == "each" else "1"
    answer = click.prompt("Which", type=click.Choice(["1", "2"]), default=now, err=True)
    return "each" if answer == "2" else "one"


def _providers(account: Account) -> tuple[str, ...]:
    """The slugs of the providers that get an entry; () means all, and there may be none."""
    rows = [row for row in account.providers.value or () if row.status in (None, "active")]
    if not rows:
        return ()
    say("")
    for number, row in enumerate(rows, 1):
        say(f"  {number:>2}  @{row.slug}" + (f"   ({row.provider})" if row.provider else ""))
    while True:
        typed = click.prompt("Which, by number, separated by spaces", default="all", err=True)
        if typed.strip() == "all":
            return tuple(row.slug for row in rows)
        numbers = typed.replace(",", " ").split()
        accepted = {str(number) for number in range(1, len(rows) + 1)}
        if numbers and accepted.issuperset(numbers):
            return tuple(dict.fromkeys(rows[int(n) - 1].slug for n in numbers))
        say(f"Numbers from 1 to {len(rows)}, or all.")


def _keys(entries: tuple[edits.Entry, ...]) -> dict[str, str]:
    """The variable of each provider's own key, by slug; empty where one key serves all."""
    for entry in entries:
        say(f"  {entry.name}/…   for @{entry.slug}")
    if not click.confirm("Has each of them a Portkey key of its own?", default=False, err=True):
        return {}
    keys = {}
    for entry in entries:
        suggested = re.sub(r"[^A-Z0-9]+", "_", entry.name.upper()) + "_API_KEY"
        while True:
            typed = click.prompt(
                f"Variable that holds the key of @{entry.slug}", default=suggested, err=True
            )
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", typed) and not looks_like_key(typed):
                break
            say("The name of a variable, never a key itself.")
        keys[entry.slug] = typed
    return keys


def _words(account: Account, chosen: tuple[str, ...]) -> tuple[str, ...]:
    listed = [row.id for row in account.models.value or () if not chosen or row.provider in chosen]
    if len(listed) <= _MANY:
        return ()
    say(f"There are {len(listed)} models; {AGENTS[0].title} lists all that are written.")
    while True:
        typed: str = click.prompt(
            "Only those whose names hold these words (Enter: all)",
            default="",
            show_default=False,
            err=True,
        )
        words = tuple(typed.split())
        count = sum(all(word.lower() in name.lower() for word in words) for name in listed)
        if count > MAX_ITEMS:
            say(f"{count} are too many: one entry of the policy holds {MAX_ITEMS}.")
        elif count:
            say(f"{count} of them.")
            return words
        else:
            say("None holds all of them.")


def _with_default(
    wished: edits.Wish, policy: CompiledPolicy, environ: Mapping[str, str]
) -> edits.Wish:
    """`wished` with the default model that the person chooses, where the policy has none yet."""
    offers = [f"{entry.name}/{name}" for entry in wished.entries for name in entry.models]
    if policy.default_model in offers or _says_default(environ):
        return wished
    for offer_ in offers[:_SHOWN]:
        say(f"  {offer_}")
    if len(offers) > _SHOWN:
        say(f"  … and {len(offers) - _SHOWN} more")
    suggested = wished.default or policy.default_model
    while True:
        typed = click.prompt("Model of a launch that names none", default=suggested, err=True)
        if typed in offers or typed == policy.default_model:
            break
        say("One of the models that would be written, as ENTRY/MODEL.")
    chosen = "" if typed == policy.default_model else typed
    return dataclasses.replace(wished, default=chosen)


def _says_default(environ: Mapping[str, str]) -> bool:
    """Whether the user's own policy names a default model: it stays."""
    try:
        gateway = tomllib.loads(edits.read(user_policy(environ))).get("gateway")
    except tomllib.TOMLDecodeError:
        return False
    return isinstance(gateway, dict) and bool(gateway.get("default"))
