#!/usr/bin/env python3
"""What `routeguard watch` costs while nothing changes: CPU seconds an hour.

    tests/bench/watch.py [--rounds N] [--interval SECONDS] [--processes N] [--listeners N]

Makes idle processes and listening sockets on loopback, looks once (that is the start), then N
times without waiting, and scales the CPU time of those rounds (this process and its children) to
an hour at the interval. Every twelfth round compares the program files of all processes, so N
should be a multiple of 12. Judges nothing.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from guard.commands.watch import INTERVAL, Lines
from guard.launch.watcher import PolicyInForce, Watcher

MOST = 3000
"""Processes or sockets that are made at most."""


def cpu() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def idle_processes(count: int) -> list[int]:
    """Start `count` processes that only sleep."""
    null = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, descriptor) for descriptor in (0, 1, 2)]
    sleep = next(p for p in ("/bin/sleep", "/usr/bin/sleep") if os.path.exists(p))
    environ = {"PATH": "/usr/bin:/bin"}
    return [
        os.posix_spawn(sleep, ["sleep", "3600"], environ, file_actions=actions)
        for _ in range(count)
    ]


def listeners(count: int) -> list[socket.socket]:
    """Listen on `count` ports of loopback that the system chooses."""
    found = []
    for _ in range(count):
        made = socket.socket()
        made.bind(("127.0.0.1", 0))
        made.listen(1)
        found.append(made)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=240, help="rounds after the first (240)")
    parser.add_argument("--interval", type=float, default=INTERVAL, help=f"seconds ({INTERVAL:g})")
    parser.add_argument("--processes", type=int, default=300, help="idle processes made (300)")
    parser.add_argument("--listeners", type=int, default=20, help="listening sockets made (20)")
    options = parser.parse_args()
    if max(options.processes, options.listeners) > MOST:
        sys.exit(f"watch.py: at most {MOST}")
    pids: list[int] = []
    with tempfile.TemporaryDirectory(prefix="routeguard-bench-") as home:
        environ = {"HOME": home, "PATH": "/usr/bin:/bin"}
        sockets = listeners(options.listeners)
        try:
            pids = idle_processes(options.processes)
            watcher = Watcher(PolicyInForce(home, environ), Lines(as_json=True))
            begun = cpu()
            watcher.look()
            start = cpu() - begun
            watcher.look()  # what is judged again after a change is part of the start
            watcher.look()
            begun, wall = cpu(), time.perf_counter()
            for _ in range(options.rounds):
                watcher.look()
            each = (cpu() - begun) / options.rounds
            wall = (time.perf_counter() - wall) / options.rounds
        finally:
            for pid in pids:
                os.kill(pid, 15)
                os.waitpid(pid, 0)
            for made in sockets:
                made.close()
    total = len([name for name in os.listdir("/proc") if name.isdigit()]) + options.processes
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{total} processes, {options.listeners} listeners of ours; CPU time")
    print(f"  first look           {start * 1000:8.1f} ms")
    print(f"  a later look         {each * 1000:8.2f} ms   ({wall * 1000:.2f} ms on the clock)")
    print(
        f"  an hour at {options.interval:g} s     {each * 3600 / options.interval:8.2f} s"
        f"    ({each / options.interval:.3%} of one core)"
    )
    print(f"  memory               {memory:8.1f} MiB at most")


if __name__ == "__main__":
    main()
