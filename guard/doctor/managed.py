"""The check of agents' files for administrators, and of the system policy they come from."""

from __future__ import annotations

import os
from collections.abc import Iterator

from guard import paths
from guard.agents.managed import changeable, state_file
from guard.doctor.context import Context
from guard.doctor.result import Diagnosis, broken, ok, skipped, warning
from guard.managed import files
from guard.managed.render import PLATFORM, machine, read_policy, render

_INSTALL = "sudo routeguard managed install"


def managed(context: Context) -> Iterator[Diagnosis]:
    """Are the administrator's files as the system policy renders them, and root's alone?"""
    policy = context.system
    if not os.path.lexists(policy):
        yield skipped("no system policy, so there is nothing to render")
        return
    root = "" if policy == paths.SYSTEM_POLICY else os.path.dirname(policy)
    place, why = changeable(policy, root)
    if place:
        fix = f"sudo chown root {place} && sudo chmod go-w {place}"
        yield broken(f"others than root could change the system policy: {why}", fix, "RG501")
    ground = files.Ground(context.root, state_file(policy))
    state = files.read_state(ground.memory)
    if not state.entries:
        yield skipped(
            "not installed: an agent that starts past the guard follows its user's settings "
            f"({_INSTALL})"
        )
        return
    chosen, notes = machine(PLATFORM, state.installed())
    places = files.look(ground, render(read_policy(policy), chosen, notes).files, state)
    for one in places:
        if one.unsafe:
            yield broken(f"{one.path}: {one.unsafe}", "routeguard managed status", "RG302")
        elif one.state in (files.EDITED, files.FOREIGN):
            fix = "routeguard managed diff"
            yield broken(f"{one.path}: somebody else wrote it or has changed it", fix, "RG302")
        elif one.state != files.CURRENT:
            yield warning(f"{one.path} is {one.state}", _INSTALL)
    if all(one.state == files.CURRENT and not one.unsafe for one in places):
        yield ok(f"{len(places)} files are as the system policy renders them, and root's alone")
