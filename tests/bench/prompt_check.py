"""What one prompt costs: the hook's check beside an external `true`, in the same shell and run.

Run by hand: python tests/bench/prompt_check.py [--rounds N] [--json FILE]. Prints microseconds of
processor time (user and system, the shell's own and its children's) for 60, 200 and 1,000 exported
names, and the ratio to the external command; trust the ratio, not the time. Where direnv is on
PATH, what its hook takes at one prompt stands beside it. With more than some 300 names in bash, or
150 in fish, unknown keys are looked for only at every so many prompts, so that many names can cost
less than few.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from guard.catalog import entries
from guard.hook import SHELLS, render
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
DIRENV = {"bash": "_direnv_hook", "zsh": "_direnv_hook", "fish": "__direnv_export_eval"}
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


def measure(shell: str, count: int, rounds: int, directory: Path) -> dict[str, float]:
    """Microseconds of one check, of one external `true` and of direnv's hook where it is
    installed, each the least of `rounds`."""
    policy = CompiledPolicy(
        variables={name: (each.kind, each.owner) for name, each in entries.variables().items()}
    )
    scratch = directory / "scratch"
    scratch.mkdir(exist_ok=True)
    text = render.render(
        shell,
        policy,
        python=sys.executable,
        main_file="/nowhere",
        shims=str(directory / "shims"),
        scratch=str(scratch),
    )
    ours = directory / f"hook.{shell}"
    ours.write_bytes(os.fsencode(text))
    environ = environment(count)

    runs = {"nothing": ("true", ours), "check": (CHECK[shell], ours), "true": ("/bin/true", ours)}
    if shutil.which("direnv"):
        theirs = directory / f"direnv.{shell}"
        words = ["direnv", "hook", shell]
        theirs.write_bytes(subprocess.run(words, capture_output=True, check=True).stdout)
        runs["direnv"] = DIRENV[shell], theirs
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):  # in turns: a slow moment of the machine is shared by all
        for name, (what, hook_file) in runs.items():
            script = directory / f"script.{shell}"
            script.write_text(LOOPS[shell].format(hook=hook_file, calls=CALLS, what=what))
            taken[name].append(processor_time([*START[shell], str(script)], environ))
    found = {name: min(seconds) for name, seconds in taken.items()}
    nothing = found.pop("nothing")
    return {name: (seconds - nothing) / CALLS * 1e6 for name, seconds in found.items()}


def main() -> None:
    """Measure every shell that is there, and print one line for each number of names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="the least of so many (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    print(f"{'shell':6}{'names':>6}{'check µs':>10}{'true µs':>10}{'ratio':>8}{'direnv µs':>11}")
    figures: dict[str, dict[int, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for shell in SHELLS:
            if shutil.which(shell) is None:
                print(f"{shell:6} not installed")
                continue
            figures[shell] = {}
            for count in COUNTS:
                found = measure(shell, count, options.rounds, Path(directory))
                figures[shell][count] = found
                check, external = found["check"], found["true"]
                beside = f"{found['direnv']:11.0f}" if "direnv" in found else ""
                ratio = check / external
                print(f"{shell:6}{count:6}{check:10.0f}{external:10.0f}{ratio:8.2f}{beside}")
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
