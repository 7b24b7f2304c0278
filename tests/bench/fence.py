#!/usr/bin/env python3
"""What a fence costs a launch: as a whole, by step, and in kernel memory.

    tests/bench/fence.py [--runs N]

The whole is `exec --fence -- true` beside `exec -- true` and `python3 -c pass`, in turns. The
steps are measured in processes of their own, for a fence cannot be taken off. Prints medians in
milliseconds; judges nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from guard.launch import fence  # noqa: E402

AIM = 100.0
STEPS = f"""
import sys, time
clock = time.perf_counter
at = [clock()]
def step():
    at.append(clock())
sys.path.append({str(ROOT)!r})
from guard.policy.values import CompiledPolicy
at[0] = clock()
from guard.launch import fence
wanted = fence.of_policy(CompiledPolicy(), {{}})
step()
from guard.launch.fences import landlock
from guard.launch.fences.ports import holds
kernel = landlock.Kernel()
kernel.check()
step()
holds(wanted)
step()
ruleset = kernel.ruleset(wanted)
step()
kernel.give_up_privileges()
kernel.filter()
step()
kernel.restrict(ruleset)
step()
held = holds(wanted)
step()
print(held, *(1000 * (b - a) for a, b in zip(at, at[1:])))
"""
NAMES = (
    "ports: catalogue and policy",
    "ctypes, what the kernel can",
    "fenced already?",
    "65,536 - K rules",
    "no_new_privs, seccomp filter",
    "restrict_self",
    "does it hold?",
)
SOCKETS = """
import socket, sys, time
begun = time.perf_counter()
for _ in range(20000):
    socket.socket().close()
print((time.perf_counter() - begun) / 20000 * 1e6)
"""


def once(argv: list[str], environ: dict[str, str]) -> float:
    """Wall-clock milliseconds of one run. Raises SystemExit if it does not end with 0."""
    begun = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, environ)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f"fence.py: {argv[-4:]} ended with {os.waitstatus_to_exitcode(status)}")
    return (time.perf_counter() - begun) * 1000


def slab() -> int:
    """Bytes of the kernel's slab memory, of which Landlock's rules are a part."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Slab:")) * 1024


def memory(command: list[str], environ: dict[str, str], count: int) -> float:
    """Bytes of slab memory per fenced process, with `count` of them alive at once."""
    before = slab()
    alive = []
    for _ in range(count):
        process = subprocess.Popen([*command, "/bin/cat"], env=environ, stdin=subprocess.PIPE)
        alive.append(process)
        # one after the other: what the launch itself needs is free again for the next one
        while Path(f"/proc/{process.pid}/comm").read_text() != "cat\n":
            time.sleep(0.01)
    after = slab()
    for process in alive:
        process.communicate()
    return (after - before) / count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40, help="runs of each command (40)")
    options = parser.parse_args()
    why = fence.unavailable()
    if why:
        sys.exit(f"fence.py: {why}")
    true = "/bin/true" if os.path.exists("/bin/true") else "/usr/bin/true"
    python = sys.executable
    guard = [python, "-I", "-S", str(ROOT / "guard/__main__.py"), "exec"]
    with tempfile.TemporaryDirectory(prefix="routeguard-bench-") as home:
        environ = {"HOME": home, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        commands = {
            "python3 -c pass": [python, "-c", "pass"],
            "exec -- true": [*guard, "--", true],
            "exec --fence -- true": [*guard, "--fence", "--", true],
            "the same below a fence": [*guard, "--fence", "--", *guard, "--fence", "--", true],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for argv in commands.values():  # compiles modules and policy
            once(argv, environ)
        steps: list[list[float]] = []
        for _ in range(options.runs):
            for name, argv in commands.items():
                times[name].append(once(argv, environ))
            done = subprocess.run(
                [python, "-I", "-S", "-c", STEPS], capture_output=True, text=True, check=True
            )
            held, *taken = done.stdout.split()
            if held != "True":
                sys.exit("fence.py: the fence does not hold")
            steps.append([float(word) for word in taken])
        calls = {
            name: float(
                subprocess.run(
                    [*before, python, "-I", "-c", SOCKETS],
                    env=environ,
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            for name, before in (("free", [*guard, "--"]), ("fenced", [*guard, "--fence", "--"]))
        }
        held_bytes = memory([*guard, "--fence", "--"], environ, 8)
        free_bytes = memory([*guard, "--"], environ, 8)
    base = statistics.median(times["python3 -c pass"])
    print(f"{'command':<32}{'median ms':>10}{'lowest':>9}{'x empty':>9}")
    for name, taken in times.items():
        middle = statistics.median(taken)
        print(f"{name:<32}{middle:>10.1f}{min(taken):>9.1f}{middle / base:>9.2f}")
    plain, behind = times["exec -- true"], times["exec --fence -- true"]
    print(
        f"{'the fence, once per launch':<32}"
        f"{statistics.median(behind) - statistics.median(plain):>10.1f}"
        f"{min(behind) - min(plain):>9.1f}   aim {AIM:.0f}\n"
    )
    print(f"{'step':<32}{'median ms':>10}{'lowest':>9}")
    for name, column in zip(NAMES, zip(*steps, strict=True), strict=True):
        print(f"{name:<32}{statistics.median(column):>10.2f}{min(column):>9.2f}")
    print(
        f"\na socket made and closed: {calls['free']:.2f} us free, {calls['fenced']:.2f} us fenced"
    )
    print(f"kernel slab per fenced process: {(held_bytes - free_bytes) / 2**20:.1f} MiB more")
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"{options.runs} runs each, in turns; Python {version}, Linux {os.uname().release}")


if __name__ == "__main__":
    main()
