"""What a rule says about a shell text in a file: agent calls, local proxies, variables.

An opencode call is read with the launch's own grammar and resolved by the launch's own router, so
that a commit fails for what a launch would refuse, with the same id and the same words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from guard.agents.adapter import GUARDED, LOCAL, REMOTE, SERVER
from guard.agents.opencode.adapter import AGENT
from guard.agents.opencode.arguments import other_servers, rewrite
from guard.agents.opencode.grammar import read as read_arguments
from guard.agents.opencode.route import Router
from guard.catalog import local_proxies
from guard.catalog.runners import package_name
from guard.findings import Finding
from guard.proxies import commands, starts
from guard.rules.files import variables
from guard.rules.files.location import at
from guard.sources.positions.shell_calls import Call, Script, read
from guard.sources.positions.text import Text
from guard.sources.shell_commands import MAX_CHARACTERS, UnparsedError, Word

if TYPE_CHECKING:
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

PROGRAMS = frozenset(f"{name}{suffix}" for name in AGENT.names for suffix in ("", ".exe", ".cmd"))
"""Names under which opencode is installed, also on Windows."""

PACKAGES = frozenset(AGENT.packages)
"""npm packages that hold opencode, and the name of the program they install."""

NEEDLES = (
    b"opencode",
    *variables.NEEDLES,
    *sorted(word.encode() for word in local_proxies.words()),
)
"""Lower-case bytes of which every shell text with a finding holds one."""


MAX_SHELL = 4 * MAX_CHARACTERS
"""Characters of the shell texts of one file, which a YAML alias can name again and again."""


@cache
def _foreign() -> frozenset[str]:
    from guard.catalog import providers

    return frozenset(providers())


def router(policy: CompiledPolicy) -> Router:
    """The launch's router, for names as they stand in files."""
    return Router(policy, _ids(policy), _foreign())


def _ids(policy: CompiledPolicy) -> dict[str, str]:
    return {p.name: p.name for p in policy.providers}


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
        agent = is_opencode(call) or _is_named_opencode(call, script)
        if agent:
            yield from opencode_call(file, policy, call, script)
        else:
            yield from proxy_call(file, policy, call, script)
        for assignment in call.environment:
            if assignment.start in seen and not agent:
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
                where="the command" if not agent else "opencode",
                ci=ci,
                agent=agent,
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


def is_opencode(call: Call) -> bool:
    """Whether `call` starts opencode."""
    if call.image or not call.words:
        return False
    if call.package:
        return package_name(call.words[0].shown) in PACKAGES or call.program in PROGRAMS
    return call.program in PROGRAMS


def _is_named_opencode(call: Call, script: Script) -> bool:
    """Whether the text itself says that a variable is opencode: `AGENT=opencode; $AGENT run`."""
    if call.image or call.package or not call.words or call.words[0].literal:
        return False
    program = script.value(call.words[0])
    return program is not None and program.rpartition("/")[2] in PROGRAMS


def opencode_call(
    file: SourceFile, policy: CompiledPolicy, call: Call, script: Script
) -> Iterator[Finding]:
    """Findings for one opencode call, each at the word that it is about."""
    words = call.words[1:]
    known = [script.value(word) for word in words]
    argv = [
        word.shown if value is None else value for word, value in zip(words, known, strict=True)
    ]
    invocation = read_arguments(argv)
    kind = invocation.kind()
    name = call.words[0]
    if kind not in (GUARDED, SERVER, REMOTE, LOCAL):
        return
    for finding in other_servers(invocation, policy, time.time()):
        options = invocation.named("attach") if finding.rule == "RG202" else []
        if options:
            yield _at_words(file, finding, words[options[0].start : options[0].end])
        else:
            yield _at_words(file, finding, [name, *words[:1]])
    if kind != GUARDED or not invocation.spec.model or invocation.named("attach"):
        return
    models = invocation.named("model", "m")
    providers = invocation.named("provider")
    named = sorted((*models, *providers), key=lambda option: option.start)
    about = [word for o in named for word in words[o.start : o.end]]
    if any(known[i] is None for o in named for i in range(o.start, o.end)):
        yield from _partly_known(file, policy, [w for w in about if not w.literal])
        return
    result = rewrite(invocation, router(policy), _ids(policy))
    if result.findings:
        for finding in result.findings:
            yield _at_words(file, finding, about or [name])
        return
    if not models and not providers:
        if any(word.splits and not word.literal for word in words):
            return  # `opencode "$@"`: who calls this script names the model
        yield _unnamed(file, [name], "opencode", "names no model", str(result.route))
    elif providers:
        yield _unnamed(
            file,
            about,
            "--provider",
            "opencode has no --provider: it starts only where routeguard is",
            str(result.route),
        )
    else:
        typed = models[-1].value or ""
        if typed.partition("/")[0] not in _ids(policy):
            yield _unnamed(
                file,
                about,
                typed or "-m",
                "names a model without the gateway's provider",
                str(result.route),
            )


def _partly_known(file: SourceFile, policy: CompiledPolicy, words: list[Word]) -> Iterator[Finding]:
    """For `-m anthropic/$MODEL`, of which only the provider is known."""
    for word in words:
        shown = word.shown.removeprefix("--model=").removeprefix("-m=").removeprefix("--m=")
        head, slash, _ = shown.partition("/")
        if not slash or any(c in head for c in "$`("):
            continue
        resolved = router(policy).resolve(f"{head}/MODEL", None)
        if isinstance(resolved, Finding):
            yield _at_words(file, resolved, [word])


def _unnamed(file: SourceFile, words: list[Word], subject: str, what: str, route: str) -> Finding:
    message = what if what.startswith("opencode") else f"this call {what}"
    return at(
        file,
        "RG206",
        words[0].start,
        words[-1].end,
        subject,
        f"{message}; a guarded machine sends it to {route}, another one wherever it is set up for",
        fix=f"name it: -m {route}",
    )


def _at_words(file: SourceFile, finding: Finding, words: list[Word]) -> Finding:
    return at(
        file,
        finding.rule,
        words[0].start,
        words[-1].end,
        finding.subject,
        finding.message,
        fix=finding.fix,
        severity=finding.severity,
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
