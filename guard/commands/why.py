"""`routeguard why`: what the guard thinks of a variable, and where the variable comes from."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from guard import catalog, hook, net, paths
from guard.agents.registry import AGENTS, keeps, sets
from guard.catalog.classify import classify
from guard.catalog.key_shapes import looks_like_key
from guard.errors import ExitCode, UsageError, printable
from guard.findings import mask
from guard.launch.process import own_environment, working_directory
from guard.policy import cache
from guard.policy.layers import candidates, read_all
from guard.policy.merge import merge
from guard.policy.places import project_files, user_policy
from guard.policy.values import CompiledPolicy, PolicyException
from guard.rule_table import RULES
from guard.sources import dotenv_files, parents, rc_files
from guard.sources.records import Assignment, Skipped
from guard.variables import Verdict, judge

SCHEMA_VERSION = 1
"""Version of the JSON output; within one, keys are only added."""

SCRUBBED = "ROUTEGUARD_SCRUBBED"
"""Where the shell hook keeps the names it scrubbed in this shell, separated by colons."""

KIND_TEXTS = {
    "provider_key": "a secret of a model provider",
    "provider_setting": "an id or place of a model provider",
    "ambient": "a credential or place that other tools need",
    "base_url": "an address that model calls are sent to",
    "agent_redirect": "a variable that can redirect the agent",
    "runtime": "a variable of the runtime under the agent",
    "http_proxy": "an HTTP proxy",
    "gateway_key": "the gateway's own key",
    "gateway_setting": "a setting of the gateway's own SDKs",
    "other_service": "a key of a service that serves no models",
    "grey": "a key of an AI service without chat models",
    "unknown_key": "a name that looks like an API key of an unknown service",
    "": "nothing that decides where a model call goes",
}

_SILENT = ("", "other_service")
_DAYS = 30
_SURENESS = {
    "run": "observed",
    "src": "read there, not tried",
    "doc": "documented",
    "3p": "third party",
    "common": "widely known, unverified",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with a variable: one word (scrub, flag, kept, removed, set, …) and why."""

    action: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about one name. `shown` is the masked value, "" if it is not set.

    `refused` says why a user's exception would be dropped, "" if it would count.
    """

    variable: catalog.Variable
    shown: str
    scrubbed: bool
    leads_to: str
    prompt: Decision
    launch: Decision
    finding: str
    exception: PolicyException | None
    subject: str
    assignments: tuple[Assignment, ...]
    dotenv: tuple[Assignment, ...]
    skipped: tuple[Skipped, ...]
    origin: parents.Origin
    refused: str

    @property
    def name(self) -> str:
        return self.variable.name

    @property
    def here(self) -> bool:
        return bool(self.shown)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  routeguard why                            the names set now that matter
  routeguard why ANTHROPIC_API_KEY          what happens to it, where it comes from, how to allow it
  routeguard why GITHUB_TOKEN HTTPS_PROXY --json | jq '.variables[].launch'

\b
Values are never shown, only masked. Startup files are read, not run: what `eval` or another
program sets has no line to show.
Exit status: 0 nothing wrong, 1 a finding for one of the names, 2 usage, 3 policy.""",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def why(names: tuple[str, ...], as_json: bool) -> int:
    """Explain what the guard does with environment variables.

    With NAME: what it is, which rule counts it, what happens to it at the prompt and at a launch
    under the policy here, where it was set, and how to allow or remove it. Without: a table of
    the names set now.
    """
    for name in names:
        _check_name(name)
    # inside a guarded agent the directories of the outer launch are not the user's own
    environ = own_environment(os.environ)
    cwd = working_directory()
    wanted = dict.fromkeys(names) or _noteworthy(cwd, environ)
    answers = explain(list(wanted), cwd, environ)
    lost = hook.lost(environ)
    if as_json:
        found = {
            "schema_version": SCHEMA_VERSION,
            "variables": [_as_json(a) for a in answers],
            "hook": lost.as_dict() if lost else None,
        }
        click.echo(json.dumps(found, indent=2))
    elif names:
        home = paths.home(environ)
        click.echo("\n\n".join(_render(answer, home) for answer in answers))
    else:
        click.echo(_table(answers))
    if lost and not as_json:
        fix = lost.fix.replace("\n", "\n         ")
        click.echo(f"\n[{lost.rule}] {lost.message}\n  fix:   {fix}")
    return ExitCode.FINDINGS if lost or any(answer.finding for answer in answers) else ExitCode.OK


def explain(
    names: list[str],
    cwd: str,
    environ: Mapping[str, str],
    *,
    system: str = paths.SYSTEM_POLICY,
    root: str = "/",
    chain: list[parents.Ancestor] | None = None,
) -> list[Answer]:
    """What is known about each of `names`. Raises PolicyError if there is no valid policy.

    `system` is the path of the system layer; `root` stands for `/` in the paths of the system's
    startup files; `chain` are the processes above this one, nearest first (by default, those of
    this process).
    """
    policy = cache.load(cwd, environ, system=system)
    keys = _gateway_keys(policy)
    startup = rc_files.read(environ, root=root)
    project = dotenv_files.read(cwd, home=paths.home(environ))
    above = parents.ancestors() if chain is None else chain
    refused = _exceptions_refused(cwd, environ, system)
    scrubbed = _scrubbed(environ)
    now = time.time()
    answers = []
    for name in names:
        kind, owner = classify(name, policy.variables, keys)
        variable = catalog.describe(name, kind, owner)
        assignments = tuple(a for a in startup.assignments if a.name == name)
        subject, exception = _exception(variable, environ, policy, now)
        launch = _at_launch(variable, environ, policy, exception)
        prompt = _at_prompt(variable, policy, exception)
        active = name in environ or name in scrubbed or any(a.exported for a in assignments)
        answers.append(
            Answer(
                variable=variable,
                shown=mask(environ[name]) if name in environ else "",
                scrubbed=name in scrubbed,
                leads_to=_leads_to(kind, environ.get(name, "")),
                prompt=prompt,
                launch=launch,
                finding=_finding(variable, environ, policy, active, exception),
                exception=exception,
                subject=subject,
                assignments=assignments,
                dotenv=tuple(a for a in project.assignments if a.name == name),
                skipped=(*startup.skipped, *project.skipped),
                origin=parents.origin(name, above),
                refused=refused,
            )
        )
    return answers


def _check_name(name: str) -> None:
    """Refuse what is not a name, without repeating it: it may be, or hold, a secret."""
    if "=" in name:
        raise UsageError("wants the name of a variable, not NAME=VALUE")
    if looks_like_key(name):
        raise UsageError("wants the name of a variable; what was given looks like a key itself")
    if not name or "\0" in name:
        raise UsageError("wants the name of a variable; what was given is empty")


def _noteworthy(cwd: str, environ: Mapping[str, str]) -> dict[str, None]:
    policy = cache.load(cwd, environ)
    keys = _gateway_keys(policy)
    names = [*sorted(environ), *_scrubbed(environ)]
    return dict.fromkeys(
        name for name in names if classify(name, policy.variables, keys)[0] not in _SILENT
    )


def _gateway_keys(policy: CompiledPolicy) -> frozenset[str]:
    return frozenset(provider.key_env for provider in policy.providers if provider.key_env)


def _scrubbed(environ: Mapping[str, str]) -> list[str]:
    return [name for name in environ.get(SCRUBBED, "").split(":") if name]


def _exceptions_refused(cwd: str, environ: Mapping[str, str], system: str) -> str:
    """Why an exception in the user's policy would be dropped; "" if it would count."""
    places = candidates(system, user_policy(environ), project_files(cwd))
    choice = merge(read_all(places)).values["user_exceptions"]
    if choice.value != "refuse":
        return ""
    return f"the {choice.origin.layer} policy accepts no exceptions of users"


# What happens to it ------------------------------------------------------------------------------


def _exception(
    variable: catalog.Variable,
    environ: Mapping[str, str],
    policy: CompiledPolicy,
    now: float,
) -> tuple[str, PolicyException | None]:
    """The subject under which the variable can be excepted ("" if it cannot), and what does so."""
    subject = _verdict(variable, environ, policy).subject
    if not subject or (variable.name in sets(policy) and variable.kind != "provider_key"):
        return "", None
    return subject, policy.excepted(subject, now)


def _at_prompt(
    variable: catalog.Variable,
    policy: CompiledPolicy,
    exception: PolicyException | None,
) -> Decision:
    if variable.kind == "provider_key":
        if exception is not None:
            return Decision("kept", "an exception covers it")
        if not variable.name.isidentifier():
            return Decision("kept", "no shell can hold a variable of this name")
        if policy.keys_action == "scrub":
            return Decision("scrub", "removed from the shell before the prompt")
        return Decision("flag", "named once, left in place")
    if variable.kind == "unknown_key" and policy.keys_unknown == "flag":
        if exception is not None:
            return Decision("kept", "an exception covers it")
        return Decision("flag", "named once, left in place")
    return Decision("kept")


def _at_launch(
    variable: catalog.Variable,
    environ: Mapping[str, str],
    policy: CompiledPolicy,
    exception: PolicyException | None,
) -> Decision:
    """What a launch does with the variable."""
    name = variable.name
    if name in sets(policy):
        return Decision("set", "the launch gives it a value of its own")
    if name in policy.remove:
        return Decision("removed", "listed under [environment] remove")
    verdict = _verdict(variable, environ, policy)
    if exception is not None:
        return Decision("kept", "an exception covers it")
    words = verdict.words + (f"; {verdict.advice}" if verdict.advice else "")
    if verdict.removed:
        unknown = variable.kind == "base_url" and name not in environ
        return Decision("removed", "unless its host is the gateway's" if unknown else words)
    if variable.kind == "http_proxy" and verdict.rule:
        return Decision("refused", words)
    if variable.kind == "ambient":
        return Decision("kept", "other tools need it; only the gateway's providers are open")
    if variable.kind == "base_url" and environ.get(name):
        return Decision("kept", "it leads to the gateway")
    return Decision("kept")


def _verdict(
    variable: catalog.Variable, environ: Mapping[str, str], policy: CompiledPolicy
) -> Verdict:
    return judge(
        variable.name,
        variable.kind,
        variable.owner,
        environ.get(variable.name),
        policy,
        keeps=keeps(),
    )


def _finding(
    variable: catalog.Variable,
    environ: Mapping[str, str],
    policy: CompiledPolicy,
    active: bool,
    exception: PolicyException | None,
) -> str:
    """The rule that finds something wrong with the variable now, or "".

    `active` is whether it is set, was scrubbed in this shell, or is exported by a startup file.
    """
    name, kind = variable.name, variable.kind
    if kind == "gateway_key":
        missing = name in _gateway_keys(policy) and not environ.get(name)
        return "RG106" if missing else ""
    rule = _verdict(variable, environ, policy).rule
    if not active or exception is not None or not rule or RULES[rule].severity == "note":
        return ""
    if kind == "base_url" and name not in environ:
        # a value that is not here may be the gateway's own address
        return ""
    return rule


def _leads_to(kind: str, value: str) -> str:
    """The host of an address, without user and password; "" for what is not an address."""
    if kind not in ("base_url", "http_proxy") or not value.startswith(("http://", "https://")):
        return ""
    host, port = net.address(value)
    # a secret put here by mistake has no dot in it
    if "." not in host and not net.is_loopback(host):
        return ""
    return f"{host}:{port}"


# Text --------------------------------------------------------------------------------------------


def _render(answer: Answer, home: str) -> str:
    name = printable(answer.name)
    rule = answer.finding or answer.variable.rule
    head = name
    if rule:
        found = RULES[rule]
        head += f"  [{rule}] {found.name}, {found.severity}" + (
            "" if answer.finding else " (no finding here)"
        )
    rows = [
        ("what", _what(answer)),
        ("source", _source(answer)),
        ("now", _now(answer)),
        ("from", "\n".join(_from(answer, home))),
        ("prompt", _decision(answer.prompt)),
        ("launch", _decision(answer.launch)),
        ("allowed", _allowed(answer)),
        ("allow", _allow(answer)),
        ("fix", _fix(answer, home)),
    ]
    lines = [head]
    for label, text in rows:
        if text:
            first, *rest = text.splitlines()
            lines.append(f"  {label + ':':<9}{printable(first)}")
            lines.extend(f"           {printable(line)}" for line in rest)
    return "\n".join(lines)


def _what(answer: Answer) -> str:
    variable = answer.variable
    text = KIND_TEXTS[variable.kind]
    if variable.owner:
        text += f" ({variable.owner})"
    if variable.providers:
        text += f"\nalone it opens, in an unguarded {AGENTS[0].title}: "
        text += ", ".join(variable.providers)
    if variable.note:
        text += f"\n{variable.note}"
    if not variable.kind and not variable.owner:
        return "no known effect on model routing"
    return text


def _source(answer: Answer) -> str:
    variable = answer.variable
    return f"{variable.source} ({_SURENESS[variable.sure]})" if variable.source else ""


def _now(answer: Answer) -> str:
    text = f"set here, {answer.shown}" if answer.here else "not set here"
    if answer.leads_to:
        text += f", leads to {printable(answer.leads_to)}"
    if answer.scrubbed:
        if answer.here:
            return text + "\nthe hook scrubbed it in this shell earlier; it was set again"
        return text + ": the hook scrubbed it in this shell"
    return text


def _from(answer: Answer, home: str) -> list[str]:
    lines = [_place(found, home) for found in answer.assignments]
    for found in answer.dotenv:
        lines.append(f"{_place(found, home)}; in the environment only if a tool loads the file")
    lines += _from_processes(answer)
    if not lines and answer.here:
        lines.append("no startup file or dotenv file sets it, and no parent process can be read")
    if not lines and not answer.here:
        lines.append("no startup file, dotenv file or parent process has it")
    for skipped in answer.skipped:
        lines.append(f"not read: {_short(skipped.path, home)}: {skipped.reason}")
    return lines


def _from_processes(answer: Answer) -> list[str]:
    holder, setter = answer.origin.holder, answer.origin.setter
    if holder is None:
        if not answer.here or setter is None:
            return []
        return [f"{_process(setter)} did not start with it: set in it, or for this command only"]
    text = f"{_process(holder)} already started with it"
    if setter is not None:
        text += f"; {_process(setter)} above it did not"
    return [text]


def _process(found: parents.Ancestor) -> str:
    return f"{printable(found.program)} (pid {found.pid})"


def _place(found: Assignment, home: str) -> str:
    hidden = "" if found.exported else ", not exported"
    return f"{_short(found.path, home)}:{found.line}  {printable(found.how)}{hidden}"


def _decision(decision: Decision) -> str:
    return decision.action + (f": {decision.reason}" if decision.reason else "")


def _allowed(answer: Answer) -> str:
    if answer.exception is None:
        return ""
    try:
        until = datetime.fromtimestamp(int(answer.exception.until)).astimezone().date().isoformat()
    except (ValueError, OverflowError):
        until = "the end of time"  # 9999-12-31 is the year 10000 in some time zones
    return f"by an exception until {until}: {printable(answer.exception.reason)}"


def _allow(answer: Answer) -> str:
    if not answer.finding or answer.exception is not None or not answer.subject:
        return ""
    if answer.refused:
        return f"not by you: {answer.refused}; ask who administers this machine"
    if not answer.subject.isprintable() or '"' in answer.subject or "\\" in answer.subject:
        return ""  # no policy could hold it
    return _allow_command(answer.subject)


def _allow_command(subject: str) -> str:
    """The command that excepts `subject` for 30 days."""
    kind, _, name = subject.partition(":")
    return f'routeguard allow {kind} {shlex.quote(name)} --for {_DAYS}d --reason "…"'


def _fix(answer: Answer, home: str) -> str:
    if not answer.finding:
        return ""
    if answer.finding == "RG106":
        return f"set {printable(answer.name)} to the gateway's key"
    lines = []
    places = [f"{_short(a.path, home)}:{a.line}" for a in answer.assignments if a.exported]
    if places:
        lines.append(f"take it out of {', '.join(places)}, then open a new shell")
    if answer.here:
        if answer.name.isidentifier():
            lines.append(f"in this shell: unset {answer.name}   (fish: set -e {answer.name})")
        else:
            lines.append(f"start programs with: env -u {printable(answer.name)} PROGRAM")
        if not places and answer.origin.holder is not None and not _of_tmux(answer):
            lines.append(f"for good: where {_process(answer.origin.holder)} is started")
    if _of_tmux(answer):
        name = shlex.quote(printable(answer.name))
        lines.append(f"for new windows of tmux: tmux set-environment -gu {name}")
    return "\n".join(lines)


def _of_tmux(answer: Answer) -> bool:
    """Whether a tmux server was started with it: each new window gets the server's environment,
    whatever the start files say by then (tmux(1), GLOBAL AND SESSION ENVIRONMENT)."""
    holder = answer.origin.holder
    return holder is not None and holder.program.startswith("tmux")


def _short(path: str, home: str) -> str:
    prefix = home.rstrip("/") + "/"
    return printable("~/" + path[len(prefix) :] if path.startswith(prefix) else path)


def _table(answers: list[Answer]) -> str:
    if not answers:
        return "No relevant variables are set."
    rows = [("NAME", "KIND", "NOW", "PROMPT", "LAUNCH", "RULE")]
    for answer in answers:
        rows.append(
            (
                printable(answer.name),
                answer.variable.kind.replace("_", " "),
                "set" if answer.here else "scrubbed",
                answer.prompt.action,
                answer.launch.action,
                answer.finding or "-",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", "more: routeguard why NAME"])


# JSON --------------------------------------------------------------------------------------------


def _as_json(answer: Answer) -> dict[str, Any]:
    variable, exception = answer.variable, answer.exception
    return {
        "name": answer.name,
        "kind": variable.kind,
        "kind_text": KIND_TEXTS[variable.kind],
        "owner": variable.owner,
        "note": variable.note,
        "providers": list(variable.providers),
        "source": variable.source,
        "sure": variable.sure,
        "rule": variable.rule,
        "finding": answer.finding,
        "set": answer.here,
        "value": answer.shown,
        "leads_to": answer.leads_to,
        "scrubbed": answer.scrubbed,
        "prompt": {"action": answer.prompt.action, "reason": answer.prompt.reason},
        "launch": {"action": answer.launch.action, "reason": answer.launch.reason},
        "startup_files": [_assignment_json(found) for found in answer.assignments],
        "dotenv_files": [_assignment_json(found) for found in answer.dotenv],
        "processes": {
            "started_with_it": _process_json(answer.origin.holder),
            "above_without_it": _process_json(answer.origin.setter),
        },
        "not_read": [{"path": s.path, "reason": s.reason} for s in answer.skipped],
        "subject": answer.subject,
        "exception": None
        if exception is None
        else {
            "subject": exception.subject,
            "reason": exception.reason,
            "until": datetime.fromtimestamp(exception.until, UTC).isoformat(),
        },
    }


def _assignment_json(found: Assignment) -> dict[str, Any]:
    return {
        "path": found.path,
        "line": found.line,
        "how": found.how,
        "exported": found.exported,
    }


def _process_json(found: parents.Ancestor | None) -> dict[str, Any] | None:
    return None if found is None else {"pid": found.pid, "program": found.program}
