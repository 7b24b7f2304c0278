"""Which binaries have proved their route on this machine, and which have to.

A release that the guard was never tried with proves its route before its first launch, and
`routeguard verify` writes down what it proved as well. `judge` is the one place that answers.

Hot-path module.
"""

from __future__ import annotations

import os

from guard import __version__, paths
from guard.agents.binary import identity
from guard.errors import GuardError
from guard.files.read import read_own
from guard.files.write import write
from guard.findings import Finding
from guard.policy.cache import checksum
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from guard.agents.adapter import Agent, Facts
    from guard.policy.values import CompiledPolicy

_MOST = 50
"""Proofs that are kept: an upgrade adds one."""


def judge(
    agent: Agent, policy: CompiledPolicy, program: str, facts: Facts, environ: Mapping[str, str]
) -> tuple[str, list[Finding]]:
    """Why the binary `program` has to prove its route before this launch, "" if it need not; and
    what a person should know of that."""
    version = facts.version
    shown = ".".join(map(str, version))
    when = policy.prove.get(agent.id, "first-use")
    if when == "always":
        return f"{agent.title} {shown} proves its route before each launch", []
    if agent.is_proved(version, policy):
        return "", []
    line = line_of(program, version, policy)
    if line in _lines(environ):
        return "", []
    why = f"{agent.title} {shown} was never tried with routeguard"
    if when == "off":
        message = f"{why}, and your system policy lets it start without a proof"
        fix = f"routeguard verify --agent {agent.id}"
    else:
        message = f"{why}: its next launch proves its route first, in about ten seconds"
        fix = f"routeguard verify --agent {agent.id}"
    note = Finding("RG204", program, message, where=program, fix=fix, severity="note")
    return "" if when == "off" else why, [note]


def remember(line: str, environ: Mapping[str, str]) -> None:
    """Write down that the binary of `line` has proved its route. Raises OSError and GuardError."""
    kept = [known for known in _lines(environ) if known != line][-_MOST + 1 :]
    _write((*kept, line), environ)


def take(line: str, environ: Mapping[str, str]) -> bool:
    """Whether the binary of `line` has proved its route, which then does not count once more."""
    known = _lines(environ)
    if line not in known:
        return False
    _write([each for each in known if each != line], environ)
    return True


def line_of(program: str, version: tuple[int, int, int], policy: CompiledPolicy) -> str:
    """What tells this binary and the way it is held from any other. Raises GuardError.

    The version is part of it: a version manager starts another binary under the same name. So are
    our own release and the policy, as far as it shapes a launch.
    """
    known = identity(program)
    if not known or "\n" in known:
        raise GuardError(f"cannot tell {program} from other binaries", rule="RG503")
    held = repr((__version__, *[_plain(getattr(policy, name)) for name in _SHAPES]))
    digest = checksum(held.encode("utf-8", "surrogateescape"))
    return f"{'.'.join(map(str, version))} {digest} {known}"


_SHAPES = (
    *("base_url", "gateway_ca", "gateway_proxy", "providers", "default_model", "small_model"),
    *("foreign_provider", "reroute", "servers", "routes", "project_config", "keys_extra", "remove"),
)
"""The values of a policy that decide what a launch becomes."""


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted(value.items())
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Record):
        return [_plain(field) for field in vars(value).values()]
    return value


def _path(environ: Mapping[str, str]) -> str:
    return os.path.join(paths.routeguard_state(environ), "agents", "proved")


def _lines(environ: Mapping[str, str]) -> list[str]:
    text = (read_own(_path(environ)) or b"").decode("utf-8", "surrogateescape")
    return [line for line in text.splitlines() if line]


def _write(lines: Iterable[str], environ: Mapping[str, str]) -> None:
    path = _path(environ)
    paths.private_directory(paths.routeguard_state(environ))
    paths.private_directory(os.path.dirname(path))
    text = "".join(f"{line}\n" for line in lines)
    write(path, text.encode("utf-8", "surrogateescape"))
