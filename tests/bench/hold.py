#!/usr/bin/env python3
"""What holding the ports costs: start to held, memory, descriptors, CPU time.

    tests/bench/hold.py [--runs N] [--python PYTHON] [--main MAIN] [--idle SECONDS]

Everything runs in a network namespace of its own (`unshare -rn`), so that it neither meets a real
proxy nor keeps one off. "Held" is when the daemon has said so. Judges nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EMPTY = "python -c pass"
COMMAND, DAEMON = "routeguard ports hold", "the daemon alone"


def empty(argv: list[str], environ: dict[str, str]) -> float:
    """Wall-clock milliseconds of one run of `argv`."""
    begun = time.perf_counter()
    subprocess.run(argv, env=environ, check=True)
    return (time.perf_counter() - begun) * 1000


def until_held(argv: list[str], environ: dict[str, str]) -> tuple[float, bytes]:
    """Milliseconds until `argv` holds its ports, and what it said; it is ended then."""
    begun = time.perf_counter()
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        taken = (time.perf_counter() - begun) * 1000
        process.terminate()
    if not line:
        sys.exit(f"hold.py: {argv} ended with {process.returncode}")
    return taken, line


def status(pid: int, name: str) -> int:
    """A number of `/proc/PID/status`, in kB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


def private(pid: int) -> int:
    """Memory in kB that is this process's alone: what would be free if it ended."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))


def cpu(pid: int) -> float:
    """Seconds of CPU time of a process and the children it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def idle(argv: list[str], environ: dict[str, str], seconds: float) -> None:
    """Print what a daemon that holds everything uses while nothing happens."""
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(1)
        before = cpu(process.pid)
        time.sleep(seconds)
        used = cpu(process.pid) - before + 1 / os.sysconf("SC_CLK_TCK")  # it counts whole ticks
        descriptors = len(os.listdir(f"/proc/{process.pid}/fd"))
        print(f"resident memory        {status(process.pid, 'VmRSS') / 1000:>8.1f} MB")
        print(f"  of it, its own alone {private(process.pid) / 1000:>8.1f} MB")
        print(f"descriptors            {descriptors:>8}")
        print(
            f"CPU time, at most      {used / seconds * 3600:>8.1f} s an hour ({seconds:.0f} s seen)"
        )
        process.terminate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30, help="runs of each (30)")
    parser.add_argument("--idle", type=float, default=65, help="seconds of doing nothing (65)")
    parser.add_argument("--python", default=sys.executable, help="interpreter (this one)")
    parser.add_argument("--main", default=str(ROOT / "guard/__main__.py"), help="guard/__main__.py")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        unshare = shutil.which("unshare") or sys.exit("hold.py: unshare is not on this machine")
        os.execv(unshare, [unshare, "-rn", sys.executable, __file__, *sys.argv[1:], "--inside"])
    with tempfile.TemporaryDirectory(prefix="routeguard-bench-") as home:
        environ = {"HOME": home, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        command = [options.python, "-I", "-S", options.main, "ports", "hold"]
        _, line = until_held([*command, "--json"], environ)  # compiles modules and policy
        held = ",".join(map(str, json.loads(line)["held"]))
        script = str(Path(options.main).parent / "proxies/hold.py")
        daemon = [options.python, "-I", "-S", script, "text", held, ""]
        times: dict[str, list[float]] = {EMPTY: [], COMMAND: [], DAEMON: []}
        for _ in range(options.runs):
            times[EMPTY].append(empty([options.python, "-c", "pass"], environ))
            times[COMMAND].append(until_held(command, environ)[0])
            times[DAEMON].append(until_held(daemon, environ)[0])
        print(f"{'start to held':<23}{'median ms':>10}{'lowest':>9}{'x empty':>9}")
        base = statistics.median(times[EMPTY])
        for name, taken in times.items():
            middle = statistics.median(taken)
            print(f"{name:<23}{middle:>10.1f}{min(taken):>9.1f}{middle / base:>9.2f}")
        idle(command, environ, options.idle)
    version = ".".join(map(str, sys.version_info[:3]))
    ports = len(held.split(","))
    print(f"{ports} ports; {options.runs} runs each, in turns; Python {version}")


if __name__ == "__main__":
    main()
