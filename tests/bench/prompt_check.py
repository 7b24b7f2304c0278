"""What one prompt costs: the hook's check beside an external `true`, in the same shell and run.

Run by hand: python tests/bench/prompt_check.py [--rounds N]. Prints microseconds of processor time
(user and system, the shell's own and its children's) for 60, 200 and 1,000 exported names, and
the ratio to the external command; trust the ratio, not the time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from guard import catalog, hook
from guard.policy.values import CompiledPolicy

COUNTS = (60, 200, 1000)
CALLS = 400

LOOPS = {
    "bash": ". {hook}\nfor ((i = 0; i < {calls}; i++)); do {what}; done\n",
    "zsh": ". {hook}\nfor ((i = 0; i < {calls}; i++)); do {what}; done\n",
    "fish": "source {hook}\nset i 0\nwhile test $i -lt {calls}; {what}; set i (math $i + 1); end\n",
}
START = {
    # interactive, because only there the hook looks for unknown names
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i", "+Z"],
    "fish": ["fish", "--no-config", "-i"],
}
CHECK = {"bash": "__routeguard_prompt", "zsh": "__routeguard_precmd", "fish": "__routeguard_prompt"}


def environment(count: int) -> dict[str, str]:
    """`count` exported names in all, with a few keys of other services among them."""
    names = {
        "PATH": os.environ["PATH"],
        "HOME": tempfile.gettempdir(),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "STRIPE_API_KEY": "v",
        "DATADOG_API_KEY": "v",
        "SOME_UNKNOWN_API_KEY": "v",
    }
    for number in range(count - len(names)):
        names[f"VARIABLE_NUMBER_{number}"] = f"a value as long as they usually are {number}"
    return names


def processor_time(argv: list[str], environ: dict[str, str]) -> float:
    """Seconds of processor time that a command and its children take. Raises if it fails."""
    with subprocess.Popen(
        argv,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{argv[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def measure(shell: str, count: int, rounds: int, directory: Path) -> tuple[float, float]:
    """Microseconds of one check and of one external `true`, each the least of `rounds`."""
    policy = CompiledPolicy(
        variables={name: (each.kind, each.owner) for name, each in catalog.variables().items()}
    )
    scratch = directory / "scratch"
    scratch.mkdir(exist_ok=True)
    text = hook.render(
        shell,
        policy,
        python=sys.executable,
        main_file="/nowhere",
        shims=str(directory / "shims"),
        scratch=str(scratch),
    )
    path = directory / f"hook.{shell}"
    path.write_bytes(os.fsencode(text))
    environ = environment(count)

    def least(what: str) -> float:
        script = directory / f"script.{shell}"
        script.write_text(LOOPS[shell].format(hook=path, calls=CALLS, what=what))
        argv = [*START[shell], str(script)]
        return min(processor_time(argv, environ) for _ in range(rounds))

    nothing = least("true")
    check, external = least(CHECK[shell]), least("/bin/true")
    return (check - nothing) / CALLS * 1e6, (external - nothing) / CALLS * 1e6


def main() -> None:
    """Measure every shell that is there, and print one line for each number of names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="the least of so many (default 3)")
    rounds = parser.parse_args().rounds
    print(f"{'shell':6}{'names':>6}{'check µs':>10}{'true µs':>10}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as directory:
        for shell in hook.SHELLS:
            if shutil.which(shell) is None:
                print(f"{shell:6} not installed")
                continue
            for count in COUNTS:
                check, external = measure(shell, count, rounds, Path(directory))
                print(f"{shell:6}{count:6}{check:10.0f}{external:10.0f}{check / external:8.2f}")


if __name__ == "__main__":
    main()
