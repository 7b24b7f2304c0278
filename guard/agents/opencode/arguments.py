"""Rewrites opencode's arguments so that they name the gateway; never the text of a prompt.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.kinds import REMOTE, SERVER
from guard.agents.opencode.grammar import NETWORK, Invocation
from guard.agents.opencode.route import ProviderModel, Router
from guard.errors import either
from guard.findings import Finding, allow
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.command_line import CommandLine, Option
    from guard.policy.values import CompiledPolicy


class Rewriting(Record):
    """The arguments to start with, where they lead, and what the user should know.

    `typed_route` tells that the command line chose the route; `told` is one sentence on what was
    changed, "" if nothing was.
    """

    argv: list[str]
    route: ProviderModel
    typed_route: bool = False
    told: str = ""
    findings: list[Finding] = []  # noqa: RUF012


def rewrite(invocation: CommandLine, router: Router, ids: Mapping[str, str]) -> Rewriting:
    """Name the gateway's provider and model in the arguments of `invocation`."""
    result = Rewriting(list(invocation.argv), router.default())
    if invocation.command.model:
        _rewrite_model(invocation, router, ids, result)
    elif invocation.command.name == "models":
        typed = ", ".join(f"{name}/MODEL" for name in ids)
        result.told = f"provider names in the list are for this launch only; with -m type {typed}"
        for index in invocation.operands[:1]:
            result.argv[index] = ids.get(result.argv[index], result.argv[index])
        for option in invocation.named("provider"):
            if option.value is not None and option.value in ids:
                result.argv[option.start : option.end] = [f"--provider={ids[option.value]}"]
    return result


def _rewrite_model(
    invocation: CommandLine, router: Router, ids: Mapping[str, str], result: Rewriting
) -> None:
    models = invocation.named("model", "m")
    providers = invocation.named("provider")
    for options, what in ((models, "model"), (providers, "provider")):
        if len(options) > 1 or any("." in o.name for o in options):
            result.findings.append(
                Finding(
                    "RG205",
                    what,
                    f"the {what} is named {len(options)} times"
                    if len(options) > 1
                    else f"--{options[0].name} is not an option of opencode",
                    where="command line",
                    fix=f"name one {what}",
                )
            )
    for option in providers:
        if not option.value:
            result.findings.append(
                Finding(
                    "RG205",
                    "provider",
                    "--provider has no value",
                    where="command line",
                    fix="opencode run --provider PROVIDER --model MODEL …",
                )
            )
    if result.findings:
        return
    model = models[0] if models else None
    provider = providers[0] if providers else None
    typed_model = model.value if model is not None else None
    if not typed_model and provider is None:
        return  # `-m ""` and a trailing `-m` leave opencode at its configured default, ours
    resolved = router.resolve(typed_model, provider.value if provider is not None else None)
    if isinstance(resolved, Finding):
        result.findings.append(_with_command(resolved, invocation, model, provider))
        return
    argv = _spliced(
        invocation, model, provider, f"--model={ids[resolved.provider]}/{resolved.model}"
    )
    if argv is None:
        result.findings.append(
            Finding(
                "RG205",
                "--provider",
                "without --provider these arguments would mean something else",
                where="command line",
                fix=f"use -m {resolved} instead of --provider and --model",
            )
        )
        return
    result.argv = argv
    result.route = resolved
    result.typed_route = True
    if provider is not None:
        result.told = f"opencode has no --provider; started with -m {resolved}"
    elif resolved.rerouted_from:
        result.told = f"{typed_model} goes through the gateway as -m {resolved}"
    elif typed_model != str(resolved):
        result.told = f"-m {typed_model} goes to {resolved}"


def _with_command(
    finding: Finding, invocation: CommandLine, model: Option | None, provider: Option | None
) -> Finding:
    """Put the whole command that works into the fix, where the fix names a model."""
    _, use, suggested = finding.fix.partition("use -m ")
    if not use:
        return finding
    suggested = suggested.partition(";")[0]
    argv = _spliced(invocation, model, provider, f"--model={suggested}")
    if argv is not None and "MODEL" not in suggested:
        finding.fix += "\n" + shown(["opencode", *argv])
    return finding


def _spliced(
    invocation: CommandLine, model: Option | None, provider: Option | None, token: str
) -> list[str] | None:
    """The arguments with `token` for the model and without `--provider`.

    None if taking an option out would hand the word after it to the option before it, or take
    the other letters of a cluster along.
    """
    for put, drop in ((model, provider), (provider, model)):
        if put is None:
            continue
        argv = list(invocation.argv)
        edits = [(option, option is put) for option in (put, drop) if option is not None]
        for option, keeps in sorted(edits, key=lambda edit: -edit[0].start):
            words = [f"-{option.letters}"] if option.letters else []
            if keeps:
                words.append(token)
            argv[option.start : option.end] = words
        if _says(invocation.again(argv)) == _says(invocation):
            return argv
    return None


def _says(invocation: CommandLine) -> tuple[object, ...]:
    """What a command line says apart from the model: equal before and after a rewriting."""
    return (
        invocation.command.name,
        invocation.words,
        invocation.argv[invocation.separator :],
        [
            (option.name, option.values)
            for option in invocation.options
            if option.name not in ("model", "m", "provider")
        ],
    )


OTHER_SERVER = "another agent server would make the calls, with its own keys and config"


def serves(what: str) -> Finding:
    """The finding for `what`, a command or an option that opens a server."""
    return Finding(
        "RG203",
        what,
        f"{what} lets other programs drive the agent, in directories that were not checked",
        where="command line",
        fix='use the TUI or `opencode run`; or set servers = "allow" under '
        "[agents.opencode] in your policy",
    )


def other_servers(invocation: Invocation, policy: CompiledPolicy, now: float) -> list[Finding]:
    """Findings for arguments that hand the call to another program's environment."""
    findings = []
    urls = []
    if invocation.command.kind == REMOTE:
        named = [option.value or "" for option in invocation.named("url")]
        urls += invocation.words[:1] + named or [""]
    urls += [option.value or "" for option in invocation.named("attach")]
    for url in urls:
        if url and policy.excepted(f"server:{url.rstrip('/')}", now) is not None:
            continue
        findings.append(
            Finding(
                "RG202",
                url or "attach",
                OTHER_SERVER,
                where="command line",
                fix=either(
                    "start opencode without attach", allow("server", url.rstrip("/") or "URL")
                ),
            )
        )
    listens = sorted({o.name for o in invocation.options if o.name.partition(".")[0] in NETWORK})
    if invocation.command.kind == SERVER or (listens and invocation.command.name in ("", "run")):
        what = invocation.command.name if invocation.command.kind == SERVER else f"--{listens[0]}"
        if policy.servers != "allow":
            findings.append(serves(what))
    return findings


def logins(invocation: CommandLine, policy: CompiledPolicy, now: float) -> list[Finding]:
    """Findings for `auth login URL`: opencode runs the command that the server at URL answers with.

    What follows `--` is taken for a URL here, although 1.18.33 passes over it.
    """
    if invocation.command.name != "providers login":
        return []
    urls = invocation.words
    urls += [option.value or "" for option in invocation.named("url")]
    urls += invocation.argv[invocation.separator + 1 :]
    does = "makes opencode run a command of that server, and lets it"
    return [
        login_server(url, does, "command line", "opencode auth login", policy, now)
        for url in dict.fromkeys(filter(None, urls))
    ]


def login_server(
    url: str, does: str, where: str, without: str, policy: CompiledPolicy, now: float
) -> Finding:
    """The finding for a login at `where` to the server at `url`, which an exception makes a note.

    `does` says what the login does before it adds configuration, `without` how to do without it.
    """
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("?")[0].partition("#")[0].partition("/")
    # without a user and a password
    plain = f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}".rstrip("/")
    told = f"a login to {plain} {does} add configuration to every launch"
    if policy.excepted(f"server:{url}", now) is not None:
        return Finding(
            "RG305", plain, f"{told}; your policy allows it", where=where, severity="note"
        )
    fix = without
    if url.startswith(("https://", "http://")):
        fix = either(without, allow("server", shown([plain])))
    return Finding("RG305", plain, told, where=where, fix=fix)


def shown(words: list[str]) -> str:
    """`words` as one would type them in a shell."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    plain = word.isascii() and all(c.isalnum() or c in "@%+=:,./-_" for c in word)
    if word and plain:
        return word
    return "'" + word.replace("'", "'\\''") + "'"
