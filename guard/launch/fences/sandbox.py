"""A fence on macOS: a profile for `sandbox-exec`, which cannot be taken off again."""

from __future__ import annotations

import os
import sys

from guard.launch.fences.ports import CONNECT, Fence, UnavailableError, holds

SANDBOX_EXEC = "/usr/bin/sandbox-exec"


def sandbox_exec(fence: Fence, program: str, argv: list[str]) -> list[str]:
    """The arguments by which `sandbox-exec` runs `program` behind `fence`; `argv[0]` is dropped.

    The profile's forms are those of Seatbelt profiles in use (sandbox-runtime and others); a
    connection can be denied to this machine only, which here is what is wanted.
    """
    lines = ["(version 1)", "(allow default)"]
    for port in sorted(fence.ports):
        lines.append(f'(deny network-bind (local ip "*:{port}"))')
        if fence.denied(port) & CONNECT:
            lines.append(f'(deny network-outbound (remote ip "localhost:{port}"))')
    return [SANDBOX_EXEC, "-p", "\n".join(lines), program, *argv[1:]]


_PROBE = """
import _socket, sys
for port in sys.argv[1:]:
    asked = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        asked.bind(("127.0.0.1", int(port)))
    except PermissionError:
        continue
    except OSError:
        pass
    sys.exit(1)
"""


def behind_profile(fence: Fence, program: str, argv: list[str]) -> tuple[str, list[str]]:
    """What to `exec` behind a profile. Raises UnavailableError if a trial run fails.

    A sandbox cannot be entered twice: below a fenced launch `holds` tells.
    """
    if not os.access(SANDBOX_EXEC, os.X_OK):
        raise UnavailableError(f"there is no {SANDBOX_EXEC}")
    if holds(fence):
        return program, argv
    import subprocess

    ports = [str(port) for port in sorted(fence.ports)]
    trial = ["", "-I", "-S", "-c", _PROBE, *ports]
    try:
        done = subprocess.run(
            sandbox_exec(fence, sys.executable, trial),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"sandbox-exec: {error}") from None
    if done.returncode:
        raise UnavailableError("sandbox-exec did not enforce the profile in a trial")
    return SANDBOX_EXEC, sandbox_exec(fence, program, argv)
