"""`routeguard exec -- CMD…`: plan the launch, refuse it or become it.

Hot-path module. The real program replaces this process, so exit status, signals, job control and
the terminal are its own.
"""

from __future__ import annotations

import errno
import os
import sys
import time

from guard import paths
from guard.agents.adapter import HARMLESS, NO_MODEL
from guard.agents.keys import unusable_key
from guard.agents.registry import agent_of, keeps, names, without_guard
from guard.agents.runners import run_by_package_runner
from guard.errors import ExitCode, GuardError, PolicyError, UsageError, printable
from guard.launch import bare_calls, local_proxies, places, resolve
from guard.policy import cache
from guard.policy.values import CompiledPolicy
from guard.rule_table import RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.agents.adapter import Agent, Facts
    from guard.agents.plan import Plan
    from guard.findings import Finding
    from guard.paths import Misplaced
    from guard.policy.values import CompiledPolicy

QUIET = "ROUTEGUARD_QUIET"
"""Set to anything but 0, a launch that goes ahead says nothing."""

MAX_DEPTH = 12
"""Launches below launches; more means that something starts itself."""


def main(argv: list[str]) -> int:
    """Run `exec` with `argv`; returns only if nothing was launched, or raises GuardError."""
    fence, rest = fence_option(argv)
    words = command_of(rest)
    environ = environment_at_start()
    _tell_lost_hook(environ)
    agent = agent_of(words[0])
    if agent:
        plan, policy, facts = plan_agent(agent, words, environ, write=True)
        carry_out(agent, plan, policy, facts, environ, fence=fence)
    plan = plan_other(words, environ)
    last = fence_around(plan, load_policy(environ), environ, fence) if fence else None
    tell(plan, environ)
    become(plan.program, words, plan.environ, environ, last)
    return ExitCode.INTERNAL  # execve does not return


def _tell_lost_hook(environ: dict[str, str]) -> None:
    """Say that the shell has lost its prompt hook; what is launched does not inherit the news."""
    if paths.HOOK in environ:
        from guard import hook

        found = hook.lost(environ)
        del environ[paths.HOOK]
        if found is not None:
            fix = found.fix.replace("\n", "; ")
            say_unless_quiet(f"routeguard: {found.message} [{found.rule}]; fix: {fix}", environ)


def environment_at_start() -> dict[str, str]:
    """The environment we were started with.

    In the C locale Python sets LC_CTYPE for itself and for its children (PEP 538); the program
    that follows us must not inherit that.
    """
    environ = dict(os.environ)
    if environ.get("LC_CTYPE") in ("C.UTF-8", "C.utf8", "UTF-8") and "LC_ALL" not in environ:
        try:
            with open("/proc/self/environ", "rb") as block:
                given = block.read()
        except OSError:
            return environ
        if not any(entry.startswith(b"LC_CTYPE=") for entry in given.split(b"\0")):
            del environ["LC_CTYPE"]
    return environ


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
            fix="routeguard exec -- COMMAND   (routeguard exec --help for more)",
        )
    if words is argv and words[0].startswith("-"):
        raise UsageError(
            f"exec has no option {words[0]}", fix="put -- before the command: routeguard exec -- …"
        )
    return words


def working_directory() -> str:
    """The current directory. Raises GuardError if it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        raise GuardError(
            "the current directory no longer exists",
            why="what lies around a launch cannot be looked at from here",
            fix="cd somewhere that exists",
            rule="RG303",
        ) from None


def _already_running(environ: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What not to start (again): programs to avoid, and those to start only for want of others.

    execve keeps the process id, so our own id in the marker means that the program we started
    was a wrapper that starts us again. A script in the marker that is not this process has asked
    for the agent as a child of its own (`"$(command -v opencode)" "$@"`): no launch lies between.
    """
    pid, depth, program = _marker(environ)
    if depth > MAX_DEPTH:
        raise GuardError(
            f"{depth} launches below one another",
            where=f"environment variable {paths.LAUNCH_MARKER}",
            why="something on PATH starts itself through routeguard",
            fix=f"look at `type -a {os.path.basename(program)}`; "
            "a wrapper there should call the binary by its path",
            rule="RG503",
        )
    if not program:
        return (), ()
    came_through = (
        os.path.realpath(program),
        *filter(None, environ.get(paths.WRAPPERS, "").split(":")),
    )
    if pid == os.getpid():
        return came_through, ()
    return (), came_through if resolve.is_wrapper(program) else ()


def _marker(environ: Mapping[str, str]) -> tuple[int, int, str]:
    pid, _, rest = environ.get(paths.LAUNCH_MARKER, "").partition(":")
    depth, _, program = rest.partition(":")
    if not (pid.isascii() and pid.isdigit() and depth.isascii() and depth.isdigit()):
        return 0, 0, ""
    return int(pid), int(depth), program


def plan_agent(
    agent: Agent, words: list[str], environ: dict[str, str], *, write: bool
) -> tuple[Plan, CompiledPolicy, Facts]:
    """Plan the launch of `agent` as `words`; nothing is started or made ready.

    `write` False leaves no trace on disk. Raises GuardError if the agent is missing, PolicyError
    if the policy is broken and the command could call a model.
    """
    own = without_guard(environ)
    wrong = paths.misplaced(own, working_directory())
    own = paths.without_misplaced(own, wrong)
    program = resolve.find_agent(agent, words[0], own, *_already_running(environ))
    harmless = agent.kind(words[1:]) == HARMLESS
    try:
        policy = load_policy(own)
    except PolicyError as error:
        if not harmless:
            raise
        # nothing here calls a model, and a broken policy must not keep anyone from --help
        say(f"routeguard: {error.what} [{error.rule}]; this command needs no route")
        policy = CompiledPolicy()
    plan, facts = plan_launch(
        agent, words[1:], own, wrong, program, policy, working_directory(), time.time(),
        write=write,
    )  # fmt: skip
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
    harmless = agent.kind(typed) == HARMLESS
    write = write and not harmless
    chosen = places.chosen_program(program, policy, own, cwd, now) if program else []
    # a program of the project's is not started to ask for its version either
    facts = agent.survey(typed, own, "" if chosen else program, cwd, write=write and not chosen)
    plan = agent.plan(policy, facts, program, now)
    if harmless and wrong:
        from guard.agents.environment import Change

        plan.changes += [Change("removed", one.variable, "", one.what) for one in wrong]
    elif wrong:
        plan.findings[:0] = places.chosen_directories(wrong)
    plan.findings[:0] = chosen
    if plan.guarded:
        bare_calls.note(plan, policy, own)
    if plan.kind not in NO_MODEL:
        local_proxies.check(plan, policy, own, now, write=write)
    if plan.guarded and policy.proxies_fence == "require":
        from guard.launch import fence

        why = fence.unavailable()
        if why:
            plan.findings.append(fence.missing(why))
    return plan, facts


def load_policy(environ: Mapping[str, str]) -> CompiledPolicy:
    """The policy of the current directory, by the user's own config home."""
    return cache.load(working_directory(), own_environment(environ))


def own_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` as the user's: without what an outer launch or the project put into it.

    Says which directories of the project do not count. Raises PolicyError where nothing is left.
    """
    return paths.of_user(without_guard(environ), working_directory(), say)


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

    masking.remember_names(entry.key_env for entry in policy.providers)
    command = facts.command
    if plan.forbidden_by:
        _record(plan, "refused", facts.environ, command, policy)
        raise refusal(plan)
    if plan.stops:
        _stop(plan, policy, facts, command)
    last = fence_around(plan, policy, environ, fence)
    if plan.guarded:
        from guard.launch import keys

        for name, entry in plan.keys:
            plan.environ[name] = keys.fetch(entry, facts.environ, unusable_key)
        for sentence in agent.prepare(policy, facts, {name: shim_text(name) for name in names()}):
            say(f"routeguard: {sentence}")
        tell(plan, environ)
    if plan.kind not in NO_MODEL:
        _record(plan, "launched", facts.environ, command, policy)
    if plan.directory:
        os.chdir(plan.directory)
    become(plan.program, [plan.program, *plan.argv], plan.environ, environ, last)


def fence_around(
    plan: Plan, policy: CompiledPolicy, environ: Mapping[str, str], asked: bool | None
) -> Callable[[str, list[str]], tuple[str, list[str]]] | None:
    """What raises the fence that the policy, or `asked`, wants around `plan`; None for no fence.

    It takes and returns the program and its arguments. Raises GuardError if there has to be a
    fence and `asked` is False, or the machine cannot do it.
    """
    wanted = policy.proxies_fence if plan.guarded else "off"
    if asked is None and wanted == "off":
        return None
    from guard.launch import fence

    return fence.around(plan, policy, wanted, asked, lambda line: say_unless_quiet(line, environ))


def _stop(plan: Plan, policy: CompiledPolicy, facts: Facts, command: str) -> None:
    """End the local proxies of `plan`. Raises GuardError if one listens all the same."""
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
    if not why:
        return
    if policy.audit_required and decision == "launched":
        raise GuardError(
            f"{plan.agent} was not started: the audit log cannot be written",
            where=audit.log_file(environ),
            why=f"{why}; your policy sets [audit] required = true",
            fix="make that file writable for you, or free some space",
            rule="RG503",
        )
    if not audit.said_today(environ):
        say(f"routeguard: the audit log cannot be written: {why} ({audit.log_file(environ)})")


def refusal(plan: Plan) -> GuardError:
    """The error that says why `plan` does not start: the first reason whole, the others below."""
    from guard.masking import without_secrets

    first, *others = [without_secrets(finding) for finding in plan.forbidden_by]
    error = _as_error(first, f"{plan.agent} was not started: {first.message}")
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


def tell(plan: Plan, environ: Mapping[str, str]) -> None:
    """One line on what the launch changed, if it changed anything one would want to know."""
    parts = [plan.rewritten] if plan.rewritten else []
    if not _marker(environ)[0]:
        names = [c.name for c in plan.changes if c.action == "removed" and c.rule]
        if names:
            parts.append(f"removed {', '.join(sorted(names))}")
    parts += [f"{f.message} [{f.rule}]" for f in plan.findings if f.severity == "warning"]
    if parts:
        say_unless_quiet(f"routeguard: {'; '.join(parts)}", environ)


def say_unless_quiet(line: str, environ: Mapping[str, str]) -> None:
    """`say`, where `environ` does not ask for silence of a launch that goes ahead."""
    if environ.get(QUIET, "0") in ("", "0"):
        say(line)


def say(line: str) -> None:
    """Write one line to stderr; a terminal that has gone away does not stop a launch."""
    try:
        sys.stderr.write(printable(line) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, UnicodeError):
        pass


def plan_other(words: list[str], environ: dict[str, str]) -> Plan:
    """Plan the launch of a command that is no agent: a cleaned environment, shims in front.

    Raises GuardError if the command is missing, or is a package runner that would fetch an agent.
    """
    package = run_by_package_runner(words)
    if package:
        raise GuardError(
            f"{words[0]} would fetch and start {package} past the guard",
            where="command line",
            why="a program at a path that nobody chose cannot be planned",
            fix="install the agent, then start it by its name",
            rule="RG502",
        )
    from guard.agents import environment
    from guard.agents.plan import Plan

    own = own_environment(environ)
    policy = load_policy(own)
    clean, changes, findings = environment.clean(
        environ, policy, time.time(), keeps=keeps(), agent=False
    )
    shims = paths.shims(own)
    if os.path.isdir(shims):
        others = [p for p in clean.get("PATH", os.defpath).split(":") if p != shims]
        clean["PATH"] = ":".join([shims, *others])
    program = resolve.find(words[0], clean)
    if not program:
        raise GuardError(
            f"{words[0]}: command not found",
            where="PATH",
            fix="check the name; shell functions and aliases are not programs",
            exit_code=ExitCode.NOT_FOUND,
        )
    return Plan(
        agent="",
        kind="other",
        program=program,
        typed=words[1:],
        argv=words[1:],
        environ=clean,
        changes=changes,
        findings=findings,
    )


def become(
    program: str,
    argv: list[str],
    child: dict[str, str],
    environ: Mapping[str, str],
    last: Callable[[str, list[str]], tuple[str, list[str]]] | None = None,
) -> None:
    """Replace this process by `program`; `last` is what `fence_around` gave.

    Raises GuardError if the system does not let us.
    """
    _, depth, _ = _marker(environ)
    child[paths.LAUNCH_MARKER] = f"{os.getpid()}:{depth + 1}:{program}"
    child.pop(paths.WRAPPERS, None)
    came_through = [path for paths_ in _already_running(environ) for path in paths_]
    if came_through and resolve.is_wrapper(program):
        child[paths.WRAPPERS] = ":".join(came_through)
    _default_signals()
    start, words = last(program, argv) if last else (program, argv)
    try:
        os.execve(start, words, child)
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            # as shells do with a script that has no #! line
            try:
                os.execve("/bin/sh", ["/bin/sh", program, *argv[1:]], child)
            except OSError as second:
                error = second
        too_big = error.errno == errno.E2BIG
        raise GuardError(
            f"{os.path.basename(program)} could not be started",
            where=program,
            why=error.strerror or str(error),
            fix="shorten the prompt, or pass it on stdin" if too_big else "reinstall it",
            rule="RG502",
        ) from None


def _default_signals() -> None:
    # Python ignores these two, and an ignored signal stays ignored across execve: `agent | head`
    # would not end. The `signal` module costs an `enum` import; its C half has all we need
    import _signal  # type: ignore[import-not-found]

    for name in ("SIGPIPE", "SIGXFSZ"):
        number = getattr(_signal, name, None)
        if number is not None:
            _signal.signal(number, _signal.SIG_DFL)


def shim_text(name: str) -> str:
    """The text of a PATH shim for the agent `name`, or for routeguard itself, from `shell/shim.sh`.

    Raises GuardError (RG503).
    """
    from guard import hook

    python, main_file = hook.interpreter()
    values = {
        "PYTHON": hook.quote_sh(python),
        "MAIN": hook.quote_sh(main_file),
        "NAME": name,
        "WORDS": "" if name == "routeguard" else f"exec -- {name}",
    }
    return hook.fill(hook.template("shim.sh"), values)
