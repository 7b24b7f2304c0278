"""Every address that a program and its children use, by strace."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


def traced(log: Path, missing_part: Callable[[str], NoReturn]) -> list[str]:
    """The words before a command line that have strace write each connection into `log`."""
    strace = shutil.which("strace")
    if strace is None:
        missing_part("strace is not on PATH: apt-get install strace")
    return [
        *(strace, "-f", "--seccomp-bpf", "-qq", "-o", str(log)),
        *("-e", "trace=connect,sendto,sendmsg"),
    ]
