"""`routeguard setup`: everything that a guarded launch needs, in one go."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, Literal

import click

from guard import hook
from guard.agents import Identity
from guard.agents.registry import AGENTS
from guard.commands.completion import code
from guard.commands.steps import say, step, typed
from guard.errors import ExitCode, GuardError, PolicyError, UsageError
from guard.files.read import UnreadableError, read_bytes
from guard.install import answers, environment, files, keyring, way
from guard.install.state import require_own_home
from guard.launch.resolve import find_program
from guard.paths import here
from guard.policy.places import user_policy
from guard.report.terminal import can_ask, show_error


@click.command(
    epilog="""\b
Examples:
  routeguard setup                         ask, show, write, prove
  routeguard setup --dry-run               show every file that would be written
  routeguard setup --yes                   ask nothing; only what is safe without an answer
  routeguard setup --key-from keyring      the key goes into the system's keyring
  routeguard setup --gateway http://localhost:8787/v1 --no-verify

Running it again changes only what differs; `routeguard teardown` undoes all of it. No key is ever
written into a file.

Exit status: 0 done, 1 not possible (nothing changed unless it says so) or not proved, 2 usage,
3 policy, 130 not confirmed."""
)
@click.option(
    "--shell",
    "shells",
    type=click.Choice([*hook.SHELLS, "all"]),
    multiple=True,
    help="Set up this shell (repeatable). [default: yours, and each with a start file]",
)
@click.option("--no-rc", is_flag=True, help="Leave the shells' start files alone.")
@click.option("--no-shims", is_flag=True, help="Make no shims.")
@click.option("--no-completion", is_flag=True, help="Install no completion.")
@click.option(
    "--key-from",
    "key",
    default="",
    metavar="SOURCE",
    help="Where the key is: env:NAME, keyring, or 'command:op read …'.",
)
@click.option("--gateway", default="", metavar="URL", help="The gateway's base URL.")
@click.option(
    "--layout",
    type=click.Choice(answers.LAYOUTS),
    default=None,
    help="One entry for all providers, or one for each.",
)
@click.option("--provider", "providers", multiple=True, metavar="SLUG", help="Only this provider.")
@click.option("--no-verify", is_flag=True, help="Leave out the launch that proves the route.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--dry-run", is_flag=True, help="Show what would be written and write nothing.")
@click.option("--clone", hidden=True, default="", help="The clone that install.sh was run from.")
def setup(clone: str, **answers: Any) -> int:
    """Guard your shells and agents step by step.

    Shells, agents, the key, the gateway with its providers and models; then a launch that proves
    it.
    """
    try:
        return _set_up(clone=clone, **answers)
    except (click.Abort, KeyboardInterrupt) as error:
        script = shlex.quote(os.path.join(clone, "install.sh")) if clone else ""
        if KeyboardInterrupt in (type(error), type(error.__cause__)):
            say("interrupted; run it again to finish, it changes only what differs")
        elif script:
            sys.stderr.write("\n")  # the line of the question is still open
            say("aborted; the environment is made, and no shell is guarded yet")
        else:
            raise
        if script:
            say(f"  to go on: {script}")
            say(f"  to undo:  {script} --uninstall")
        return 130


def _set_up(
    shells: tuple[str, ...],
    no_rc: bool,
    no_shims: bool,
    no_completion: bool,
    key: str,
    gateway: str,
    layout: Literal["one", "each"] | None,
    providers: tuple[str, ...],
    no_verify: bool,
    yes: bool,
    dry_run: bool,
    clone: str,
) -> int:
    if no_rc and shells:
        raise UsageError("--no-rc and --shell exclude each other")
    ask = not yes and not dry_run
    if ask and not can_ask():
        raise UsageError(
            "setup asks, and there is no terminal",
            fix="routeguard setup --yes\nor, to change nothing:\nrouteguard setup --dry-run\n"
            "or, with answers:\nrouteguard setup --help",
        )
    # nobody else may write to what is made, whatever the umask was
    os.umask(os.umask(0o077) | 0o022)
    environ = dict(os.environ)
    require_own_home(environ, here())
    this = way.current(environ, clone)
    way.require_lasting(this, environ)
    if this.kind == "install.sh" and sys.executable != this.python:
        # started past the link: what is written must survive an upgrade
        os.execve(this.python, [this.python, "-I", "-S", this.main, *sys.argv[1:]], environ)
    choices = files.Choices(shells, rc=not no_rc, shims=not no_shims)
    planned = files.plan(choices, environ)
    if not no_completion:
        found = dict.fromkeys(shell for _, shell in planned)
        choices = dataclasses.replace(choices, completion={one: code(one) for one in found})
    choices = dataclasses.replace(choices, manual=_manual(environ))
    files.check(this, planned)
    say("Would write (dry run: nothing is written now):" if dry_run else "Setting up routeguard:")
    agents = _agents(environ)
    step("shells", ", ".join(dict.fromkeys(shell for _, shell in planned)) or "none")
    said = [f"{agent.title} ({place})" for agent, place in agents]
    step("agents", ", ".join(said) or "none on PATH yet")
    answered = bool(key or gateway or layout or providers)
    status = ExitCode.OK
    decided = None
    if ask or answered or _has_something_to_say(environ):
        # slow to load, and not needed where there is nothing to decide
        from guard.commands import setup_gateway

        given = setup_gateway.Given(key, gateway, layout, providers)
        try:
            decided = setup_gateway.decide(given, this.python, ask=ask)
        except PolicyError as error:
            if ask or answered:
                raise
            # the shells are guarded all the same: with a broken policy nothing starts
            show_error(error)
            status = error.exit_code
    missing = decided.to_set if decided is not None else _key_not_set(environ)
    for variable in missing:
        step("key", f"{variable} is not set")
    if dry_run:
        files.put(this, planned, choices, environ, step, dry_run=True)
        return status
    if ask:
        _ask(this, planned, choices, environ, more=decided is not None and decided.writes)
    if decided is not None and decided.key_name:
        keyring.store(decided.key_name, decided.key_value, this.python)
        step("key", f"{decided.key_name}, in the system's keyring")
    if decided is not None and decided.change is not None:
        from guard.commands.portkey_sync import write_change

        write_change(decided.change, environ)
    files.put(this, planned, choices, environ, step, dry_run=False)
    _say_next(this, planned)
    if status != ExitCode.OK:
        say("To do:     mend your policy, as said above; until then no agent starts")
    launcher = typed(this.launcher)
    for variable in missing:
        ways = answers.not_set(variable, launcher, keyring=not keyring.why_not())
        for label, line in zip_longest(["To do:"], ways, fillvalue=""):
            say(f"{label:<10} {line}")
    prove = status == ExitCode.OK and bool(agents) and not no_verify
    if not prove:
        if not agents:
            say("No agent is on PATH yet; --fetch gets one from npm, for the proof only")
        say(f"Prove it:  {launcher} verify{'' if agents else ' --fetch'}")
    say(f"Undo it:   {launcher} teardown")
    if prove:
        # their own statuses mean something else here
        unproved = [agent for agent, _ in agents if _prove(agent) != ExitCode.OK]
        status = ExitCode.FINDINGS if unproved else ExitCode.OK
    return status


def _manual(environ: Mapping[str, str]) -> str:
    """The manual page: as install.sh made it once with the environment, else made now.

    One that is there already stays where it differs in its date alone.
    """
    made = _text(os.path.join(sys.prefix, *environment.MANUAL))
    if made:
        return made

    from guard.commands.manual import page, root

    # imports every command
    made = page(root(click.get_current_context()))
    there = _text(files.manual_file(environ))
    return there if there.partition("\n")[2] == made.partition("\n")[2] else made


def _text(path: str) -> str:
    try:
        return (read_bytes(path) or b"").decode()
    except (UnreadableError, UnicodeDecodeError):
        return ""


def _agents(environ: Mapping[str, str]) -> list[tuple[Identity, str]]:
    """The agents on PATH behind the shims, each with its place."""
    found = []
    for agent in AGENTS:
        places = filter(None, (find_program(name, environ) for name in agent.names))
        found += [(agent, place) for place in places][:1]
    return found


def _has_something_to_say(environ: Mapping[str, str]) -> bool:
    """Whether the gateway may be asked without a question: there is a key, or a policy of yours."""
    return bool(environ.get("PORTKEY_API_KEY")) or os.path.lexists(user_policy(environ))


def _key_not_set(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The variable that the policy reads the gateway key from, where it is not set."""
    from guard.policy.compile import compile_user

    try:
        policy = compile_user(environ)
    except PolicyError:
        return ()  # said already, or by whatever is started
    entry = policy.default_provider
    return (entry.key_env,) if entry.lacks_key(environ) else ()


def _ask(
    this: way.Way,
    planned: files.StartFiles,
    choices: files.Choices,
    environ: Mapping[str, str],
    *,
    more: bool,
) -> None:
    """Show what would be written and ask; silent where it is nothing and there is no `more`."""
    steps: list[tuple[str, str]] = []
    files.put(this, planned, choices, environ, lambda *one: steps.append(one), dry_run=True)
    changes = [(word, what) for word, what in steps if word not in ("", "unchanged")]
    if changes:
        say("To be written:")
    for word, what in changes:
        step(word, what)
    if changes or more:
        click.confirm("Write this?", default=True, abort=True, err=True)


def _say_next(this: way.Way, planned: files.StartFiles) -> None:
    launcher = typed(this.launcher)
    if not planned:
        say("Done. No start file was changed; to guard a shell, add to its own:")
        for shell, (line, _) in hook.LOADS.items():
            say(f"    {shell + ':':<6}{line.replace('routeguard', launcher)}")
        return
    say('Done. It guards shells that start from now on; in this one: exec "$SHELL"')


def _prove(agent: Identity) -> int:
    """A launch of `agent` that proves the route; the exit status."""
    from guard.commands.verify import verify

    try:
        result = verify.main(
            args=["--agent", agent.id], prog_name="routeguard verify", standalone_mode=False
        )
    except GuardError as error:
        # what was set up stays; the next agent has its turn
        show_error(error)
        return error.exit_code
    return result if isinstance(result, int) else ExitCode.OK
