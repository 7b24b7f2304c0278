"""`routeguard exec -- CMD…`: an agent is planned, any other command gets a cleaned environment.

Hot-path module.
"""

from __future__ import annotations

import os
import time

from guard import paths
from guard.agents.registry import agent_of, keeps, names, without_guard
from guard.agents.runners import run_by_package_runner
from guard.catalog import runners
from guard.errors import ExitCode, GuardError, UsageError
from guard.launch import resolve
from guard.launch.process import (
    already_running,
    become,
    environment_at_start,
    load_policy,
    own_policy,
    say_unless_quiet,
    tell,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.adapter import Agent
    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy


def main(argv: list[str]) -> int:
    """Run `exec` with `argv`; returns only if nothing was launched, or raises GuardError."""
    fence, rest = fence_option(argv)
    words = command_of(rest)
    environ = environment_at_start()
    if paths.LOOKED_AT in environ:
        os.write(1, b"\n")  # waits, because the pipe is full, until it has been seen
        from guard import shells

        raise GuardError(
            "nothing was started",
            where=f"environment variable {paths.LOOKED_AT}",
            why="routeguard sets it only to look at what a script in front of an agent starts",
            fix=shells.unset(paths.LOOKED_AT),
            rule="RG503",
        )
    _tell_lost_hook(environ)
    from guard.agents.plan import Plan

    started = agent_or_plan(words, environ)
    if not isinstance(started, Plan):
        agent = started
        from guard.launch.agent import carry_out, plan_agent

        try:
            plan, policy, facts = plan_agent(agent, words, environ, write=True)
        except GuardError as error:
            _record_failure(agent, error, environ)
            raise
        if facts is not None:
            carry_out(agent, plan, policy, facts, environ, fence=fence)
        said = f"your policy leaves {agent.title} out ([agents] guard): it starts as it is"
        say_unless_quiet(f"routeguard: {said}", environ)
    else:
        plan = started
        if plan.agent:
            from guard.launch.agent import settle

            own, policy = own_policy(environ)
            settle(plan, policy, own)
    last = None
    if fence:
        from guard.launch.agent import fence_around

        last = fence_around(plan, load_policy(environ), environ, fence)
    tell(plan, environ)
    become(plan.program, words, plan.environ, environ, last)
    return ExitCode.INTERNAL  # execve does not return


def _record_failure(agent: Agent, error: GuardError, environ: Mapping[str, str]) -> None:
    """Write the launch that `error` refused into the audit log, where the user has one."""
    from guard import audit

    own = without_guard(environ)
    try:
        own = paths.without_misplaced(own, paths.misplaced(own, paths.here()))
    except GuardError:
        return  # no directory is left that is the user's own
    audit.record_failure(agent.id, error, own)


def _tell_lost_hook(environ: dict[str, str]) -> None:
    """Warn that the shell has lost its prompt hook; the program does not inherit the mark."""
    if paths.HOOK in environ:
        from guard.hook import liveness

        found = liveness.lost(environ)
        del environ[paths.HOOK]
        if found is not None:
            fix = found.fix.replace("\n", "; ")
            say_unless_quiet(f"routeguard: {found.message} [{found.rule}]; fix: {fix}", environ)


def fence_option(argv: list[str]) -> tuple[bool | None, list[str]]:
    """What `--fence` and `--no-fence` in front of the command say, None if neither; the rest."""
    asked = None
    at = 0
    while argv[at : at + 1] in (["--fence"], ["--no-fence"]):
        asked = argv[at] == "--fence"
        at += 1
    return asked, argv[at:]


def command_of(argv: list[str]) -> list[str]:
    """The command in `[--] CMD [ARG…]`. Raises UsageError if there is none."""
    words = argv[1:] if argv[:1] == ["--"] else argv
    if not words or not words[0]:
        raise UsageError(
            "exec needs a command",
            fix="routeguard exec -- COMMAND\nmore:\nrouteguard exec --help",
        )
    if words is argv and words[0].startswith("-"):
        raise UsageError(
            f"no such option: {words[0]}",
            fix="routeguard exec --help\nor, if it is the command:\nrouteguard exec -- …",
        )
    return words


def agent_or_plan(words: list[str], environ: dict[str, str]) -> Agent | Plan:
    """The guarded agent that `words` start, by its name or by a link to it; or else the plan of
    the command. Raises GuardError as `plan_other`."""
    agent = agent_of(words[0])
    if agent is not None:
        return agent
    plan = plan_other(words, environ)
    agent = None if plan.agent else resolve.agent_behind(plan.program)
    return plan if agent is None else agent


def plan_other(words: list[str], environ: dict[str, str]) -> Plan:
    """Plan the launch of a command that is no guarded agent: a cleaned environment, shims in front.

    Where the policy has launches of an agent cleaned or refused that cannot be guarded, the plan
    is that of `others.plan`. Raises GuardError if the command is missing, is a package runner that
    would fetch a guarded agent, or would start one where no shim is.
    """
    package = run_by_package_runner(words)
    if package:
        from guard.launch.past_shims import fetching

        raise fetching(words[0], package)
    from guard.agents import environment
    from guard.agents.plan import Plan

    own, policy = own_policy(environ)
    plan = _plan_unguardable(words, environ, own, policy)
    if plan is None:
        clean, changes, findings = environment.clean(
            environ, policy, time.time(), keeps=keeps(), agent=False
        )
        plan = Plan(
            agent="", kind="other", program="", typed=words[1:], argv=words[1:],
            environ=clean, changes=changes, findings=findings,
            name=os.path.basename(words[0]),
        )  # fmt: skip
    shims = paths.shims(own)
    guarded = names(policy.unguarded)
    if not plan.agent and any(name in word for word in words[1:] for name in guarded):
        from guard.launch.past_shims import require_none

        require_none(words, guarded, shims)
    if os.path.isdir(shims):
        plan.environ["PATH"] = paths.behind_shims(plan.environ.get("PATH", os.defpath), shims)
    plan.program = plan.program or resolve.find_program(words[0], plan.environ)
    if not plan.program:
        raise GuardError(
            f"{words[0]}: command not found",
            where="PATH",
            fix="check the name; shell functions and aliases are not programs",
            exit_code=ExitCode.NOT_FOUND,
        )
    return plan


def _plan_unguardable(
    words: list[str], environ: dict[str, str], own: Mapping[str, str], policy: CompiledPolicy
) -> Plan | None:
    """The plan where `words` start an agent that cannot be guarded, None for any other command.

    `own` is `environ` without what an outer launch put into it.
    """
    name = os.path.basename(words[0])
    if runners.read(words) is None and not any(name in one.names for one in policy.others):
        return None
    from guard.agents import others

    # a script of the user's own that starts the agent of its name comes back here
    avoid, wrappers = already_running(environ)
    program = resolve.find_program(words[0], own, (*avoid, *wrappers))
    program = program or resolve.find_program(words[0], own, avoid)
    agent = others.typed(words, program, policy)
    if agent is None:
        return None
    return others.plan(agent, words, program, environ, policy, time.time())
