"""What a rule says about a call of opencode in a file.

It is read with the launch's own grammar and resolved by the launch's own router, so that a commit
fails for what a launch would refuse, with the same id and the same words.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from guard.agents.kinds import GUARDED, LOCAL, REMOTE, SERVER
from guard.agents.opencode.adapter import AGENT
from guard.agents.opencode.arguments import other_servers, rewrite
from guard.agents.opencode.grammar import read as read_arguments
from guard.agents.opencode.route import Router
from guard.findings import Finding
from guard.rules.agents import calling
from guard.rules.files.scope import Scope, Span, between
from guard.sources.positions.shell_calls import Call, Script
from guard.sources.shell_commands import Word

if TYPE_CHECKING:
    from guard.policy.values import CompiledPolicy

ID = AGENT.id
TITLE = AGENT.title
NEEDLES: tuple[bytes, ...] = (b"opencode",)
_NO_MODEL = "no model named: routeguard uses {}, an unguarded machine its own default"
_NO_SUCH_OPTION = "--provider is not an opencode option: only routeguard reads it, as {}"
_NO_PROVIDER = "the model is named without the gateway's provider: only routeguard makes it {}"


@cache
def _foreign() -> frozenset[str]:
    from guard.catalog.entries import providers

    return frozenset(providers())


def router(policy: CompiledPolicy) -> Router:
    """The launch's router, for names as they stand in files."""
    return Router(policy, _ids(policy), _foreign())


def _ids(policy: CompiledPolicy) -> dict[str, str]:
    return {p.name: p.name for p in policy.providers}


def starts(call: Call, script: Script) -> bool:
    """Whether `call` starts opencode."""
    return calling.starts(AGENT, call, script)


def check(scope: Scope, call: Call, script: Script) -> Iterator[Finding]:
    """Findings for one opencode call, each at the word that it is about."""
    policy = scope.policy
    words = call.words[1:]
    known = [script.value(word) for word in words]
    argv = [
        word.shown if value is None else value for word, value in zip(words, known, strict=True)
    ]
    invocation = read_arguments(argv)
    kind = invocation.kind
    name = call.words[0]
    if kind not in (GUARDED, SERVER, REMOTE, LOCAL):
        return
    for finding in other_servers(invocation, policy, time.time()):
        options = invocation.named("attach") if finding.rule == "RG202" else []
        if options:
            place = _over(words[options[0].start : options[0].end])
        else:
            place = _over([name, *words[:1]])
        yield scope.placed(finding, place)
    if kind != GUARDED or not invocation.command.model or invocation.named("attach"):
        return
    models = invocation.named("model", "m")
    providers = invocation.named("provider")
    named = sorted((*models, *providers), key=lambda option: option.start)
    about = [word for o in named for word in words[o.start : o.end]]
    if any(known[i] is None for o in named for i in range(o.start, o.end)):
        yield from _partly_known(scope, [word for word in about if not word.literal])
        return
    result = rewrite(invocation, router(policy), _ids(policy))
    place = _over(about or [name])
    if result.findings:
        yield from (scope.placed(finding, place) for finding in result.findings)
        return
    if not models and not providers:
        if any(word.splits and not word.literal for word in words):
            return  # `opencode "$@"`: who calls this script names the model
        subject, what = "opencode", _NO_MODEL
    elif providers:
        subject, what = "--provider", _NO_SUCH_OPTION
    else:
        subject = models[-1].value or ""
        if subject.partition("/")[0] in _ids(policy):
            return
        subject, what = subject or "-m", _NO_PROVIDER
    fix = f"write -m {result.route}"
    yield scope.finding("RG206", place, subject, what.format(result.route), fix=fix)


def _partly_known(scope: Scope, words: list[Word]) -> Iterator[Finding]:
    """For `-m anthropic/$MODEL`, of which only the provider is known."""
    for word in words:
        shown = word.shown.removeprefix("--model=").removeprefix("-m=").removeprefix("--m=")
        head, slash, _ = shown.partition("/")
        if not slash or any(c in head for c in "$`("):
            continue
        resolved = router(scope.policy).resolve(f"{head}/MODEL", None)
        if isinstance(resolved, Finding):
            yield scope.placed(resolved, word)


def _over(words: list[Word]) -> Span:
    return between(words[0], words[-1])
