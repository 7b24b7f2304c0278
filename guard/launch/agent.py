"""The launch of an agent: plan it, refuse it or become it.

Hot-path module. `exec` carries out what is planned here, `explain` shows it, `check --env` judges
it.
"""

from __future__ import annotations

import os
import time

from guard import paths
from guard.agents import binary
from guard.agents.kinds import HARMLESS, LEFT_OUT, NO_MODEL
from guard.agents.plan import Plan
from guard.agents.registry import without_guard
from guard.errors import GuardError, PolicyError, say
from guard.launch import places, resolve
from guard.launch.process import (
    already_running,
    become,
    insist_on_log,
    load_policy,
    mark,
    say_unless_quiet,
    shim_text,
    tell,
    working_directory,
)
from guard.policy.values import CompiledPolicy
from guard.rule_table import RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.agents.adapter import Agent, Facts
    from guard.findings import Finding
    from guard.paths import Misplaced


def plan_agent(
    agent: Agent, words: list[str], environ: dict[str, str], *, write: bool
) -> tuple[Plan, CompiledPolicy, Facts | None]:
    """Plan the launch of `agent` as `words`; nothing is started or made ready.

    Without facts where the policy leaves this agent alone: it starts as if routeguard were not
    there. `write` False leaves no trace on disk.
    Raises GuardError if the agent is missing, PolicyError if the policy is broken and the command
    could call a model.
    """
    own = without_guard(environ)
    wrong = paths.misplaced(own, working_directory())
    own = paths.without_misplaced(own, wrong)
    program = resolve.find_agent(agent, words[0], own, *already_running(environ))
    try:
        policy = load_policy(own, asked=not wrong)
    except PolicyError as error:
        policy = CompiledPolicy()
        chosen = places.chosen_program(program, policy, own, working_directory(), time.time())
        release = agent.of_release(words[1:], "" if chosen else program, own)
        if release.kind(words[1:]) != HARMLESS:
            raise
        # nothing here calls a model, and a broken policy must not keep anyone from --help
        say(f"routeguard: {error.what} [{error.rule}]; this command calls no model, so it starts")
    if agent.id in policy.unguarded:
        plan = Plan(
            agent=agent.id, kind=LEFT_OUT, program=program, typed=words[1:], argv=words[1:],
            environ=dict(environ), name=os.path.basename(words[0]),
        )  # fmt: skip
        return plan, policy, None
    plan, facts = plan_launch(
        agent, words[1:], own, wrong, program, policy, working_directory(), time.time(),
        write=write,
    )  # fmt: skip
    plan.name = os.path.basename(words[0])
    return plan, policy, facts


def plan_launch(
    agent: Agent,
    typed: list[str],
    own: dict[str, str],
    wrong: list[Misplaced],
    program: str,
    policy: CompiledPolicy,
    cwd: str,
    now: float,
    *,
    write: bool,
) -> tuple[Plan, Facts]:
    """The plan that `exec` carries out, `explain` shows and `check --env` judges.

    `own` is the user's own environment without what the project chose in it, which is `wrong`;
    `program` the agent's binary ("" where there is none, for a plan that is not carried out), `now`
    in Unix seconds. What the machine refuses is a finding of the plan like what the policy refuses.
    """
    chosen = places.chosen_program(program, policy, own, cwd, now) if program else []
    # a program of the project's is not started to ask for its version either
    agent = agent.of_release(typed, "" if chosen else program, own)
    harmless = agent.kind(typed) == HARMLESS
    write = write and not harmless
    facts = agent.survey(typed, own, "" if chosen else program, cwd, write=write and not chosen)
    plan = agent.plan(policy, facts, program, now)
    if policy.gateway_ca or policy.gateway_proxy:
        from guard.agents.reach import reach

        reach(plan, policy, agent)
    # the agent's own directories as well: commands that call no model run the programs that
    # settings there name (run)
    moved = paths.inside(own, cwd, agent.directories)
    if harmless:
        from guard.agents.environment import Change

        plan.changes += [Change("removed", one.variable, "", one.what) for one in wrong]
        for one in moved:
            plan.remove(one.variable, one.what)
    else:
        plan.findings[:0] = places.chosen_directories([*wrong, *moved])
    plan.findings[:0] = chosen
    if plan.guarded:
        from guard.launch import bare_calls

        bare_calls.note(plan, policy, own)
    if plan.kind not in NO_MODEL:
        from guard.launch import local_proxies

        local_proxies.check(plan, policy, own, now, write=write)
    if plan.guarded and program and not agent.is_proved(facts.version, policy):
        from guard.agents import proved

        plan.on_trial = program
        plan.unproved, notes = proved.judge(agent, policy, program, facts, own)
        plan.findings += notes
    if plan.guarded and policy.proxies_fence == "require":
        from guard.launch import fence

        why = fence.unavailable()
        if why:
            plan.findings.append(fence.missing(why))
    return plan, facts


def carry_out(
    agent: Agent,
    plan: Plan,
    policy: CompiledPolicy,
    facts: Facts,
    environ: dict[str, str],
    *,
    fence: bool | None = None,
) -> None:
    """Refuse `plan` of `agent` (raises GuardError) or become its program.

    `fence` is what `fence_option` read.
    """
    from guard import masking

    release = facts.adapter(agent)
    masking.remember_names(entry.key_env for entry in policy.providers)
    command = facts.command
    if plan.forbidden_by:
        _record(plan, "refused", facts.environ, command, policy)
        raise refusal(plan)
    if plan.unproved:
        _prove(agent, plan, policy, facts, environ)
    if plan.stops:
        _stop(plan, policy, facts, command)
    last = fence_around(plan, policy, environ, fence)
    if plan.guarded:
        for name, entry in plan.keys:
            from guard.launch import keys  # one that a command prints

            plan.environ[name] = keys.fetch(entry, facts.environ)
        for sentence in release.prepare(plan, policy, facts, shim_text):
            say(f"routeguard: {sentence}")
        if binary.starts_another(plan.program, release):
            _look_behind(release, plan, policy, facts, environ)
        tell(plan, environ)
    if plan.kind not in NO_MODEL:
        _record(plan, "launched", facts.environ, command, policy)
    if plan.directory:
        os.chdir(plan.directory)
    become(plan.program, [plan.program, *plan.argv], plan.environ, environ, last)


def _look_behind(
    release: Agent, plan: Plan, policy: CompiledPolicy, facts: Facts, environ: Mapping[str, str]
) -> None:
    """Refuse a script that hands on something else than it is given. Raises GuardError."""
    from guard.launch import wrapped

    mark(plan.program, plan.environ, environ)
    wrong = wrapped.judge(release, plan, policy, plan.environ, time.time())
    if wrong is not None:
        plan.findings.append(wrong)
        _record(plan, "refused", facts.environ, facts.command, policy)
        raise refusal(plan)


def _prove(
    agent: Agent, plan: Plan, policy: CompiledPolicy, facts: Facts, environ: Mapping[str, str]
) -> None:
    """Let the binary prove its route now. Raises GuardError if it does not, and records that."""
    from guard.launch import first_use

    try:
        first_use.prove(agent, plan, policy, facts, environ, say)
    except GuardError:
        _record(plan, "refused", facts.environ, facts.command, policy)
        raise


def settle(plan: Plan, policy: CompiledPolicy, environ: Mapping[str, str]) -> None:
    """Log the launch of an agent that cannot be guarded; raise GuardError if `plan` forbids it.

    `environ` is the user's own.
    """
    from guard import masking

    masking.remember_names(entry.key_env for entry in policy.providers)
    if plan.forbidden_by:
        _record(plan, "refused", environ, "", policy)
        raise refusal(plan)
    if plan.kind not in NO_MODEL:
        _record(plan, "launched", environ, "", policy)


def fence_around(
    plan: Plan, policy: CompiledPolicy, environ: Mapping[str, str], asked: bool | None
) -> Callable[[str, list[str]], tuple[str, list[str]]] | None:
    """A function that raises the fence that the policy, or `asked`, wants; None for no fence.

    It takes and returns the program and its arguments. Raises GuardError if there has to be a
    fence and `asked` is False, or the machine cannot do it.
    """
    wanted = policy.proxies_fence if plan.guarded else "off"
    if asked is None and wanted == "off":
        return None
    from guard.launch import fence

    return fence.around(plan, policy, wanted, asked, lambda line: say_unless_quiet(line, environ))


def _stop(plan: Plan, policy: CompiledPolicy, facts: Facts, command: str) -> None:
    """Stop the local proxies of `plan`. Raises GuardError if one still listens."""
    from guard.launch import local_proxies

    for sentence in local_proxies.stop(plan.stops):
        say(f"routeguard: {sentence} [RG402]")
    plan.findings = [f for f in plan.findings if f.rule != "RG402"]
    local_proxies.check(plan, policy, facts.environ, time.time(), write=True)
    if plan.stops:
        # what has come back is not chased: something starts it, and that has to be stopped
        plan.findings = [f for f in plan.findings if f.rule != "RG402"]
        plan.findings += [local_proxies.finding(one, "refuse") for one in plan.stops]
    if plan.forbidden_by:
        _record(plan, "refused", facts.environ, command, policy)
        raise refusal(plan)


def _record(
    plan: Plan, decision: str, environ: Mapping[str, str], command: str, policy: CompiledPolicy
) -> None:
    """Write the line of `plan` into the audit log.

    Raises GuardError (RG503) where the policy wants no launch without one.
    """
    from guard import audit

    why = audit.record(plan, decision, environ, command)
    required = policy.audit_required and decision == "launched"
    insist_on_log(why, f"{plan.name} was not started", environ, required=required)


def refusal(plan: Plan) -> GuardError:
    """The error that says why `plan` does not start: the first reason whole, the others below."""
    from guard.masking import without_secrets

    first, *others = [without_secrets(finding) for finding in plan.forbidden_by]
    error = _as_error(first, f"{plan.name} was not started: {first.message}")
    if others:
        error.fix += "\n" * bool(error.fix) + "and then:"
        for finding in others:
            error.fix += f"\n{finding.message} [{finding.rule}]"
            if finding.where:
                error.fix += f"\n  where: {finding.where}"
            if finding.fix:
                error.fix += "\n  fix:   " + finding.fix.replace("\n", "\n         ")
    return error


def _as_error(finding: Finding, what: str) -> GuardError:
    return GuardError(
        what,
        where=finding.where,
        why=RULES[finding.rule].title,
        fix=finding.fix,
        rule=finding.rule,
    )
