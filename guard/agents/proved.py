"""Which binaries have proved their route on this machine.

`routeguard verify` writes down what it proved; a launch of a release that was never tried here
asks. `is_proved` is the one place that answers.

Hot-path module.
"""

from __future__ import annotations

import os

from guard import paths
from guard.agents.binary import identity
from guard.errors import GuardError
from guard.files.read import read_own
from guard.files.write import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST = 50
"""Proofs that are kept: an upgrade adds one."""


def is_proved(program: str, version: tuple[int, int, int], environ: Mapping[str, str]) -> bool:
    """Whether the binary `program` of this `version`, as it is now, has proved its route."""
    return _line(program, version) in _lines(environ)


def remember(program: str, version: tuple[int, int, int], environ: Mapping[str, str]) -> None:
    """Write down that `program` has proved its route. Raises OSError and GuardError."""
    line = _line(program, version)
    if line == "\n":
        raise GuardError(f"cannot tell {program} from other binaries", rule="RG503")
    kept = [known for known in _lines(environ) if known != line][-_MOST + 1 :]
    path = _path(environ)
    paths.private_directory(paths.routeguard_state(environ))
    paths.private_directory(os.path.dirname(path))
    text = "".join(f"{each}\n" for each in (*kept, line))
    write(path, text.encode("utf-8", "surrogateescape"))


def _path(environ: Mapping[str, str]) -> str:
    return os.path.join(paths.routeguard_state(environ), "agents", "proved")


def _lines(environ: Mapping[str, str]) -> list[str]:
    text = (read_own(_path(environ)) or b"").decode("utf-8", "surrogateescape")
    return [line for line in text.splitlines() if line]


def _line(program: str, version: tuple[int, int, int]) -> str:
    """What tells the binary from any other, "\\n" where nothing does: no line holds that.

    The version is part of it: a version manager starts another binary under the same name.
    """
    known = identity(program)
    shown = ".".join(map(str, version))
    return "\n" if not known or "\n" in known else f"{shown} {known}"
