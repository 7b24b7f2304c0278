"""What `why` says: what routeguard does with a variable, and where the variable comes from. No
click here."""

from __future__ import annotations

import os
import shlex

from guard import paths, shells
from guard.agents.keys import how_to_set
from guard.agents.registry import AGENTS
from guard.catalog.key_shapes import is_key
from guard.check.variable import Answer, Decision, explain, noteworthy
from guard.commands.plainly import PlainWords
from guard.errors import ExitCode, UsageError, printable
from guard.hook import liveness
from guard.launch.process import own_environment, working_directory
from guard.report.table import Column, fields, table
from guard.report.terminal import SEVERITIES, paint, show
from guard.report.words import local, short, utc
from guard.rule_table import RULES
from guard.sources import parents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from guard.sources.records import Assignment

WORDS = PlainWords(flags={"--json": "as_json"}, rest="names", packages=True)

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
    "unknown_key": "not in the catalogue",
    "": "no known effect on model routing",
}

_DAYS = 30
_SURENESS = {
    "run": "observed",
    "src": "read in its source, not tried",
    "doc": "documented",
    "3p": "third party",
    "common": "widely known, unverified",
}
_COLUMNS = (
    Column("NAME"),
    Column("KIND", least=8),
    Column("NOW"),
    Column("PROMPT"),
    Column("LAUNCH"),
    Column("RULE"),
)


def command(names: tuple[str, ...] = (), as_json: bool = False) -> int:
    """Say of each of `names`, or in a table of those set now, what is done with it and who set it.

    Returns the exit status. Raises UsageError for what is not a name, PolicyError.
    """
    for name in names:
        _check_name(name)
    # inside a guarded agent the directories of the outer launch are not the user's own
    environ = own_environment(os.environ)
    cwd = working_directory()
    answers = explain(list(dict.fromkeys(names) or noteworthy(cwd, environ)), cwd, environ)
    lost = liveness.lost(environ)
    if as_json:
        from guard.report.document import show_document

        found = {"variables": [_as_dict(a) for a in answers]}
        show_document({**found, "hook": lost.as_dict() if lost else None})
    else:
        home = paths.home(environ)
        parts = [_text(answer, home) for answer in answers] if names else [_table(answers)]
        if lost:
            parts.append(f"{lost.message} [{lost.rule}]\n" + fields([("fix", lost.fix)], indent=2))
        show("\n\n".join(parts))
    return ExitCode.FINDINGS if lost or any(answer.finding for answer in answers) else ExitCode.OK


def _check_name(name: str) -> None:
    """Refuse what is not a name, without repeating it: it may be, or hold, a secret."""
    wrong = ""
    if "=" in name:
        wrong = "NAME=VALUE was given"
    elif name not in os.environ and is_key(name, apart=False):
        wrong = "what was given looks like a key"
    elif not name or "\0" in name:
        wrong = "what was given is empty"
    elif name.startswith("$") and name not in os.environ:
        wrong = "what was given begins with $"
    if wrong:
        raise UsageError(f"give the name of a variable; {wrong}", fix="routeguard why NAME")


# Text --------------------------------------------------------------------------------------------


def _text(answer: Answer, home: str) -> str:
    head = paint(printable(answer.name), "strong")
    if answer.finding:
        found = RULES[answer.finding]
        head += f"  {paint(found.severity, SEVERITIES[found.severity])} [{found.id}] {found.name}"
    elif answer.variable.rule:
        head += f"  {answer.variable.rule} (not here)"
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
    return head + "\n" + fields(rows, indent=2)


def _what(answer: Answer) -> str:
    variable = answer.variable
    text = KIND_TEXTS[variable.kind]
    if variable.owner:
        text += f" ({variable.owner})"
    if not variable.kind and not answer.here and (near := _near(answer.name)):
        text += f"\ndid you mean {near}?"
    if variable.providers:
        enabled = ", ".join(variable.providers)
        text += f"\nset alone, it enables {enabled} in an unguarded {AGENTS[0].title}"
    return text + (f"\n{variable.note}" if variable.note else "")


def _near(name: str) -> str:
    """The name of the catalogue that `name` may have been meant for, or ""."""
    from difflib import get_close_matches

    from guard.catalog.entries import variables

    return next(iter(get_close_matches(name.upper(), variables(), n=1, cutoff=0.85)), "")


def _source(answer: Answer) -> str:
    variable = answer.variable
    return f"{variable.source} ({_SURENESS[variable.sure]})" if variable.source else ""


def _now(answer: Answer) -> str:
    text = f"set here, {printable(answer.shown)}" if answer.here else "not set here"
    if answer.scrubbed and answer.here:
        return text + "\nthe hook scrubbed it in this shell earlier; it was set again"
    return text + (": the hook scrubbed it in this shell" if answer.scrubbed else "")


def _from(answer: Answer, home: str) -> list[str]:
    lines = [_place(found, home) for found in answer.assignments]
    for found in answer.dotenv:
        lines.append(f"{_place(found, home)}; in the environment only if a tool loads the file")
    lines += _from_processes(answer)
    if not lines and answer.here:
        lines.append("no startup file or dotenv file sets it; no parent process can be read")
    if not lines and not answer.here:
        lines.append("no startup file, dotenv file or parent process has it")
    for skipped in answer.skipped:
        lines.append(f"not read: {short(skipped.path, home)}: {skipped.reason}")
    return lines


def _from_processes(answer: Answer) -> list[str]:
    holder, setter = answer.origin.holder, answer.origin.setter
    if holder is None:
        if not answer.here or setter is None:
            return []
        return [f"{_process(setter)} started without it: set in it, or for this command only"]
    text = f"{_process(holder)} was started with it"
    return [text + (f"; {_process(setter)} above it was not" if setter is not None else "")]


def _process(found: parents.Ancestor) -> str:
    return f"{printable(found.program)} (pid {found.pid})"


def _place(found: Assignment, home: str) -> str:
    hidden = "" if found.exported else ", not exported"
    return f"{short(found.path, home)}:{found.line}  {printable(found.how)}{hidden}"


def _decision(decision: Decision) -> str:
    return decision.action + (f": {decision.reason}" if decision.reason else "")


def _allowed(answer: Answer) -> str:
    if answer.exception is None:
        return ""
    return f"until {local(answer.exception.until)}: {answer.exception.reason}"


def _allow(answer: Answer) -> str:
    if not answer.finding or answer.exception is not None or not answer.subject:
        return ""
    if answer.refused:
        return f"not by you: {answer.refused}; ask the administrator of this machine"
    if not answer.subject.isprintable() or '"' in answer.subject or "\\" in answer.subject:
        return ""  # no policy could hold it
    kind, _, name = answer.subject.partition(":")
    return f'routeguard allow {kind} {shlex.quote(name)} --for {_DAYS}d --reason "…"'


def _fix(answer: Answer, home: str) -> str:
    if not answer.finding:
        return ""
    if answer.finding == "RG106":
        return how_to_set(answer.name)
    lines = []
    places = [f"{short(a.path, home)}:{a.line}" for a in answer.assignments if a.exported]
    if places:
        lines.append(f"remove it from {', '.join(places)}, then open a new shell")
    if answer.here:
        lines += ["in this shell:"] * answer.name.isidentifier() + [shells.unset(answer.name)]
        if not places and answer.origin.holder is not None and not _of_tmux(answer):
            lines.append(f"for good: where {_process(answer.origin.holder)} is started")
    if _of_tmux(answer):
        name = shlex.quote(printable(answer.name))
        lines.append(f"for new windows of tmux:\ntmux set-environment -gu {name}")
    return "\n".join(lines)


def _of_tmux(answer: Answer) -> bool:
    """Whether a tmux server was started with it: each new window gets the server's environment,
    whatever the start files say by then (tmux(1), GLOBAL AND SESSION ENVIRONMENT)."""
    holder = answer.origin.holder
    return holder is not None and holder.program.startswith("tmux")


def _table(answers: list[Answer]) -> str:
    if not answers:
        return "No relevant variables are set."
    rows = [
        (
            answer.name,
            answer.variable.kind.replace("_", " "),
            "set" if answer.here else "scrubbed",
            answer.prompt.action,
            answer.launch.action,
            answer.finding and paint(answer.finding, SEVERITIES[RULES[answer.finding].severity]),
        )
        for answer in answers
    ]
    return table(_COLUMNS, rows) + "\n\nmore: routeguard why NAME"


# JSON --------------------------------------------------------------------------------------------


def _as_dict(answer: Answer) -> dict[str, Any]:
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
        "startup_files": [_assignment(found) for found in answer.assignments],
        "dotenv_files": [_assignment(found) for found in answer.dotenv],
        "processes": {
            "started_with_it": _ancestor(answer.origin.holder),
            "above_without_it": _ancestor(answer.origin.setter),
        },
        "not_read": [{"path": s.path, "reason": s.reason} for s in answer.skipped],
        "subject": answer.subject,
        "exception": None
        if exception is None
        else {
            "subject": exception.subject,
            "reason": exception.reason,
            "until": utc(exception.until),
        },
    }


def _assignment(found: Assignment) -> dict[str, Any]:
    return {key: getattr(found, key) for key in ("path", "line", "how", "exported")}


def _ancestor(found: parents.Ancestor | None) -> dict[str, Any] | None:
    return None if found is None else {"pid": found.pid, "program": found.program}
