"""What a rule says about a shell text in a file: agent calls, local proxies, variables.

What is said about the call of an agent is in guard/rules/agents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from guard.catalog import local_proxies
from guard.errors import either
from guard.findings import Finding, allow
from guard.proxies import commands, starts
from guard.rules.agents.calls import AGENTS
from guard.rules.files import variables, written
from guard.rules.files.scope import Placed, Scope, Span, between
from guard.sources.positions.shell_calls import Call, Script, read
from guard.sources.positions.text import Text
from guard.sources.shell_commands import MAX_CHARACTERS, UnparsedError

if TYPE_CHECKING:
    from guard.policy.values import CompiledPolicy
    from guard.rules.needles import Needle


@cache
def needles() -> tuple[Needle, ...]:
    """Needles of which every shell text with a finding holds one."""
    return (*program_needles(), *variables.needles())


@cache
def program_needles() -> tuple[bytes, ...]:
    """Needles of which every call with a finding holds one."""
    return (
        *(needle for agent in AGENTS for needle in agent.NEEDLES),
        *sorted(word.encode() for word in local_proxies.words()),
    )


class ShellTexts:
    """What the detectors of files with shell texts in them have in common."""

    @property
    def needles(self) -> tuple[Needle, ...]:
        """Those of a shell text."""
        return needles()


MAX_SHELL = 4 * MAX_CHARACTERS
"""Characters of the shell texts of one file, which a YAML alias can name again and again."""


def check_texts(
    scope: Scope,
    texts: Iterable[Text],
    *,
    read: Callable[[Text], Script] = read,
) -> Iterator[Finding]:
    """Findings in the shell texts of one file, each of which `read` reads."""
    script = Script()
    total = 0
    for text in texts:
        total += len(text)
        try:
            if total > MAX_SHELL:
                raise UnparsedError(f"is beyond the first {MAX_SHELL // 1024} KiB of the file's")
            found = read(text)
        except UnparsedError as error:
            why = f"the shell text here {error}, so it was not checked"
            start = Span(text.start, text.start)
            yield scope.unchecked(start, why)
            if total > MAX_SHELL:
                break
            continue
        script.calls += found.calls
        script.files += found.files
        script.settings += found.settings
        script.unread = script.unread or found.unread
        for name, value in found.constants.items():
            if script.constants.setdefault(name, value) != value:
                script.constants[name] = "$"
    yield from check_script(scope, script)


def check_script(scope: Scope, script: Script) -> Iterator[Finding]:
    """Findings in a shell text that is already read."""
    if script.unread is not None:
        why, at = script.unread
        message = f"the shell text here {why}, so what follows was not checked"
        yield scope.unchecked(Span(at, at), message)
    seen: set[int] = set()
    agents = [agent for agent in AGENTS if agent.ID not in scope.policy.unguarded]
    for call in script.calls:
        agent = next((agent for agent in agents if agent.starts(call, script)), None)
        if agent is not None:
            yield from agent.check(scope, call, script)
        else:
            yield from _proxy_call(scope, call, script)
        command = scope.given_to("the command" if agent is None else agent.TITLE)
        for assignment in call.environment:
            first = assignment.start not in seen
            if not first and agent is None:
                continue
            seen.add(assignment.start)
            value = script.value(assignment.value) or assignment.value.shown
            for finding in variables.check_variable(
                command, assignment.name, value, assignment, agent=agent is not None, handed=False
            ):
                if first or finding.rule == "RG108":
                    yield finding
    for target, content in script.files:
        yield from written.check(scope, script.value(target) or target.shown, content)
    container = scope.given_to("the container")
    for setting in script.settings:
        if setting.exported:
            given = container if setting.handed else scope
            shown = None if setting.value is None else setting.value.shown
            yield from variables.check_variable(
                given, setting.name, shown, setting, handed=setting.handed
            )


def _proxy_call(scope: Scope, call: Call, script: Script) -> Iterator[Finding]:
    """A finding if `call` starts a local model proxy, or brings another machine's here."""
    found = commands.start_of(call, script)
    if found is None:
        return
    place = between(call.words[0], call.words[-1])
    if found.how == commands.STARTS:
        yield from proxy_service(scope, found.proxy, place)
    elif not starts.is_allowed(scope.policy, found):
        message = f"{found.deed}: calls through it do not reach the gateway"
        fix = _way_out(scope.policy, found.ports)
        yield scope.finding("RG401", place, found.proxy.name, message, fix=fix)


def check_image(scope: Scope, reference: str, place: Placed) -> Iterator[Finding]:
    """A finding if the container image `reference` is a local model proxy."""
    proxy = local_proxies.image(reference)
    if proxy is not None:
        yield from proxy_service(scope, proxy, place)


def proxy_service(scope: Scope, proxy: local_proxies.Proxy, place: Placed) -> Iterator[Finding]:
    """The finding for a local model proxy that is run, unless the policy allows it."""
    if starts.is_allowed(scope.policy, commands.Start(proxy, proxy.ports)):
        return
    port = f" (port {proxy.ports[0]} by default)" if proxy.ports else ""
    yield scope.finding(
        "RG401",
        place,
        proxy.name,
        f"runs {proxy.name} on this machine{port}: calls through it do not reach the gateway",
        fix=_way_out(scope.policy, proxy.ports),
    )


def _way_out(policy: CompiledPolicy, ports: tuple[int, ...]) -> str:
    way_out = f"call the gateway ({policy.base_url})"
    return either(way_out, allow("port", str(ports[0]))) if ports else way_out
