"""What the words of commands can be, for the shells' completion. Asks no network and runs nothing.

A mistake in here would be a traceback in the middle of somebody's command line, so whatever goes
wrong completes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from guard.catalog import entries as catalogue
from guard.rule_table import RULES

if TYPE_CHECKING:
    from guard.portkey.account import Account

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completer(found: Callable[[], Iterable[tuple[str, str]]]) -> Completer:
    """`found` (words with their descriptions) as click asks for it."""

    @wraps(found)
    def complete(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
        try:
            words = dict(found())
        except Exception:
            return []
        return [CompletionItem(w, help=text) for w, text in words.items() if w.startswith(start)]

    return complete


def rules(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """Rules by id, or by name where `start` begins one; after a comma as well."""
    before, comma, start = start.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{word}", help=rule.title)
        for rule in RULES.values()
        for word in (rule.id, rule.name)
        if word.startswith(start) and (start or word == rule.id)
    ]


@_completer
def branches() -> Iterable[tuple[str, str]]:
    """HEAD and the branches of the repository around, as its files name them."""
    from guard.files.around import worktree
    from guard.files.read import read_bytes

    yield "HEAD", "only what is not committed yet"
    folder = os.path.join(worktree(os.getcwd()), ".git")
    found = []
    packed = read_bytes(os.path.join(folder, "packed-refs"), 1 << 20, cut=True) or b""
    for line in packed.decode("utf-8", "replace").splitlines():
        found.append(line.rpartition(" ")[2])
    for kind in ("refs/heads", "refs/remotes"):
        for at, _, names in os.walk(os.path.join(folder, kind)):
            found += [os.path.relpath(os.path.join(at, name), folder) for name in names]
    for name in sorted(set(found)):
        for kind in ("refs/heads/", "refs/remotes/"):
            if name.startswith(kind):
                yield name.removeprefix(kind), ""


@_completer
def variables() -> Iterable[tuple[str, str]]:
    """Names that are set here and those of the catalogue; no value is looked at."""
    known = catalogue.variables()
    for name in sorted({*os.environ, *known}):
        yield name, known[name].owner if name in known else ""


@_completer
def credentials() -> Iterable[tuple[str, str]]:
    """Names in the environment that look like credentials; no value is looked at."""
    for name in sorted(os.environ):
        if re.search(r"KEY|TOKEN|BASE_URL|SECRET", name):
            yield name, ""


@_completer
def agents() -> Iterable[tuple[str, str]]:
    """The ids of the agents that cannot be guarded."""
    from guard.catalog.agents import others

    for agent in others():
        yield agent.id, agent.name


@_completer
def proxies() -> Iterable[tuple[str, str]]:
    """The ports and ids of the local proxies that listen now."""
    from guard.launch.local_proxies import address
    from guard.launch.process import load_policy
    from guard.proxies.view import view_listeners

    for one in view_listeners(load_policy(os.environ), containers=False).seen:
        if one.found.identified:
            yield str(one.found.port), one.found.name
            yield one.found.proxy, address(one.found)


@_completer
def ports() -> Iterable[tuple[str, str]]:
    """The ports of the catalogue, with whose they are."""
    from guard.catalog import local_proxies

    for proxy in local_proxies.proxies():
        for port in proxy.ports:
            yield str(port), proxy.name


@_completer
def exceptions() -> Iterable[tuple[str, str]]:
    """The subjects of what `routeguard allow` wrote."""
    from guard.launch.process import own_environment
    from guard.policy import allowed

    for entry in allowed.entries(own_environment(os.environ)):
        yield entry.subject, entry.reason


@_completer
def entries() -> Iterable[tuple[str, str]]:
    """The provider entries of the policy."""
    from guard.launch.process import load_policy

    for entry in load_policy(os.environ).providers:
        yield entry.name, entry.slug


@_completer
def providers() -> Iterable[tuple[str, str]]:
    """The providers of the key, as they were last seen."""
    account = _account()
    for row in (account and account.providers.value) or ():
        yield row.slug, row.provider or ""


@_completer
def models() -> Iterable[tuple[str, str]]:
    """The models of the key, as they were last seen."""
    account = _account()
    for row in (account and account.models.value) or ():
        yield row.id, ""


def _account() -> Account | None:
    """What was last seen with the key of the default model; a command for a key is not run."""
    from guard.launch.process import load_policy, own_environment
    from guard.portkey import store

    environ = own_environment(os.environ)
    policy = load_policy(environ)
    key = environ.get(policy.default_provider.key_env, "")
    return store.load(policy.base_url, key, environ) if key else None
