"""One environment variable explained: its kind, what a launch does with it, who set it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from guard import net, paths
from guard.agents.keys import fault
from guard.agents.registry import keeps, sets
from guard.catalog import entries
from guard.catalog.classify import classify
from guard.catalog.key_shapes import is_key
from guard.findings import mask
from guard.late import late
from guard.policy import cache
from guard.policy.values import CompiledPolicy, PolicyException
from guard.record import Record
from guard.rule_table import RULES
from guard.sources import dotenv_files, parents, rc_files
from guard.sources.records import Assignment, Skipped
from guard.variables import Verdict, judge

SCRUBBED = "ROUTEGUARD_SCRUBBED"
"""Where the shell hook keeps the names it scrubbed in this shell, separated by colons."""

_SILENT = ("", "other_service")


class Decision(Record):
    """What is done with a variable: one word (scrub, flag, kept, removed, set, …) and why."""

    action: str
    reason: str = ""


class Answer(Record):
    """What is known about one name. `shown` is the value, "" if it is not set: an address without
    what may be secret in it, anything else masked.

    `refused` says why a user's exception would be dropped, "" if it would count.
    """

    variable: entries.Variable
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
    origin: parents.VariableOrigin
    refused: str

    @property
    def name(self) -> str:
        return self.variable.name

    @property
    def here(self) -> bool:
        return bool(self.shown)


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
    keys = policy.gateway_keys
    startup = rc_files.read(environ, root=root)
    project = dotenv_files.read(cwd, home=paths.home(environ))
    above = parents.ancestors() if chain is None else chain
    refused = _exceptions_refused(policy)
    scrubbed = _scrubbed(environ)
    now = time.time()
    answers = []
    for name in names:
        kind, owner = classify(name, policy.variables, keys)
        variable = entries.describe(name, kind, owner)
        assignments = tuple(a for a in startup.assignments if a.name == name)
        subject, exception = _exception(variable, environ, policy, now)
        launch = _at_launch(variable, environ, policy, exception)
        prompt = _at_prompt(variable, policy, exception)
        active = name in environ or name in scrubbed or any(a.exported for a in assignments)
        answers.append(
            Answer(
                variable=variable,
                shown=_shown(kind, environ[name]) if name in environ else "",
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


def noteworthy(cwd: str, environ: Mapping[str, str]) -> dict[str, None]:
    """The names that are set now, or were scrubbed in this shell, and that matter."""
    policy = cache.load(cwd, environ)
    keys = policy.gateway_keys
    names = [*sorted(environ), *_scrubbed(environ)]
    return dict.fromkeys(
        name for name in names if classify(name, policy.variables, keys)[0] not in _SILENT
    )


def _scrubbed(environ: Mapping[str, str]) -> list[str]:
    return [name for name in environ.get(SCRUBBED, "").split(":") if name]


def _exceptions_refused(policy: CompiledPolicy) -> str:
    """Why an exception in the user's policy would have no effect; "" if it would have one."""
    layer = policy.exceptions_refused_by
    return f"the {layer} policy accepts no exceptions of users" if layer else ""


# What happens to it ------------------------------------------------------------------------------


def _exception(
    variable: entries.Variable,
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
    variable: entries.Variable,
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
    variable: entries.Variable,
    environ: Mapping[str, str],
    policy: CompiledPolicy,
    exception: PolicyException | None,
) -> Decision:
    """What a launch does with the variable."""
    name = variable.name
    if environ.get(name) and (wrong := _key_fault(name, environ, policy)):
        return Decision("refused", wrong)
    if name in sets(policy):
        return Decision("set", "the launch gives it a value of its own")
    if name in policy.remove:
        return Decision("removed", "listed under [environment] remove")
    verdict = _verdict(variable, environ, policy)
    words = verdict.words + (f"; {verdict.advice}" if verdict.advice else "").replace("\n", " ")
    if exception is not None:
        return Decision("kept", "an exception covers it")
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


def _key_fault(name: str, environ: Mapping[str, str], policy: CompiledPolicy) -> str:
    """Why the variable gives no gateway key; "" where it gives one, or need not."""
    entries_of_it = (entry for entry in policy.providers if entry.key_env == name)
    return next((wrong for entry in entries_of_it if (wrong := fault(entry, environ))), "")


def _verdict(
    variable: entries.Variable, environ: Mapping[str, str], policy: CompiledPolicy
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
    variable: entries.Variable,
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
        return "RG106" if _key_fault(name, environ, policy) else ""
    rule = _verdict(variable, environ, policy).rule
    if not active or exception is not None or not rule or RULES[rule].severity == "note":
        return ""
    if kind == "base_url" and name not in environ:
        # a value that is not here may be the gateway's own address
        return ""
    return rule


# The value ---------------------------------------------------------------------------------------

_PLAIN_PART = late(r"v\d+(?:alpha|beta)?\d*|[A-Za-z]+(?:[._-][A-Za-z]+)*")
"""A part of a path that people wrote: words, or the version of an API."""


def _address(kind: str, value: str) -> net.Url | None:
    """The address that `value` surely is, None for another one: it may be secret as a whole."""
    found = net.read_url(value) if kind in ("base_url", "http_proxy") else None
    if found is None or found.port < 0 or is_key(found.host, apart=False):
        return None
    # a secret put here by mistake has no scheme, and no dot in it
    if not net.is_loopback(found.host) and not (found.scheme and "." in found.host):
        return None
    return found


def _shown(kind: str, value: str) -> str:
    """`value` as it may be shown.

    Of an address user, password, query and fragment are left out, and a part of its path that is
    not plain is masked: some gateways take a key there.
    """
    found = _address(kind, value)
    if found is None:
        return mask(value)
    scheme = f"{found.scheme}://" if found.scheme else ""
    place = net.authority(found.host, found.port).removesuffix(":0")
    parts = [part if not part or _is_plain(part) else mask(part) for part in found.path.split("/")]
    return scheme + place + "/".join(parts)


def _is_plain(part: str) -> bool:
    return _PLAIN_PART.fullmatch(part) is not None and not is_key(part, apart=False)


def _leads_to(kind: str, value: str) -> str:
    """The host and the port of an address; "" for what is not an address."""
    found = _address(kind, value)
    return net.authority(found.host, found.effective_port()) if found else ""
