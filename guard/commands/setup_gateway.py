"""The part of `routeguard setup` about the gateway: which one, whose key, providers, models."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from guard.agents.keys import unusable_key
from guard.agents.registry import AGENTS
from guard.catalog.key_shapes import looks_like_key
from guard.commands.portkey_sync import PolicyEdit, show_change
from guard.errors import GuardError, PolicyError, UsageError, either, printable
from guard.install import answers, keyring
from guard.install.answers import PLAIN_KEY
from guard.launch.keys import Key, find_key
from guard.launch.process import own_environment
from guard.policy.accepted import SLUG
from guard.policy.model import MAX_ITEMS
from guard.policy.places import user_policy
from guard.portkey import policy_edit, shapes, wishes
from guard.portkey.account import Reply
from guard.portkey.routing import sentence
from guard.portkey.session import read_account
from guard.report.terminal import Progress, show, show_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.policy.values import CompiledPolicy
    from guard.portkey.account import Account

_MANY = 60
_SHOWN = 12
_SLUG = re.compile(SLUG)
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,199}")


@dataclass(frozen=True, slots=True)
class Given:
    """The answers that the command line gives; "" and () are no answer."""

    key: str = ""
    gateway: str = ""
    layout: wishes.Layout | None = None
    providers: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether one of them was given."""
        return bool(self.key or self.gateway or self.layout or self.providers)


@dataclass(frozen=True, slots=True)
class Decided:
    """What is to be written: the change of the policy (None: none), and a key for the keyring.

    `to_set` are the variables that the new policy reads keys from and that are not set.
    """

    change: PolicyEdit | None = None
    to_set: tuple[str, ...] = ()
    key_name: str = ""
    key_value: str = dataclasses.field(default="", repr=False)

    @property
    def writes(self) -> bool:
        """Whether there is anything to write."""
        return self.change is not None or bool(self.key_name)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the key comes from: a table of the policy, and the value where it was typed in."""

    table: Mapping[str, str | list[str]]
    value: str = dataclasses.field(default="", repr=False)


def decide(given: Given, python: str, *, ask: bool) -> Decided:
    """Ask (or take what is given) about the gateway, and show what changes in the policy.

    Without `ask` the gateway itself is asked only where a key is there, and a gateway that does
    not answer is said and nothing more. `python` reads a key out of the keyring. Raises
    UsageError for an answer that cannot be one, PolicyError for a policy that cannot be edited.
    """
    environ = own_environment(os.environ)
    path = user_policy(environ)
    text = policy_edit.read(path)
    now = policy_edit.tried(text, path, wishes.Wish())
    if given.gateway:
        try:
            _try_gateway(given.gateway, now, text, path)
        except PolicyError as error:
            why = _why_not(error)
            raise UsageError(
                f"--gateway: {why[:1].lower()}{why[1:]}", fix="routeguard setup --help"
            ) from None
    source = _key(given.key, now, environ, python, ask=ask)
    base_url = given.gateway or (_ask_gateway(now, text, path) if ask else "")
    wished = wishes.Wish(base_url=base_url, key=source.table)
    policy = policy_edit.tried(
        policy_edit.edited(text, wished, now) if given.any or ask else text, path, wished
    )
    found = None
    try:
        entry = policy.default_provider
        # without a question: a command of the policy may ask a person
        if ask or given.any or not (entry.key_command or entry.lacks_key(environ)):
            found = _providers_of(policy, environ, given, source, ask=ask)
    except UsageError:
        raise
    except GuardError as error:
        show_error(error)
        if getattr(error, "kind", "") != "open-source-gateway":
            say("The providers are left for later: routeguard portkey sync")
    if found is not None:
        wished = dataclasses.replace(found, base_url=base_url, key=source.table)
    to_set = _to_set(wished, policy, environ)
    if not (wished.entries or wished.base_url or wished.key):
        return Decided(to_set=to_set)
    change = show_change(wished, now, environ)
    name = keyring.stored_name([str(word) for word in source.table.get("command", ())])
    return Decided(change, to_set, name if source.value else "", source.value)


def _to_set(
    wished: wishes.Wish, policy: CompiledPolicy, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """The variables that keys are read from and that are not set or empty."""
    used = [entry.key_env for entry in wished.entries if entry.key_env]
    if len(used) < len(wished.entries) or not wished.entries:
        entry = policy.default_provider
        used += [entry.key_env] * (not entry.key_command)
    return tuple(sorted({name for name in used if name and not environ.get(name, "").strip()}))


def _providers_of(
    policy: CompiledPolicy,
    environ: Mapping[str, str],
    given: Given,
    source: _Source,
    *,
    ask: bool,
) -> wishes.Wish | None:
    """The entries for what the key reaches; None where it shows none."""
    if source.value:
        key = Key(policy.default_provider, "what you typed", source.value)
    else:
        key = find_key(policy, environ)
    say(f"The key comes from {key.source} ({key.shown}) and goes to {policy.base_url} alone.")
    with Progress("asking the gateway") as progress:
        account = read_account(policy, environ, key, refresh=True, progress=progress)
    say(sentence(account))
    layout = given.layout or wishes.layout_of(policy)
    if not ask:
        return _without_asking(account, policy, layout, given.providers)
    found = _with_slugs(account)
    if found is None:
        return None
    layout = given.layout or _layout(policy)
    chosen = given.providers
    keys: dict[str, str] = {}
    if layout == "each":
        chosen = chosen or _providers(found)
        keys = _keys(wishes.wish(found, policy, layout=layout, providers=chosen).entries)
    words = _words(found, chosen)
    wished = wishes.wish(found, policy, layout=layout, providers=chosen, words=words, keys=keys)
    return _with_default(wished, policy, environ, layout)


def _without_asking(
    account: Account, policy: CompiledPolicy, layout: wishes.Layout, providers: tuple[str, ...]
) -> wishes.Wish | None:
    try:
        return wishes.wish(account, policy, layout=layout, providers=providers)
    except UsageError as error:
        if providers:
            raise
        say(f"No providers were written: {error.why or error.what}")
        return None


def _key(
    given: str, now: CompiledPolicy, environ: Mapping[str, str], python: str, *, ask: bool
) -> _Source:
    """Where the gateway key comes from. Raises UsageError for a source that there is not."""
    if given or not ask:
        return _given_key(given, environ, python, ask=ask)
    entry = now.default_provider
    name = entry.key_env or PLAIN_KEY
    there = "set in this shell" if environ.get(name) else "not set in this shell"
    why_not = keyring.why_not()
    say("")
    say("Where is your Portkey API key? It is never written into a file.")
    say(f"  1  the environment variable {name} ({there})")
    say(f"  2  the system's keyring: {why_not or 'you type it once, hidden'}")
    say("  3  a command that prints it, such as: op read op://dev/portkey/key")
    choices = ["1", "3"] if why_not else ["1", "2", "3"]
    default = "1"
    if entry.key_command:
        choices, default = ["0", *choices], "0"
        say(f"  0  as your policy has it: {shlex.join(entry.key_command)}")
    answer = click.prompt("Which", type=click.Choice(choices), default=default, err=True)
    if answer == "0":
        return _Source({})
    if answer == "1":
        return _Source({"env": name} if entry.key_command or name != PLAIN_KEY else {})
    if answer == "2":
        return _from_keyring(python, environ, ask=True)
    while True:
        typed = click.prompt("Command", err=True)
        try:
            return _Source({"command": answers.command(typed)})
        except UsageError as error:
            say(error.what)


def _given_key(given: str, environ: Mapping[str, str], python: str, *, ask: bool) -> _Source:
    if not given:
        return _Source({})
    kind, words = answers.key_source(given)
    if kind == "env":
        return _Source({"env": words[0]})
    if kind == "command":
        return _Source({"command": words})
    why_not = keyring.why_not()
    if why_not:
        raise UsageError(
            f"--key-from keyring: {why_not}",
            fix=either(
                f"--key-from env:{PLAIN_KEY}",
                "--key-from 'command:op read op://dev/portkey/key'",
            ),
        )
    return _from_keyring(python, environ, ask=ask)


def _from_keyring(python: str, environ: Mapping[str, str], *, ask: bool) -> _Source:
    """The key of the keyring: typed now, or moved there from the environment."""
    table: dict[str, str | list[str]] = {"command": keyring.read_command(python, PLAIN_KEY)}
    value = environ.get(PLAIN_KEY, "")
    if not ask:
        # without one, what is stored already counts
        return _Source(table, value)
    while True:
        hidden = click.prompt(
            "Portkey API key (hidden)", hide_input=True, default=value, show_default=False, err=True
        )
        wrong = unusable_key(hidden) if hidden.strip() else "is empty"
        if not wrong:
            return _Source(table, hidden)
        say(f"That {wrong}.")


def _ask_gateway(now: CompiledPolicy, text: str, path: str) -> str:
    while True:
        typed: str = click.prompt("Gateway URL", default=now.base_url, err=True).strip()
        if typed == now.base_url:
            return ""
        try:
            _try_gateway(typed, now, text, path)
        except PolicyError as error:
            say(_why_not(error))
            continue
        return typed


def _try_gateway(base_url: str, now: CompiledPolicy, text: str, path: str) -> None:
    """Raise PolicyError where the policy could not hold `base_url`."""
    wished = wishes.Wish(base_url=base_url)
    policy_edit.tried(policy_edit.edited(text, wished, now), path, wished)


def _why_not(error: PolicyError) -> str:
    """What the policy says of a base URL that was typed and is in no file."""
    return error.why.replace("gateway.base_url: cannot be used", "That cannot be the gateway", 1)


def say(text: str) -> None:
    """One line for the person, on stderr."""
    show(printable(text), err=True)


def _with_slugs(account: Account) -> Account | None:
    """The account, with slugs that the person knows where the key may not see them.

    None where the person knows none either: an open-source gateway has no list of providers.
    """
    if account.providers.value:
        return account
    say(
        "There is no provider in this workspace yet; one that you are about to add can be named."
        if account.providers.known
        else "The providers are not visible to this key; the dashboard has their slugs (Providers)."
    )
    slugs = _asked("Slugs, such as openrouter-main, separated by spaces (Enter: none)", _SLUG)
    names: list[shapes.ModelRow] = list(account.models.value or ())
    for slug in slugs:
        wanted = _asked(f"Models of @{slug}, separated by spaces (Enter: none)", _MODEL)
        names += [shapes.ModelRow(id=f"@{slug}/{name.removeprefix(slug + '/')}") for name in wanted]
    if not slugs or not names:
        say("No provider is written; later: routeguard portkey sync")
        return None
    return dataclasses.replace(
        account,
        providers=Reply("known", [shapes.ProviderRow(slug=slug) for slug in slugs]),
        models=Reply("known", names),
    )


def _asked(question: str, pattern: re.Pattern[str]) -> list[str]:
    """The words of an answer, each of which matches `pattern`, without their @; [] for none."""
    while True:
        typed = click.prompt(question, default="", show_default=False, err=True).replace(",", " ")
        words = list(dict.fromkeys(word.removeprefix("@") for word in typed.split()))
        if not any(map(looks_like_key, words)) and all(map(pattern.fullmatch, words)):
            return words
        say("Names as the dashboard shows them, never a key.")


def _layout(policy: CompiledPolicy) -> wishes.Layout:
    say("")
    say("How should the policy list the providers?")
    say("  1  one entry for all: models are named @slug/model; a config on the key may route")
    say("  2  one entry for each provider: portkey-openrouter/…, portkey-together/…")
    now = "2" if wishes.layout_of(policy) == "each" else "1"
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


def _keys(entries: tuple[wishes.PolicyEntry, ...]) -> dict[str, str]:
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
            if answers.names_variable(typed):
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
    wished: wishes.Wish, policy: CompiledPolicy, environ: Mapping[str, str], layout: wishes.Layout
) -> wishes.Wish:
    """`wished` with the default model that the person chooses, where the policy has none yet."""
    offers = [f"{entry.name}/{name}" for entry in wished.entries for name in entry.models]
    if policy.default_model in offers or _says_default(environ):
        return wished
    for offer in offers[:_SHOWN]:
        say(f"  {offer}")
    if len(offers) > _SHOWN:
        say(f"  … and {len(offers) - _SHOWN} more")
    # one entry for all leaves the provider to the gateway, and its config may know the model
    allowed = [policy.default_model] if layout == "one" and not wished.default else []
    suggested = wished.default or next(iter(allowed), "")
    suggested = suggested or wishes.proposed(wished.entries, policy.default_model)
    while True:
        typed = click.prompt("Model of a launch that names none", default=suggested, err=True)
        if typed in offers or typed in allowed:
            break
        say("One of the models that would be written, as ENTRY/MODEL.")
    chosen = "" if typed == policy.default_model else typed
    return dataclasses.replace(wished, default=chosen)


def _says_default(environ: Mapping[str, str]) -> bool:
    """Whether the user's own policy names a default model: it stays."""
    try:
        gateway = tomllib.loads(policy_edit.read(user_policy(environ))).get("gateway")
    except tomllib.TOMLDecodeError:
        return False
    return isinstance(gateway, dict) and bool(gateway.get("default"))
