#!/usr/bin/env python3
"""What a launch's look for local proxies costs, beside an empty run of the same Python.

    tests/bench/listening.py [--runs N] [--processes N] [--sockets N]

Runs in a network namespace of its own, where nothing listens but what it starts. With
`--processes` and `--sockets` it first makes a crowded machine: that many sleeping processes
(which end by themselves after ten minutes) and connected sockets on loopback. Prints medians in
milliseconds; judges nothing.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import resource
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PREPARE = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import os, time; "
POLICY = "from guard.policy.values import CompiledPolicy; policy = CompiledPolicy(); "
GLANCE = "from guard.proxies.glance import glance; glance(policy, os.environ, time.time())"
EMPTY, LOADED, LOOKED = "python -c pass", "a launch's modules", "the same and a glance"

HOLD = """
import socket, sys
pairs, made = [], socket.create_server(("127.0.0.1", 0), backlog=4096)
for _ in range(int(sys.argv[1])):
    pairs += [socket.create_connection(made.getsockname()), made.accept()[0]]
made.close()
print("ready", flush=True)
sys.stdin.read()
"""
SERVER = """
import socket, sys
made = socket.create_server(("127.0.0.1", 0))
print("ready", flush=True)
sys.stdin.read()
"""


def enter_private_network(arguments: list[str]) -> None:
    """Start this script again in a network namespace of its own, with loopback up."""
    if os.environ.get("ROUTEGUARD_BENCH_NETWORK") != "private":
        os.environ["ROUTEGUARD_BENCH_NETWORK"] = "private"
        option = "-n" if os.getuid() == 0 else "-rn"
        os.execvp("unshare", ["unshare", option, "--", sys.executable, __file__, *arguments])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
        fcntl.ioctl(made, 0x8914, struct.pack("16sH14x", b"lo", 0x41))


def once(argv: list[str], environ: dict[str, str], null: int) -> float:
    """Wall-clock milliseconds of one run. Raises SystemExit if it does not end with 0."""
    actions = [(os.POSIX_SPAWN_DUP2, null, descriptor) for descriptor in (0, 1)]
    begun = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, environ, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    taken = (time.perf_counter() - begun) * 1000
    if status:
        sys.exit(f"listening.py: {argv[-1]} ended with {os.waitstatus_to_exitcode(status)}")
    return taken


def holder(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that holds sockets until its input is closed."""
    made = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if made.stdout is None or made.stdout.readline() != "ready\n":
        sys.exit("listening.py: sockets could not be made")
    return made


def measure(title: str, runs: int) -> None:
    """Run everything in turns and print one row for each."""
    with tempfile.TemporaryDirectory(prefix="routeguard-bench-") as home:
        environ = {"HOME": home, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        python = [sys.executable, "-I", "-S", "-c"]
        commands = {
            EMPTY: [sys.executable, "-c", "pass"],
            LOADED: [*python, PREPARE + POLICY],
            LOOKED: [*python, PREPARE + POLICY + GLANCE],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        null = os.open(os.devnull, os.O_RDWR)
        for _ in range(2):  # compiles modules, fills the memory of what is harmless
            for argv in commands.values():
                once(argv, environ, null)
        for _ in range(runs):
            for name, argv in commands.items():
                times[name].append(once(argv, environ, null))
        os.close(null)
    base = statistics.median(times[EMPTY])
    added = [after - before for before, after in zip(times[LOADED], times[LOOKED], strict=True)]
    print(f"{title}:")
    for name, taken in times.items():
        print(f"  {name:<24}{statistics.median(taken):>8.2f} ms   lowest {min(taken):.2f}")
    more = statistics.median(added)
    lowest = min(times[LOOKED]) - min(times[LOADED])
    print(f"  the glance adds {more:.2f} ms ({more / base:.1%} of an empty run; aim 5%)", end="")
    print(f"; by the lowest {lowest:.2f} ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="runs of each command (100)")
    parser.add_argument("--processes", type=int, default=0, help="sleeping processes, up to 3000")
    parser.add_argument("--sockets", type=int, default=0, help="connected sockets, up to 10000")
    options = parser.parse_args()
    enter_private_network(sys.argv[1:])
    sleepers: list[subprocess.Popen[bytes]] = []
    holders: list[subprocess.Popen[str]] = []
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        measure("nothing listens", options.runs)
        with holder(SERVER) as server:
            measure("one harmless program listens", options.runs)
            server.communicate()
        if options.processes or options.sockets:
            each = max(1, min(2000, soft - 64) // 2)
            left = min(options.sockets, 10_000) // 2
            while left > 0:
                holders.append(holder(HOLD, str(min(each, left))))
                left -= each
            for _ in range(min(options.processes, 3000)):
                sleepers.append(subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL))
            measure(
                f"{len(sleepers)} processes and {min(options.sockets, 10_000)} sockets more,"
                " nothing listens",
                options.runs,
            )
    finally:
        for sleeper in sleepers:
            sleeper.kill()
        for sleeper in sleepers:
            sleeper.wait()
        for one in holders:
            one.communicate()
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"{options.runs} runs each, in turns; Python {version}, {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
