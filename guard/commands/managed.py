"""`routeguard managed`: agents' own files for administrators, from the system policy."""

from __future__ import annotations

import difflib
import os
import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from guard import paths
from guard.agents.managed import LINUX, MACOS, state_file, user_state_file
from guard.commands.groups import Group
from guard.errors import ExitCode, GuardError, PolicyError, UsageError, printable
from guard.files.step import Step
from guard.launch.process import own_environment
from guard.managed import files
from guard.managed.ground import Ground
from guard.managed.memory import read_state
from guard.managed.render import (
    PLATFORM,
    PROFILE,
    Rendering,
    machine,
    plist,
    policy_file,
    profile,
    read_policy,
    refuse_older_releases,
    render,
    render_user,
)
from guard.policy.compile import compile_user
from guard.policy.places import refuse_misplaced, user_policy
from guard.report.document import show_document
from guard.report.table import fields
from guard.report.terminal import paint, say, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.managed.files import Place
    from guard.managed.memory import State


@click.group(
    cls=Group,
    epilog="""\b
Examples:
  routeguard managed render                         what would be written
  routeguard managed diff
  sudo routeguard managed install --dry-run
  sudo routeguard managed install
  routeguard managed status
  sudo routeguard managed remove                    undo it
  routeguard managed install --user                 your own, without root
  routeguard managed render --platform macos --to mdm      for a company's MDM""",
)
def managed() -> None:
    """Write agents' own administrator files from the system policy.

    They outrank users' and projects' settings, so they hold where no launch is guarded: an agent
    that is started by its full path, by an editor, or with a cleaned environment. They name the
    gateway and hold no key. docs/managed.md says what they do not hold.

    For an agent that reads no such file, --user writes your own global one, from your policy,
    without root.
    """


def _absolute(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    return os.path.abspath(value) if value else value


def _program_path(_: click.Context, __: click.Parameter, value: str) -> str:
    if value and not os.path.isabs(value):
        raise click.BadParameter("agents run it from any directory: write its absolute path")
    return value


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_root = click.option(
    "--root",
    metavar="DIR",
    default="/",
    type=click.Path(file_okay=False),
    callback=_absolute,
    help="A root to look at or install into, for packages and images. [default: /]",
)
_program = click.option(
    "--program",
    metavar="PATH",
    default="",
    callback=_program_path,
    help="The routeguard that agents ask for the gateway key.",
)
_user = click.option("--user", "own", is_flag=True, help="Your own file instead.")
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would change.")


@managed.command(
    "render",
    epilog="""\b
Examples:
  routeguard managed render
  routeguard managed render --policy draft.toml
  routeguard managed render --platform macos --to mdm
  routeguard managed render --json | jq -r '.files[].path'""",
)
@click.option(
    "--platform",
    type=click.Choice([LINUX, MACOS]),
    default=PLATFORM,
    show_default=True,
    help="The system to render for.",
)
@click.option(
    "--to",
    metavar="DIR",
    type=click.Path(file_okay=False),
    callback=_absolute,
    help="Write a tree of files there.",
)
@click.option("--policy", metavar="FILE", default="", help="A policy file to render instead.")
@_program
@_user
@_json
def render_command(
    platform: str, to: str | None, policy: str, program: str, own: bool, as_json: bool
) -> int:
    """Show what is rendered from the system policy.

    With --to the files are written to DIR as they would be below the root, with the list by which
    a launch recognises them; for macOS also a profile for an MDM, and each domain as a property
    list. Running it again with the same DIR changes nothing that the policy does not.
    """
    if own:
        _only_user(own, "/", to or policy or program or platform != PLATFORM)
        rendering = _rendered_user(create=False)
        return _show_rendering(rendering, as_json=as_json)
    source = policy or policy_file("/", platform)
    ground = Ground(to or "/", state_file(policy_file(to or "/", platform)))
    state = read_state(ground)
    rendering, state = _rendered(source, platform, state, program)
    if to:
        places = files.look(ground, rendering.files, state)
        steps = files.install(ground, places, state, replace_others=False, dry_run=False)
        extra = {f"{domain}.plist": plist(values) for domain, values in rendering.domains.items()}
        if rendering.domains:
            extra[PROFILE] = profile(rendering.domains)
        steps += [_wrote(os.path.join(to, name), content) for name, content in extra.items()]
        _tell_steps(steps, rendering.notes, dry_run=False, as_json=as_json, root=to)
        return ExitCode.OK
    return _show_rendering(rendering, as_json=as_json)


def _show_rendering(rendering: Rendering, *, as_json: bool) -> int:
    if as_json:
        show_document(_as_dict(rendering))
        return ExitCode.OK
    for path, text in rendering.files.items():
        show(f"{paint(path, 'strong')}\n{text}", whole=True)
    _notes(rendering.notes)
    return ExitCode.OK


@managed.command(
    epilog="""\b
Examples:
  routeguard managed diff
  routeguard managed diff --root image

Exit status: 0 no difference, 1 differences, 2 usage, 3 no valid policy."""
)
@_root
@_user
@_json
def diff(root: str, own: bool, as_json: bool) -> int:
    """Show what differs between the files and the policy.

    Files in the way that routeguard did not write are compared as well.
    """
    _, _, places, _ = _looked(root, own)
    different = [place for place in places if place.content != place.wanted]
    if as_json:
        shown = [{**files.as_dict(place), "diff": _difference(place)} for place in different]
        show_document({"files": shown})
    else:
        for place in different:
            show(f"{paint(place.path, 'strong')}  {place.state}", whole=True)
            show("".join(_difference(place)).rstrip("\n") + "\n", whole=True)
        if not different:
            say(f"no difference: the files are as {_whose(own)} renders them")
    return ExitCode.FINDINGS if different else ExitCode.OK


@managed.command(
    epilog="""\b
Examples:
  sudo routeguard managed install --dry-run
  sudo routeguard managed install
  sudo routeguard managed install --replace     keep others' files aside
  routeguard managed install --root build/root
  routeguard managed install --user             your own, without root

Exit status: 0 done, 1 a file that routeguard did not write is in the way, 2 usage, 3 no
valid policy."""
)
@_root
@_program
@click.option("--replace", "replace_others", is_flag=True, help="Keep files of others aside.")
@_user
@_dry_run
@_json
def install(
    root: str, program: str, replace_others: bool, own: bool, dry_run: bool, as_json: bool
) -> int:
    """Write the files as root, or your own with --user.

    A file that routeguard did not write, or that was changed since, is shown and left. Run it
    again after each change of the policy.
    """
    _only_user(own, root, program)
    if not dry_run:
        _require_owner(_ground(root, own))
    if own:
        refuse_older_releases(own_environment(os.environ))
    ground, rendering, places, state = _looked(root, own, program, create=not dry_run)
    if own and not dry_run:
        paths.private_directory(os.path.dirname(ground.memory))
    steps = files.install(ground, places, state, replace_others=replace_others, dry_run=dry_run)
    _tell_steps(steps, rendering.notes, dry_run=dry_run, as_json=as_json, root=root)
    if not dry_run and not as_json:
        say(f"undo: {ground.command('remove')}")
    return ExitCode.OK


@managed.command(
    epilog="""\b
Examples:
  sudo routeguard managed remove --dry-run
  sudo routeguard managed remove

Exit status: 0 done, 1 a file was changed by somebody and stays, 2 usage."""
)
@_root
@_user
@_dry_run
@_json
def remove(root: str, own: bool, dry_run: bool, as_json: bool) -> int:
    """Take the files away as root, or your own with --user.

    What was there before is put back, and directories that were made go if they are empty.
    """
    _only_user(own, root)
    ground = _ground(root, own)
    if not dry_run:
        _require_owner(ground)
    state = read_state(ground)
    places = files.look(ground, {}, state)
    steps, stay = files.remove(ground, places, state, dry_run=dry_run)
    notes = [f"{one.path} stays: somebody has changed it since it was written" for one in stay]
    _tell_steps(steps, notes, dry_run=dry_run, as_json=as_json, root=root)
    return ExitCode.FINDINGS if stay else ExitCode.OK


@managed.command(
    epilog="""\b
Examples:
  routeguard managed status
  routeguard managed status --json | jq .good

Exit status: 0 all files are in place, 1 not, 2 usage, 3 no valid policy."""
)
@_root
@_user
@_json
def status(root: str, own: bool, as_json: bool) -> int:
    """Show whether the files are in place.

    Also whether others than their owner could change them.
    """
    ground, rendering, places, state = _looked(root, own)
    policy = user_policy(own_environment(os.environ)) if own else policy_file(root)
    good = all(place.state == files.CURRENT and not place.unsafe for place in places)
    if as_json:
        shown = [files.as_dict(place) for place in places]
        show_document(
            {
                "installed": bool(state.entries),
                "good": good,
                "policy": policy,
                "program": state.program if state.entries else "",
                "files": shown,
                "notes": list(rendering.notes),
            }
        )
        return ExitCode.OK if good else ExitCode.FINDINGS
    rows = [("policy", printable(policy))]
    for place in places:
        word = place.state if place.state == files.CURRENT else paint(place.state, "warning")
        rows.append((word, printable(place.path)))
        if place.unsafe:
            rows.append((paint("unsafe", "bad"), printable(place.unsafe)))
    if any(place.state in (files.FOREIGN, files.EDITED) for place in places):
        rows.append(("look", ground.command("diff")))
    notes = list(rendering.notes)
    if not good:
        replacing = " --replace" * any(place.is_in_the_way for place in places)
        fix = ground.command("install" + replacing)
        if own:
            try:
                refuse_older_releases(own_environment(os.environ))
            except GuardError as error:
                fix = error.fix
                notes.append(f"`install` refuses to write: {error.why} ({error.where})")
        rows.append(("fix", fix))
    show(fields(rows))
    _notes(notes)
    return ExitCode.OK if good else ExitCode.FINDINGS


def _rendered(source: str, platform: str, state: State, program: str) -> tuple[Rendering, State]:
    """What the policy at `source` renders, and the `state` with what it was rendered for."""
    chosen, notes = machine(platform, state.installed(), program)
    rendering = render(read_policy(source), chosen, notes)
    return rendering, replace(state, suffix=chosen.suffix, program=chosen.program)


def _rendered_user(*, create: bool) -> Rendering:
    """What this user's policy renders; `create` makes the random suffix of the ids."""
    environ = own_environment(os.environ)
    refuse_misplaced(environ, paths.here())
    return render_user(compile_user(environ), environ, create=create)


def _ground(root: str, own: bool) -> Ground:
    if own:
        return Ground("/", user_state_file(own_environment(os.environ)), own=True)
    return Ground(root, state_file(policy_file(root)))


def _looked(
    root: str, own: bool, program: str = "", *, create: bool = False
) -> tuple[Ground, Rendering, list[Place], State]:
    """What is rendered for these files and what is there; the state is that of a next install."""
    _only_user(own, root)
    ground = _ground(root, own)
    state = read_state(ground)
    if own:
        rendering = _rendered_user(create=create)
    else:
        policy = policy_file(root)
        if state.entries and not os.path.lexists(policy):
            raise PolicyError(
                "the system policy is gone, and what it was rendered into is still here",
                where=policy,
                why=f"agents follow these files: {', '.join(state.entries)}",
                fix=f"put the policy back, or take them away:\n{ground.command('remove')}",
            )
        rendering, state = _rendered(policy, PLATFORM, state, program)
    return ground, rendering, files.look(ground, rendering.files, state), state


def _whose(own: bool) -> str:
    return "your policy" if own else "the system policy"


def _only_user(own: bool, root: str, others: object = None) -> None:
    """Raise UsageError for options of the administrator's files beside --user."""
    if own and (root != "/" or others):
        raise UsageError(
            "--user is about your own file, and takes only --replace, --dry-run and --json",
            fix="leave the other options out",
        )


def _require_owner(ground: Ground) -> None:
    """Raise GuardError where the files are not this process's to write."""
    words = shlex.join(["sudo", "routeguard", *sys.argv[1:]])
    ground.require_owner(own_environment(os.environ), words)


def _wrote(path: str, content: bytes) -> Step:
    from guard.files.write import write

    write(path, content, 0o644)
    return Step("write", path)


def _difference(place: Place) -> list[str]:
    before, after = (
        (content or b"").decode("utf-8", "replace").splitlines(keepends=True)
        for content in (place.content, place.wanted)
    )
    lines = difflib.unified_diff(before, after, "on this machine", "from the policy")
    # a file of somebody else's must not speak to the terminal
    return [printable(line.removesuffix("\n")) + "\n" for line in lines]


def _tell_steps(
    steps: Sequence[Step], notes: Sequence[str], *, dry_run: bool, as_json: bool, root: str
) -> None:
    if as_json:
        done = [{"action": step.action, "path": step.path} for step in steps]
        show_document({"dry_run": dry_run, "root": root, "steps": done, "notes": list(notes)})
        return
    would = "would " if dry_run else ""
    rows = [
        (f"{would if step.action not in ('unchanged', 'leave') else ''}{step.action}", step.path)
        for step in steps
    ]
    show(fields((label, printable(text)) for label, text in rows) or "nothing to do")
    _notes(notes)


def _notes(notes: Sequence[str]) -> None:
    for note in notes:
        say(printable(f"note: {note}"))


def _as_dict(rendering: Rendering) -> dict[str, Any]:
    return {
        "files": [{"path": path, "text": text} for path, text in rendering.files.items()],
        "domains": rendering.domains,
        "notes": list(rendering.notes),
    }
