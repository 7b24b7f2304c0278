"""The checks of a launch: policy, agents, their files and logins, local proxies."""

from __future__ import annotations

import time
from collections.abc import Iterator

from guard.agents.registry import present
from guard.doctor.context import Context
from guard.doctor.result import Diagnosis, of_error, of_finding, ok, skipped, warning
from guard.errors import GuardError
from guard.findings import Finding
from guard.launch import resolve

_VERSION = ("RG204",)
_FILES = ("RG302", "RG303")
_LOGINS = ("RG304", "RG305")
_ELSEWHERE = ("RG106", "RG402", *_VERSION, *_FILES, *_LOGINS)
"""Rules that a check of their own tells about."""


def policy(context: Context) -> Iterator[Diagnosis]:
    """Can the policy be read and trusted, and which layers make it?"""
    if isinstance(context.loaded, GuardError):
        yield of_error(context.loaded)
        return
    for wrong in context.misplaced:
        yield warning(f"{wrong.what}; your account's own is used instead", wrong.fix, "RG504")
    for note in context.loaded.notes:
        yield warning(note, "routeguard policy show --effective")
    layers = ", ".join(f"{name} {path}" for name, path in context.loaded.layers)
    yield ok(f"valid: {layers}" if layers else "no file: the built-in policy holds")


def agents(context: Context) -> Iterator[Diagnosis]:
    """Which agents are here, in which version, and are there other copies on PATH?"""
    for agent in present(context.policy, context.program):
        program = context.program(agent)
        if not program:
            yield skipped(f"{agent.title} is not on PATH ({agent.install})")
            continue
        facts = context.launch(agent)[1]
        version, tested = facts.version, facts.adapter(agent).tested
        shown = ".".join(map(str, version)) if any(version) else "of an unknown version"
        judged = context.findings(agent, *_VERSION)
        for finding in judged:
            yield _of(agent.title, finding)
        if not any(one.severity == "error" for one in judged):
            yield ok(f"{agent.title} {shown}, {program} (tested: {tested})")
        copies = [p for name in agent.names for p in resolve.copies(name, context.environ)]
        others = [path for path in copies if path != program]
        if others:
            yield warning(
                f"other copies of {agent.title} on PATH: {', '.join(others)}",
                "remove those you do not need; a launch takes the first one",
            )


def launch(context: Context) -> Iterator[Diagnosis]:
    """Would a launch from this directory be refused for another reason?"""
    for agent in present(context.policy, context.program):
        if not context.program(agent):
            continue
        plan, _ = context.launch(agent)
        refused = [one for one in plan.forbidden_by if one.rule not in _ELSEWHERE]
        for finding in refused:
            yield _of(agent.title, finding)
        if not refused:
            names = sorted({c.name for c in plan.changes if c.action == "removed" and c.rule})
            removed = f"; it removes {', '.join(names)}" if names else ""
            yield ok(f"{agent.title} from this directory goes to {plan.route}{removed}")


def agent_files(context: Context) -> Iterator[Diagnosis]:
    """Does an administrator's file or one of yours outrank the pinned route?"""
    for agent in present(context.policy, context.program):
        facts = context.launch(agent)[1]
        managed = facts.adapter(agent).managed_files(facts)
        told = context.findings(agent, *_FILES)
        # a note on an administrator's file says that routeguard wrote it
        ours = [one for one in told if one.severity == "note" and one.where in managed]
        found = [one for one in told if one not in ours]
        yield from map(of_finding, found)
        if managed and len(ours) == len(managed) and not found:
            yield ok(f"{agent.title}: {', '.join(managed)} by routeguard, and the launch agrees")
        elif not found:
            theirs = f"the administrator's {', '.join(managed)} leaves" if managed else "they leave"
            yield ok(f"{agent.title}: {theirs} the route as it is")


def logins(context: Context) -> Iterator[Diagnosis]:
    """Are there logins in an agent's store that lead past the gateway?"""
    for agent in present(context.policy, context.program):
        found = context.findings(agent, *_LOGINS)
        for finding in found:
            yield _of(finding.subject, finding)
        if not found:
            yield ok(f"{agent.title}: none stored")


def proxies(context: Context) -> Iterator[Diagnosis]:
    """Does a local proxy listen that the policy forbids?"""
    from guard.launch.local_proxies import finding
    from guard.proxies.view import view_listeners

    view = view_listeners(context.policy)
    for seen in view.forbidden:
        yield of_finding(finding(seen.found, context.policy.proxies_action))
    if not view.forbidden:
        allowed = [str(one.found.port) for one in view.seen if one.state == "allowed"]
        also = f" (allowed by an exception: port {', '.join(allowed)})" if allowed else ""
        yield ok(f"none listens that the policy forbids{also}")
    if view.remark:
        yield warning(view.remark)


def running(context: Context) -> Iterator[Diagnosis]:
    """Does an agent run that is not guarded?"""
    from guard.agents import running as agents_running
    from guard.agents.guarded import UNKNOWN

    agents_running.see_processes()
    found = agents_running.find_running(context.policy, time.time(), connections=False)
    unguarded = [said for one in found if (said := agents_running.finding(one)) is not None]
    for said in unguarded:
        yield Diagnosis("warning", f"{said.message} ({said.where})", said.fix, said.rule)
    if not unguarded:
        guarded = [one for one in found if one.state != UNKNOWN]
        yield ok(f"{len(guarded)} running, all guarded" if guarded else "none is running")


def _of(whose: str, finding: Finding) -> Diagnosis:
    """The finding as a result that begins with the agent it is about."""
    one = of_finding(finding)
    return Diagnosis(one.state, f"{whose}: {one.what}", one.fix, one.rule)
