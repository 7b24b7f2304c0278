"""This process: its environment at start, its messages, and `execve`.

Hot-path module. The real program replaces this process, so exit status, signals, job control and
the terminal are its own.
"""

from __future__ import annotations

import errno
import os

from guard import bytecode, paths
from guard.agents.registry import without_guard
from guard.errors import GuardError, say
from guard.launch import resolve
from guard.policy import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy

QUIET = "ROUTEGUARD_QUIET"
"""Set to anything but 0, a launch that goes ahead says nothing."""

MAX_DEPTH = 12
"""Launches below launches; more means that something starts itself."""


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
        theirs = [entry for entry in given.split(b"\0") if entry.startswith(b"LC_CTYPE=")]
        if theirs:
            environ["LC_CTYPE"] = os.fsdecode(theirs[0].partition(b"=")[2])
        else:
            del environ["LC_CTYPE"]
    return environ


def working_directory() -> str:
    """The current directory. Raises GuardError if it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        raise GuardError(
            "the current directory no longer exists",
            why="the settings and the policy of a project cannot be looked for from here",
            fix="cd somewhere that exists",
            rule="RG303",
        ) from None


def load_policy(environ: Mapping[str, str], *, asked: bool = False) -> CompiledPolicy:
    """The policy of the current directory, by the user's own config home.

    `asked` says that `environ` is the user's own, and that `paths.misplaced` found nothing in it
    here: it is not asked again, which takes longer than to read the policy.
    """
    if asked:
        return cache.load(working_directory(), environ, asked=True)
    return own_policy(environ)[1]


def own_policy(environ: Mapping[str, str]) -> tuple[dict[str, str], CompiledPolicy]:
    """`own_environment`, and the policy that it names for the current directory."""
    given = without_guard(environ)
    own = paths.of_user(given, working_directory(), say)
    # asked again only of what was put in place of a directory of the project
    return own, cache.load(working_directory(), own, asked=own == given)


def own_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's own `environ`: without what an outer launch or the project set in it.

    Says which directories of the project do not count. Raises PolicyError where nothing is left.
    """
    return paths.of_user(without_guard(environ), working_directory(), say)


def already_running(environ: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Programs not to start (again): those to avoid, and those to start as a last resort.

    execve keeps the process id, so our own id in the marker means that the program we started
    was a wrapper that starts us again. A script in the marker that is not this process has asked
    for the agent as a child of its own (`"$(command -v AGENT)" "$@"`): no launch lies between.
    """
    pid, depth, program = paths.launch_above(environ)
    if depth > MAX_DEPTH:
        raise GuardError(
            f"{depth} nested launches",
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


def mark(program: str, child: dict[str, str], environ: Mapping[str, str]) -> None:
    """Say in the environment `child` of `program` that it is a launch, see `already_running`."""
    _, depth, _ = paths.launch_above(environ)
    child[paths.LAUNCH_MARKER] = f"{os.getpid()}:{depth + 1}:{program}"
    child.pop(paths.WRAPPERS, None)
    came_through = [path for paths_ in already_running(environ) for path in paths_]
    if came_through and resolve.is_wrapper(program):
        child[paths.WRAPPERS] = ":".join(came_through)


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
    mark(program, child, environ)
    if finder := bytecode.news():
        from guard import bytecode_file

        bytecode_file.keep(finder)
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


def tell(plan: Plan, environ: Mapping[str, str]) -> None:
    """One line about what the launch changed, if it changed anything worth knowing."""
    parts = [plan.rewritten] if plan.rewritten else []
    outermost = not paths.launch_above(environ)[0]
    if outermost:
        names = [c.name for c in plan.changes if c.action == "removed" and c.rule]
        if names:
            parts.append(f"removed {', '.join(sorted(names))}")
    parts += [f"{f.message} [{f.rule}]" for f in plan.findings if f.severity == "warning"]
    if parts:
        say_unless_quiet(f"routeguard: {'; '.join(parts)}", environ)
    if outermost and not _is_quiet(environ):
        _advise(plan, environ)


def _advise(plan: Plan, environ: Mapping[str, str]) -> None:
    """Say how the policy keeps for good what was removed: once, and again when that changes."""
    told: dict[str, list[str]] = {}
    for change in plan.changes:
        if change.advice:
            told.setdefault(change.advice.replace("\n", " "), []).append(change.name)
    lines = [f"routeguard: {', '.join(sorted(names))}: {how}" for how, names in told.items()]
    if lines:
        from guard.launch import said

        if said.is_new("advice", "\n".join(lines), without_guard(environ)):
            for line in lines:
                say(line)


def insist_on_log(why: str, not_done: str, environ: Mapping[str, str], *, required: bool) -> None:
    """Say, once a day, that the audit log cannot be written: `why` says it, "" if it was.

    Raises GuardError (RG503), with what was `not_done`, where the policy has it `required`.
    """
    if not why:
        return
    from guard import audit

    if required:
        raise GuardError(
            f"{not_done}: the audit log cannot be written",
            where=audit.log_file(environ),
            why=f"{why}; your policy sets [audit] required = true",
            fix="make that file writable, or free disk space",
            rule="RG503",
        )
    if not audit.said_today(environ):
        say(f"routeguard: the audit log cannot be written: {why} ({audit.log_file(environ)})")


def say_unless_quiet(line: str, environ: Mapping[str, str]) -> None:
    """`say`, where `environ` does not ask for silence of a launch that goes ahead."""
    if not _is_quiet(environ):
        say(line)


def _is_quiet(environ: Mapping[str, str]) -> bool:
    return environ.get(QUIET, "0") not in ("", "0")


def shim_text(name: str) -> str:
    """The text of a PATH shim for the agent `name`, or for routeguard itself, from `shell/shim.sh`.

    Raises GuardError (RG503).
    """
    from guard.hook import templates

    python, main_file = templates.interpreter()
    values = {
        "PYTHON": templates.quote_sh(python),
        "MAIN": templates.quote_sh(main_file),
        "NAME": name,
        "WORDS": "" if name == "routeguard" else f"exec -- {name}",
    }
    return templates.fill(templates.template("shim.sh"), values)
