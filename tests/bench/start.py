#!/usr/bin/env python3
"""What a shell start and a wrapped command cost, against an empty run of the same Python.

    tests/bench/start.py [--runs N] [--python PYTHON] [--main MAIN]

Runs everything in turns, so that a machine that gets slower slows all of it, and prints medians
in milliseconds and ratios. Judges nothing: the aims are printed beside what was measured.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EMPTY = "python -c pass"


def once(argv: list[str], environ: dict[str, str], null: int) -> float:
    """Wall-clock milliseconds of one run. Raises SystemExit if it does not end with 0."""
    actions = [(os.POSIX_SPAWN_DUP2, null, descriptor) for descriptor in (0, 1)]
    begun = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, environ, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    taken = (time.perf_counter() - begun) * 1000
    if status:
        sys.exit(f"start.py: {shlex.join(argv)} ended with {os.waitstatus_to_exitcode(status)}")
    return taken


def write_launcher(path: Path, python: str, main: str) -> str:
    """A launcher as install.sh makes it; returns its path."""
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(python)} -I -S {shlex.quote(main)} "$@"\n')
    path.chmod(0o755)
    return str(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="runs of each command (100)")
    parser.add_argument("--python", default=sys.executable, help="interpreter (this one)")
    parser.add_argument("--main", default=str(ROOT / "guard/__main__.py"), help="guard/__main__.py")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="routeguard-bench-") as directory:
        home = Path(directory, "home")
        home.mkdir()
        environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        launcher = write_launcher(Path(directory, "routeguard"), options.python, options.main)
        wrapper = [options.python, "-I", "-S", options.main]
        commands = {
            EMPTY: ([options.python, "-c", "pass"], ""),
            "python -I -S -c pass": ([options.python, "-I", "-S", "-c", "pass"], ""),
            "true": (["/bin/true" if os.path.exists("/bin/true") else "/usr/bin/true"], ""),
            "routeguard hook bash": ([launcher, "hook", "bash"], ""),
            "routeguard hook zsh": ([launcher, "hook", "zsh"], "1.50"),
            "routeguard hook fish": ([launcher, "hook", "fish"], ""),
            "routeguard exec -- true": ([launcher, "exec", "--", "true"], "2.00"),
            "wrapper: exec -- true": ([*wrapper, "exec", "--", "true"], ""),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        null = os.open(os.devnull, os.O_RDWR)
        for _ in range(2):  # compiles modules and policy
            for argv, _aim in commands.values():
                once(argv, environ, null)
        for _ in range(options.runs):
            for name, (argv, _aim) in commands.items():
                times[name].append(once(argv, environ, null))
    print(f"{'command':<26}{'median ms':>10}{'lowest':>9}{'x empty':>9}{'aim':>7}")
    base = statistics.median(times[EMPTY])
    for name, (_argv, aim) in commands.items():
        middle = statistics.median(times[name])
        print(f"{name:<26}{middle:>10.2f}{min(times[name]):>9.2f}{middle / base:>9.2f}{aim:>7}")
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"{options.runs} runs each, in turns; Python {version}, {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
