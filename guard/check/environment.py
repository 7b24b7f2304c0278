"""`check --env`: the findings that a launch from here would have, by the launch's own plan.

The plan of a launch is made and not carried out; what it would remove, miss or refuse becomes a
finding, in the launch's own words. Around it: startup files and dotenv files that would set such
a variable again, and under CI the files by which a step hands variables to the next.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from guard import paths, shells, variables
from guard.agents.adapter import Agent
from guard.agents.registry import default_agent, is_switch, keeps, pinned, without_guard
from guard.catalog.classify import classify
from guard.catalog.key_values import is_placeholder
from guard.check import baseline, suppress
from guard.check.ci_runners import Runner, handed_on
from guard.check.result import Result, order, unchecked
from guard.errors import GuardError, UsageError, either, printable
from guard.findings import Finding, allow
from guard.hook import liveness
from guard.launch import resolve
from guard.launch.agent import plan_launch
from guard.policy.values import CompiledPolicy
from guard.rule_table import RULES
from guard.sources import bounded_text, dotenv_files, dotenv_text, rc_files, reading
from guard.sources.file import SourceFile
from guard.sources.records import Assignment, Skipped
from guard.sources.shell_commands import POSIX
from guard.sources.shell_exports import Scripts

_VARIABLE_RULES = frozenset(f"RG10{digit}" for digit in range(1, 9))

_PLACES = ("HOME", "PATH", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
_DYNAMIC = re.compile(r"[$`(]")

Place = Callable[[str], tuple[str, int]]
"""The file and line that give a variable its value, ("", 0) for the process environment."""


@dataclass(frozen=True, slots=True)
class EnvironmentRequest:
    """What to check: the environment, the directory, the policy, the time (Unix seconds).

    `runner` is set under CI. `root` stands for `/` in the paths of the system's startup files.
    """

    environ: Mapping[str, str]
    cwd: str
    policy: CompiledPolicy
    now: float
    runner: Runner | None = None
    root: str = "/"


def check(asked: EnvironmentRequest, selected: frozenset[str]) -> Result:
    """Check the process environment, and the files that a launch from here would read."""
    agent = default_agent()
    program = _program(agent, asked)
    findings = list(_of_launch(asked, agent, program))
    if (lost := liveness.lost(asked.environ)) is not None:
        findings.append(lost)
    remarks = []
    if not program:
        remarks.append(f"{agent.title} is not installed here: its version was not checked")
    if asked.runner is None:
        readings = [rc_files.read(asked.environ, root=asked.root)]
        findings += _of_assignments(asked, readings[0].assignments, "every new shell sets it")
    else:
        remarks.append(f"running in {asked.runner.name}")
        readings = []
        findings += _of_handed_on(asked)
    readings.append(dotenv_files.read(asked.cwd, home=paths.home(asked.environ)))
    findings += _of_assignments(
        asked,
        readings[-1].assignments,
        "tools that load the file pass it on",
        forms=True,
    )
    for skipped in dict.fromkeys(s for found in readings for s in found.skipped):
        findings.append(unchecked(skipped.path, skipped.reason))
    return _result(asked, findings, selected, remarks)


def check_file(asked: EnvironmentRequest, path: str, selected: frozenset[str]) -> Result:
    """Check the variables in the dotenv file `path`, as if they were the environment.

    Raises UsageError if it cannot be read.
    """
    absolute = os.path.join(asked.cwd, path)
    text = bounded_text.read(absolute, dotenv_text.LIMIT)
    if not isinstance(text, str):
        why = "there is no such file" if text is None else text.reason
        raise UsageError(f"cannot read the environment file {printable(path)}", why=why)
    lines: dict[str, int] = {}
    environ = {name: asked.environ[name] for name in _PLACES if name in asked.environ}
    for found in dotenv_text.assignments(text):
        kind, _ = _classified(found.name, asked.policy)
        if kind in _SECRETS and is_placeholder(found.value):
            continue  # to be filled in, as `check` of the file itself has it
        environ[found.name] = found.value
        lines[found.name] = found.line

    def place(name: str) -> tuple[str, int]:
        return (absolute, lines[name]) if name in lines else (absolute, 0)

    of_file = EnvironmentRequest(
        environ, asked.cwd, asked.policy, asked.now, asked.runner, asked.root
    )
    findings = [
        finding
        for finding in _of_launch(of_file, default_agent(), "", place)
        if (finding.rule in _VARIABLE_RULES and finding.subject not in _PLACES)
        or (finding.rule == "RG504" and finding.subject in lines)
    ]
    return _result(asked, findings, selected, [])


# What the launch says ----------------------------------------------------------------------------


def _of_launch(
    asked: EnvironmentRequest, agent: Agent, program: str, place: Place = lambda _: ("", 0)
) -> Iterator[Finding]:
    """The findings of the plan of a bare launch, and one for each variable it would remove."""
    own, wrong = _own(asked)
    plan, _ = plan_launch(
        agent, [], own, wrong, program, asked.policy, asked.cwd, asked.now, write=False
    )
    set_by_launch = pinned(asked.environ, asked.policy)
    for change in plan.changes:
        if change.action != "removed" or not change.rule or not own.get(change.name):
            continue
        if change.name in set_by_launch:
            continue
        if is_switch(change.name, own[change.name]):
            continue
        finding = _of_variable(asked, change.name, own[change.name])
        if finding is not None:
            yield _placed(finding, place(change.name), asked)
    for name in sorted(own):
        finding = _of_variable(asked, name, own[name])
        if finding is not None and finding.rule == "RG102":
            yield _placed(finding, place(name), asked)
    for finding in plan.findings:
        if finding.rule == "RG204" and not program:
            continue
        if finding.where == "environment":
            yield _placed(finding, place(finding.subject), asked)
        else:
            if os.path.isabs(finding.where):
                finding.path = _shown(finding.where, asked.cwd)
            yield finding


def _own(asked: EnvironmentRequest) -> tuple[dict[str, str], list[paths.Misplaced]]:
    """The environment as a launch takes it, and the places that it leaves out of it."""
    own = without_guard(asked.environ)
    wrong = paths.misplaced(own, asked.cwd)
    return paths.without_misplaced(own, wrong), wrong


def _program(agent: Agent, asked: EnvironmentRequest) -> str:
    """The program of `agent`; "" if there is none here: in CI it may be installed later."""
    try:
        return resolve.find_agent(agent, agent.names[0], _own(asked)[0])
    except GuardError:
        return ""


def _of_variable(
    asked: EnvironmentRequest, name: str, value: str, consequence: str = ""
) -> Finding | None:
    """The finding for a variable with this value; None if nothing is wrong with it by itself."""
    if not value:
        return None
    kind, owner = _classified(name, asked.policy)
    verdict = variables.judge(name, kind, owner, value, asked.policy, keeps=keeps())
    if not verdict.rule or kind == "ambient" or is_switch(name, value):
        return None
    if asked.policy.excepted(verdict.subject, asked.now) is not None:
        return None
    flagged = (
        name in variables.AUTHORITIES
        or (verdict.rule == "RG101" and asked.policy.keys_action == "flag")
        or (verdict.rule == "RG104" and asked.policy.proxies_action == "flag")
    )
    fix = _removal(asked, name)
    if verdict.advice:
        fix += f"\nor, {verdict.advice}"
    if kind == "unknown_key":
        fix = f"if it opens a model provider:\n{fix}\nif not:\n{allow('env', name, '30d')}"
    elif kind == "http_proxy":
        fix = either(fix, allow("proxy", verdict.place))
    if asked.runner is None:
        fix += f"\nwhere it comes from:\nrouteguard why {shlex.quote(printable(name))}"
    return Finding(
        verdict.rule,
        name,
        f"{name} {verdict.words}{consequence}",
        where="environment",
        fix=fix,
        severity="warning" if flagged and RULES[verdict.rule].severity == "error" else "",
    )


def _classified(name: str, policy: CompiledPolicy) -> tuple[str, str]:
    return classify(name, policy.variables, policy.gateway_keys)


def _removal(asked: EnvironmentRequest, name: str) -> str:
    if asked.runner is not None:
        return f"remove {name} from {asked.runner.set_in}"
    return shells.unset(name)


def _placed(finding: Finding, place: tuple[str, int], asked: EnvironmentRequest) -> Finding:
    path, line = place
    if not path:
        return finding
    finding.path, finding.line, finding.column = _shown(path, asked.cwd), line, 1 if line else 0
    finding.where = f"{finding.path}:{line}" if line else finding.path
    if finding.rule != "RG106":
        finding.fix = f"remove {finding.subject} from {finding.where}"
    return finding


# Files that set variables ------------------------------------------------------------------------


_ADDRESSES = ("base_url", "http_proxy")
_SECRETS = ("provider_key", "unknown_key")


def _of_assignments(
    asked: EnvironmentRequest,
    assignments: Iterable[Assignment],
    consequence: str,
    *,
    forms: bool = False,
) -> Iterator[Finding]:
    """The findings for what files set, each as a launch with only this variable would have it.

    `forms` tells that a value may be there to be filled in: in a dotenv file, which a tool loads
    or not. What a startup file sets is set.
    """
    for found in assignments:
        kind, _ = _classified(found.name, asked.policy)
        dynamic = _DYNAMIC.search(found.value) is not None
        if not found.exported or (dynamic and kind in _ADDRESSES):
            continue  # where an address leads may be known to a running shell alone
        if forms and kind in _SECRETS and is_placeholder(found.value) and not dynamic:
            continue
        finding = _of_variable(asked, found.name, found.value, f"; {consequence}")
        if finding is not None:
            yield _placed(finding, (found.path, found.line), asked)


def _of_handed_on(asked: EnvironmentRequest) -> Iterator[Finding]:
    """The files by which a step of a job sets variables for the steps after it."""
    consequence = "later steps get it"
    assignments: list[Assignment] = []
    skipped: list[Skipped] = []
    path = asked.environ.get("GITHUB_ENV", "")
    if os.path.isabs(path):
        text = bounded_text.read(path)
        if isinstance(text, Skipped):
            skipped.append(text)
        for name, value, line in handed_on(text) if isinstance(text, str) else ():
            assignments.append(Assignment(name, path, line, "GITHUB_ENV", value=value))
    path = asked.environ.get("BASH_ENV", "")
    if os.path.isabs(path):
        # every bash that runs a script reads it (bash(1)); CircleCI hands variables on with it
        script = Scripts(asked.environ, paths.home(asked.environ))
        script.read(path, POSIX)
        assignments += script.assignments
        skipped += script.skipped
    yield from _of_assignments(asked, assignments, consequence)
    yield from (unchecked(found.path, found.reason) for found in skipped)


# The result --------------------------------------------------------------------------------------


def _shown(path: str, root: str) -> str:
    below = os.path.realpath(root).rstrip("/") + "/"
    return path[len(below) :] if path.startswith(below) else path


def _result(
    asked: EnvironmentRequest,
    findings: Iterable[Finding],
    selected: frozenset[str],
    remarks: list[str],
) -> Result:
    root = os.path.realpath(asked.cwd)
    unique: dict[tuple[str, str, str, int], Finding] = {}
    for finding in findings:
        if finding.rule in selected:
            unique.setdefault((finding.rule, finding.subject, finding.where, finding.line), finding)
    files: dict[str, SourceFile] = {}
    for path in dict.fromkeys(f.path for f in unique.values() if f.path and f.line):
        file = reading.read(reading.Entry(path, os.path.realpath(os.path.join(root, path))))
        if isinstance(file, SourceFile):
            files[path] = file
    remaining: list[tuple[Finding, str]] = []
    silenced: list[Finding] = []
    for finding in sorted(unique.values(), key=order):
        source = files.get(finding.path) if finding.line else None
        if source is not None:
            # the file as a whole is not checked, so nothing is said about its other suppressions
            kept, quiet = suppress.apply(source, [finding], frozenset())
            silenced += quiet
            if finding not in kept:
                continue
        text = source.line(finding.line) if source is not None else finding.subject
        remaining.append((finding, baseline.fingerprint(finding, text)))
    return Result(
        findings=tuple(finding for finding, _ in remaining),
        fingerprints=tuple(fingerprint for _, fingerprint in remaining),
        suppressed=tuple(silenced),
        files_checked=len(files),
        files_skipped=sum(finding.rule == "RG903" for finding, _ in remaining),
        root=root,
        kind="environment",
        remarks=tuple(remarks),
    )
