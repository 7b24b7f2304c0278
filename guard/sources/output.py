"""What a program of the system prints, asked with a limit."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence


def output(words: Sequence[str], environ: Mapping[str, str] | None = None) -> str | None:
    """What the command `words` prints; None where it is missing, fails, or takes 2 seconds."""
    try:
        done = subprocess.run(
            list(words),
            env=None if environ is None else dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=2,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")
