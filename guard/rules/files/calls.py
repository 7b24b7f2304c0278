"""What a rule says about a shell text in a file: agent calls, local proxies, variables.

What is said about the call of an agent is in guard/rules/agents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from guard.catalog import local_proxies
from guard.findings import Finding
from guard.proxies import commands, starts
from guard.rules.agents.calls import AGENTS
from guard.rules.files import variables
from guard.rules.files.location import at
from guard.sources.positions.shell_calls import Call, Script, read
from guard.sources.positions.text import Text
from guard.sources.shell_commands import MAX_CHARACTERS, UnparsedError

if TYPE_CHECKING:
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile


NEEDLES = (
    *(needle for agent in AGENTS for needle in agent.NEEDLES),
    *variables.NEEDLES,
    *sorted(word.encode() for word in local_proxies.words()),
)
"""Lower-case bytes of which every shell text with a finding holds one."""


MAX_SHELL = 4 * MAX_CHARACTERS
"""Characters of the shell texts of one file, which a YAML alias can name again and again."""


def check_texts(
    file: SourceFile,
    policy: CompiledPolicy,
    texts: Iterable[Text],
    *,
    where: str = "a child process",
    ci: bool = False,
    exported: bool = False,
    read: Callable[[Text], Script] = read,
) -> Iterator[Finding]:
    """Findings in the shell texts of one file.

    `where` says what gets the variables that are set there; `ci` that it is a CI job; `exported`
    that every variable set there reaches what is started; `read` reads a text.
    """
    script = Script()
    total = 0
    for text in texts:
        total += len(text)
        try:
            if total > MAX_SHELL:
                raise UnparsedError(f"comes after {MAX_SHELL // 1024} KiB of it")
            found = read(text)
        except UnparsedError as error:
            yield at(
                file,
                "RG903",
                text.start,
                text.start,
                file.path,
                f"the shell text here {error}, so it was not checked",
            )
            if total > MAX_SHELL:
                break
            continue
        script.calls += found.calls
        script.settings += found.settings
        for name, value in found.constants.items():
            if script.constants.setdefault(name, value) != value:
                script.constants[name] = "$"
    yield from check_script(file, policy, script, where=where, ci=ci, exported=exported)


def check_script(
    file: SourceFile,
    policy: CompiledPolicy,
    script: Script,
    *,
    where: str = "a child process",
    ci: bool = False,
    exported: bool = False,
) -> Iterator[Finding]:
    """Findings in a shell text that is already read; see `check_texts`."""
    seen: set[int] = set()
    for call in script.calls:
        agent = next((agent for agent in AGENTS if agent.starts(call, script)), None)
        if agent is not None:
            yield from agent.check(file, policy, call, script)
        else:
            yield from proxy_call(file, policy, call, script)
        for assignment in call.environment:
            if assignment.start in seen and agent is None:
                continue
            first = assignment.start not in seen
            seen.add(assignment.start)
            for finding in variables.judge(
                file,
                policy,
                assignment.name,
                script.value(assignment.value) or assignment.value.shown,
                assignment.start,
                assignment.end,
                where="the command" if agent is None else agent.TITLE,
                ci=ci,
                agent=agent is not None,
                handed=False,
            ):
                if first or finding.rule == "RG108":
                    yield finding
    for setting in script.settings:
        if not (setting.exported or exported):
            continue
        yield from variables.judge(
            file,
            policy,
            setting.name,
            None if setting.value is None else setting.value.shown,
            setting.start,
            setting.end,
            where="the container" if setting.handed else where,
            ci=ci,
            handed=setting.handed,
        )


def proxy_call(
    file: SourceFile, policy: CompiledPolicy, call: Call, script: Script
) -> Iterator[Finding]:
    """A finding if `call` starts a local model proxy, or brings another machine's here."""
    found = commands.start_of(call, script)
    if found is None:
        return
    start, end = call.words[0].start, call.words[-1].end
    if found.how == commands.STARTS:
        yield from proxy_service(file, policy, found.proxy, start, end)
    elif not starts.is_allowed(policy, found):
        yield at(
            file,
            "RG401",
            start,
            end,
            found.proxy.name,
            f"{found.deed}: its calls do not reach the gateway",
            fix=_way_out(policy, found.ports),
        )


def proxy_service(
    file: SourceFile,
    policy: CompiledPolicy,
    proxy: local_proxies.Proxy,
    start: int,
    end: int,
) -> Iterator[Finding]:
    """The finding for a local model proxy that is run, unless the policy allows it."""
    if starts.is_allowed(policy, commands.Start(proxy, proxy.ports)):
        return
    port = f", on port {proxy.ports[0]} unless told otherwise" if proxy.ports else ""
    yield at(
        file,
        "RG401",
        start,
        end,
        proxy.name,
        f"runs {proxy.name} on this machine{port}: calls through it do not reach the gateway",
        fix=_way_out(policy, proxy.ports),
    )


def _way_out(policy: CompiledPolicy, ports: tuple[int, ...]) -> str:
    return (
        f"call the gateway ({policy.base_url}); or add an [[exception]] with the subject "
        f"port:{ports[0] if ports else 'N'} to your policy"
    )
