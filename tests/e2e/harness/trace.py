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


def only_reached(log: Path, port: int) -> None:
    """Assert that each connection of `log` went to `port` of the gateway."""
    text = log.read_text(errors="replace")
    reached = [line for line in text.splitlines() if "sa_family=AF_INET" in line]
    assert reached, "strace saw no connection at all"
    assert [line for line in reached if f"htons({port})" not in line] == []
