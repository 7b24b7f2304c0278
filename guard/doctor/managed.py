"""The check of the files that `routeguard managed` wrote, root's and this user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from guard import paths
from guard.agents.managed import changeable, state_file, user_state_file
from guard.doctor.context import Context
from guard.doctor.result import Diagnosis, broken, ok, skipped, warning
from guard.errors import GuardError, counted
from guard.managed import files
from guard.managed.ground import Ground
from guard.managed.memory import read_state
from guard.managed.render import PLATFORM, machine, read_policy, render, render_user
from guard.policy.authority import give_to_root
from guard.policy.compile import compile_user


def managed(context: Context) -> Iterator[Diagnosis]:
    """Are the files as the policy renders them, and nobody else's to change?"""
    yield from _administrators(context)
    yield from _users(context)


def _administrators(context: Context) -> Iterator[Diagnosis]:
    policy = context.system
    ground = Ground(context.root, state_file(policy))
    if not os.path.lexists(policy):
        if left := read_state(ground).entries:
            yield warning(
                "the system policy is gone, and agents still follow the "
                f"{counted(len(left), 'file')} that it was rendered into",
                ground.command("remove"),
            )
        else:
            yield skipped("no system policy, so there is nothing to render")
        return
    root = "" if policy == paths.SYSTEM_POLICY else os.path.dirname(policy)
    place, why = changeable(policy, root)
    if place:
        what = f"others than root could change the system policy: {why}"
        yield broken(what, give_to_root(place), "RG501")
    state = read_state(ground)
    if not state.entries:
        yield skipped(
            "not installed: an agent that starts unguarded follows its user's settings "
            f"({ground.command('install')})"
        )
        return
    chosen, notes = machine(PLATFORM, state.installed())
    rendering = render(read_policy(policy), chosen, notes)
    yield from _judged(ground, files.look(ground, rendering.files, state))


def _users(context: Context) -> Iterator[Diagnosis]:
    ground = Ground("/", user_state_file(context.environ), own=True)
    state = read_state(ground)
    if not state.entries:
        return
    if isinstance(context.loaded, GuardError):
        yield skipped(f"your own files ({ground.command('status')}): needs a valid policy")
        return
    rendering = render_user(compile_user(context.environ), context.environ)
    yield from _judged(ground, files.look(ground, rendering.files, state))


def _judged(ground: Ground, places: Sequence[files.Place]) -> Iterator[Diagnosis]:
    # a user may write into their own file, and no launch depends on it
    bad = warning if ground.own else broken
    for one in places:
        if one.unsafe:
            yield bad(f"{one.path}: {one.unsafe}", ground.command("status"), "RG302")
        elif one.state in (files.EDITED, files.FOREIGN):
            what = f"{one.path}: somebody else wrote it or has changed it"
            yield bad(what, ground.command("diff"), "RG302")
        elif one.state != files.CURRENT:
            yield warning(f"{one.path} is {one.state}", ground.command("install"))
    if all(one.state == files.CURRENT and not one.unsafe for one in places):
        whose = ("your", "yours") if ground.own else ("the system", "root's")
        verb, them = ("is", "it") if len(places) == 1 else ("are", "them")
        yield ok(
            f"{counted(len(places), 'file')} {verb} as {whose[0]} policy renders {them}, and "
            f"{whose[1]} alone"
        )
