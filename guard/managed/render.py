"""The system policy, rendered into every agent's own files for administrators; and a user's, into
the file of the agent that has none for them."""

from __future__ import annotations

import os
import plistlib
import shlex
import shutil
import sys
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from guard import paths
from guard.agents.managed import LINUX, MACOS, POLICIES, Machine, changeable
from guard.agents.registry import adapters
from guard.agents.suffix import random_suffix
from guard.errors import ExitCode, GuardError, PolicyError
from guard.launch.resolve import copies
from guard.managed.ground import under
from guard.policy.compile import compile_layers
from guard.policy.layers import Candidate, read_layer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.agents.managed import Installed
    from guard.policy.values import CompiledPolicy

PLATFORM = MACOS if sys.platform == "darwin" else LINUX
"""The one we run on."""

PROFILE = "routeguard.mobileconfig"
"""The profile with all preferences, for a company's MDM."""

_PROGRAM = "/usr/bin/routeguard"
"""Where a package puts it: what is named where no routeguard is safe from users here."""

_NAMESPACE = uuid.UUID("6f0b6f1e-7f0b-4c4e-9a63-5b6f0c9b3a11")
"""Of the ids in a profile: the same content has the same ids, so an MDM sees no change."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """What every agent gets: texts by path, macOS preferences by domain, and notes."""

    files: dict[str, str]
    domains: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def policy_file(root: str, platform: str = PLATFORM) -> str:
    """Where the system policy of the machine below `root` lies."""
    own = paths.SYSTEM_POLICY if platform == PLATFORM else POLICIES[platform]
    return under(root, own)


def read_policy(path: str) -> CompiledPolicy:
    """The policy of the file at `path` alone, as the system's. Raises PolicyError."""
    layer = read_layer(Candidate("system", path))
    if layer is None:
        raise PolicyError(
            "there is no system policy to render",
            where=path,
            why="managed files are rendered from the administrator's policy alone",
            fix="routeguard policy init --dry-run > policy.toml\n"
            "edit it, then:\n"
            f"sudo install -D -m 644 policy.toml {shlex.quote(path)}",
        )
    return compile_layers([layer])


def program() -> tuple[str, str]:
    """The routeguard that agents ask for the key, and what there is to say about it.

    One that a user can change would be given the key's place in every user's agent.
    """
    found = shutil.which("routeguard")
    tried = [path for path in (found, _PROGRAM, "/usr/local/bin/routeguard") if path]
    for path in tried:
        if os.access(path, os.X_OK) and not changeable(path)[0]:
            return path, ""
    return _PROGRAM, (
        f"agents ask {_PROGRAM} for the gateway key, and no routeguard lies there or anywhere else "
        "that root alone can change: install it for all users, or say --program PATH"
    )


def machine(platform: str, known: Installed, named: str = "") -> tuple[Machine, tuple[str, ...]]:
    """What is rendered for: as it is `known` from the last time; and what there is to say."""
    chosen, note = named or known.program, ""
    if not chosen:
        chosen, note = program()
    elif os.path.lexists(chosen) and (why := changeable(chosen)[1]):
        note = (
            f"agents of every user run {chosen} for the gateway key, and others than root could "
            f"change it: {why}. Say --program PATH with one that they cannot"
        )
    suffix = known.suffix or random_suffix()
    return Machine(platform, suffix, chosen), (note,) if note else ()


def render(policy: CompiledPolicy, machine: Machine, notes: Sequence[str] = ()) -> Rendering:
    """What every agent that `policy` guards gets on `machine`."""
    files: dict[str, str] = {}
    domains: dict[str, dict[str, Any]] = {}
    told = list(notes)
    for agent in adapters():
        if agent.id in policy.unguarded:
            continue
        made = agent.managed(policy, machine)
        files.update(made.files)
        told += made.notes
        if machine.platform == MACOS:
            domains.update(made.domains)
    return Rendering(files, domains, tuple(told))


def render_user(
    policy: CompiledPolicy, environ: Mapping[str, str], *, create: bool = False
) -> Rendering:
    """What the user of `environ` gets who has `policy`: files of agents that read no
    administrator's. `create` makes the suffix of their providers' ids, where no launch has yet."""
    files: dict[str, str] = {}
    told: list[str] = []
    for agent in adapters():
        if agent.id not in policy.unguarded:
            made = agent.managed_by_user(policy, environ, create=create)
            files.update(made.files)
            told += made.notes
    return Rendering(files, notes=tuple(told))


def refuse_older_releases(environ: Mapping[str, str]) -> None:
    """Raise GuardError where a program on PATH would read what a user gets, and not obey it."""
    for agent in adapters():
        for program in (path for name in agent.names for path in copies(name, environ)):
            why, fix = agent.unfit_for_user(program, environ)
            if why:
                raise GuardError(
                    "nothing was written: another release is on PATH, which does not obey the file",
                    where=program,
                    why=why,
                    fix=fix,
                    exit_code=ExitCode.FINDINGS,
                )


def plist(values: dict[str, Any]) -> bytes:
    """`values` as a property list, as `defaults import` and an MDM's "custom settings" take it."""
    return plistlib.dumps(values, sort_keys=True)


def profile(domains: dict[str, dict[str, Any]]) -> bytes:
    """A configuration profile with the preferences of every domain, for a company's MDM."""
    payloads = [
        {
            **values,
            "PayloadType": domain,
            "PayloadVersion": 1,
            "PayloadIdentifier": f"routeguard.managed.{domain}",
            "PayloadUUID": _identifier(domain, values),
            "PayloadDisplayName": domain,
        }
        for domain, values in sorted(domains.items())
    ]
    return plistlib.dumps(
        {
            "PayloadType": "Configuration",
            "PayloadVersion": 1,
            "PayloadScope": "System",
            "PayloadIdentifier": "routeguard.managed",
            "PayloadUUID": _identifier("routeguard.managed", payloads),
            "PayloadDisplayName": "routeguard: coding agents reach models through the gateway",
            "PayloadRemovalDisallowed": True,
            "PayloadContent": payloads,
        }
    )


def _identifier(name: str, content: object) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{name}\0{content!r}")).upper()
