#!/usr/bin/env python3
"""What the hook adds to the start of a shell, and what our commands cost cold.

    tests/bench/start.py [--runs N] [--python PYTHON] [--main MAIN] [--json FILE]

Beside the hook: the same line of direnv, zoxide, mise and starship, as far as they are on PATH.
Beside a command: an empty run of the same Python. Everything takes turns, so that a machine that
gets slower slows all of it. Prints medians in milliseconds, by the clock and of the processor.
Judges nothing: the aims are printed beside what was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from guard.install import blocks, launcher  # noqa: E402
from guard.install.way import Way  # noqa: E402

EMPTY = "python -c pass"
ISOLATED = "python -I -S -c pass"
ONE = "one-agent"
"""The hook where the policy guards one agent, beside that of every agent."""
BLOCK = "block"
"""What `routeguard setup` writes into the start file, in the place of the line."""
FILE = "from-a-file"
"""The text of the hook in a file that the start file reads: what is left without our launcher."""

TOOLS = {
    "routeguard": ("routeguard hook {shell}", {"bash": 6, "zsh": 4, "fish": 4}),
    ONE: ("routeguard hook {shell}", {}),
    BLOCK: ("routeguard hook {shell}", {"bash": 6, "zsh": 4, "fish": 4}),
    FILE: ("routeguard hook {shell}", {}),
    "direnv": ("direnv hook {shell}", {}),
    "zoxide": ("zoxide init {shell}", {}),
    "mise": ("mise activate {shell}", {}),
    "starship": ("starship init {shell}", {}),
}
SHELLS = {
    "bash": (".bashrc", ["--rcfile", "{home}/.bashrc", "-i", "-c", "exit"]),
    "zsh": (".zshrc", ["-d", "-i", "-c", "exit"]),
    "fish": (".config/fish/config.fish", ["-i", "-c", "exit"]),
}
HOOKED = " in a shell with the hook"
"""Of a command: as the functions of the hook start it, past the launcher."""
COMMANDS = {
    "exec -- true": (1.5, ISOLATED),
    f"exec -- true{HOOKED}": (1.5, ISOLATED),
    "status --short": (None, ISOLATED),
    "--version": (None, EMPTY),
    "--help": (None, EMPTY),
    "why OPENAI_API_KEY": (None, EMPTY),
    "policy show": (None, EMPTY),
    "policy show --effective": (None, EMPTY),
    "doctor --short": (None, EMPTY),
    "portkey --help": (None, EMPTY),
}
"""A command's aim, as a multiple of its yardstick."""

Case = tuple[list[str], dict[str, str]]


def once(argv: list[str], environ: dict[str, str], null: int) -> tuple[float, float]:
    """Milliseconds of one run: by the clock, and of the processor in it and its children.

    Raises SystemExit if it ends with more than 1.
    """
    actions = [(os.POSIX_SPAWN_DUP2, null, descriptor) for descriptor in (0, 1, 2)]
    begun = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, environ, file_actions=actions)
    _, status, used = os.wait4(pid, 0)
    taken = (time.perf_counter() - begun) * 1000
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        sys.exit(f"start.py: {shlex.join(argv)} ended with {os.waitstatus_to_exitcode(status)}")
    return taken, (used.ru_utime + used.ru_stime) * 1000


def installed(root: Path) -> str:
    """The main file of a copy of this clone that lies as pip, pipx, uv and install.sh lay it."""
    package = root / "installed/guard"
    shutil.copytree(ROOT / "guard", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "shell", package / "shell")
    return str(package / "__main__.py")


def home_of(root: Path, name: str, python: str, main: str) -> tuple[Path, dict[str, str]]:
    """A home with a launcher as setup makes it, and its environment."""
    home = root / name
    command = home / ".local/bin/routeguard"
    command.parent.mkdir(parents=True)
    way = Way("pip", "", python, main, str(command), "install it again", "")
    command.write_bytes(launcher.text(way, "3", str(home)))
    command.chmod(0o755)
    search = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    environ = {"HOME": str(home), "PATH": search, "LANG": "C.UTF-8", "TERM": "xterm"}
    return home, environ


def shell_cases(root: Path, python: str, main: str) -> dict[tuple[str, str], Case]:
    """For each shell and tool ("" for none) what starts the shell with the tool's line."""
    cases: dict[tuple[str, str], Case] = {}
    for shell, (start_file, words) in SHELLS.items():
        program = shutil.which(shell)
        if program is None:
            continue
        for tool in ("", *TOOLS):
            if tool not in ("", "routeguard", ONE, BLOCK, FILE) and shutil.which(tool) is None:
                continue
            home, environ = home_of(root, f"{shell}-{tool}", python, main)
            if tool == ONE:
                policy = home / ".config/routeguard/policy.toml"
                policy.parent.mkdir(parents=True)
                policy.write_text('[agents]\nguard = ["opencode"]\n')
            file = home / start_file
            file.parent.mkdir(parents=True, exist_ok=True)
            call = TOOLS[tool][0].format(shell=shell) if tool else ""
            line = f"{call} | source" if shell == "fish" else f'eval "$({call})"'
            if tool == FILE:
                text = home / "hook"
                with text.open("wb") as out:
                    subprocess.run(shlex.split(call), env=environ, stdout=out, check=True)
                line = f"source {text}"
            if tool == BLOCK:
                command = home / ".local/bin/routeguard"
                loads = blocks.Loads(str(command), str(home / "no-completion"), "install it again")
                line = blocks.block(shell, loads).decode()
            file.write_text(f"{line}\n" if tool else "")
            argv = [program, *(word.format(home=home) for word in words)]
            cases[shell, tool] = argv, environ
    return cases


def command_cases(root: Path, python: str, main: str) -> dict[str, Case]:
    """Our commands as the launcher or the hook starts them, and their yardsticks."""
    home, environ = home_of(root, "commands", python, main)
    command = str(home / ".local/bin/routeguard")
    cases: dict[str, Case] = {
        EMPTY: ([python, "-c", "pass"], environ),
        ISOLATED: ([python, "-I", "-S", "-c", "pass"], environ),
    }
    for name in COMMANDS:
        words = shlex.split(name.removesuffix(HOOKED))
        start = [python, "-I", "-S", main] if name.endswith(HOOKED) else [command]
        cases[name] = [*start, *words], environ
    return cases


def measured(cases: dict[object, Case], runs: int) -> tuple[dict[object, float], ...]:
    """The medians of each case, of both figures of `once`; two runs before count for nothing."""
    times: dict[object, list[tuple[float, float]]] = {name: [] for name in cases}
    null = os.open(os.devnull, os.O_RDWR)
    for _ in range(2):  # compiles modules and policy, keeps the hook
        for argv, environ in cases.values():
            once(argv, environ, null)
        time.sleep(0.2)  # what has just changed is not kept
    for _ in range(runs):
        for name, (argv, environ) in cases.items():
            times[name].append(once(argv, environ, null))
    os.close(null)
    return tuple(
        {name: statistics.median(pair[figure] for pair in taken) for name, taken in times.items()}
        for figure in (0, 1)
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50, help="runs of each (50)")
    parser.add_argument("--python", default=sys.executable, help="interpreter (this one)")
    parser.add_argument(
        "--main", help="guard/__main__.py (a copy, laid out as an installed package)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="routeguard-bench-") as directory:
        root = Path(directory)
        main_file = options.main or installed(root)
        shells = shell_cases(root, options.python, main_file)
        commands = command_cases(root, options.python, main_file)
        found, used = measured({**shells, **commands}, options.runs)
    added, added_cpu = (
        {f"{shell} {tool}": of[shell, tool] - of[shell, ""] for shell, tool in shells if tool}
        for of in (found, used)
    )
    head = f"{'ms':>8}{'cpu ms':>8}"
    print(f"{'added to the start of':<24}{head}{'x direnv':>10}{'aim ms':>8}")
    for name, more in added.items():
        shell, tool = name.split()
        beside = added.get(f"{shell} direnv")
        ratio = f"{more / beside:.2f}" if beside and beside > 0 else ""
        aim = TOOLS[tool][1].get(shell, "")
        print(f"{name:<24}{more:>8.2f}{added_cpu[name]:>8.2f}{ratio:>10}{aim!s:>8}")
    print(f"\n{'command':<40}{head}{'ratio':>10}{'aim':>8}  to")
    for name in commands:
        aim, yardstick = COMMANDS.get(name, (None, ""))
        ratio = f"{found[name] / found[yardstick]:.2f}" if yardstick else ""
        figures = f"{found[name]:>8.2f}{used[name]:>8.2f}"
        print(f"{name:<40}{figures}{ratio:>10}{aim or '':>8}  {yardstick}".rstrip())
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"\n{options.runs} runs each, in turns; Python {version}, {os.cpu_count()} CPUs")
    if options.json:
        document = {
            "added_ms": added,
            "added_cpu_ms": added_cpu,
            "bare_ms": {shell: found[shell, tool] for shell, tool in shells if not tool},
            "bare_cpu_ms": {shell: used[shell, tool] for shell, tool in shells if not tool},
            "command_ms": {name: found[name] for name in commands},
            "command_cpu_ms": {name: used[name] for name in commands},
            "yardsticks": {name: COMMANDS[name][1] for name in commands if name in COMMANDS},
            "runs": options.runs,
            "python": version,
            "cpus": os.cpu_count(),
        }
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
