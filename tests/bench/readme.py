#!/usr/bin/env python3
"""The table "What it costs" of the README, from what the benchmarks measured.

    tests/bench/readme.py --measure     measure all, keep it, write and print the table: about four
                                        minutes on two quiet cores
    tests/bench/readme.py               write the table again from what is kept
    tests/bench/readme.py --check       1 if README.md has another table

What was measured is kept in tests/bench/measured.json, so no number is typed. Each row was measured
in one run with its yardstick, taking turns; medians, for a prompt and `check` the least.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "tests/bench"
README = ROOT / "README.md"
MEASURED = BENCH / "measured.json"
CASES = {
    "block": "with the block that `routeguard setup` writes",
    "from-a-file": "the hook's text sourced from a file",
}
"""Other ways to load the hook that `start.py` measures, and how the table names them."""

BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"

SHELLS = ("bash", "zsh", "fish")
TOOLS = ("direnv", "zoxide", "mise", "starship")
PARTS = ROOT / "tests/parts/node_modules"
AGENTS = {
    "opencode": ("opencode run", ".bin/opencode"),
    "claude-code": ("claude -p", "@anthropic-ai/claude-code-*/claude"),
    "codex": ("codex exec", "@openai/codex/bin/codex.js"),
}
"""By the agent's id: what is called, and the part that `launch.py` starts for it."""

Figures = dict[str, Any]


def measure(quick: bool, agents: bool, rg: str) -> Figures:
    """The figures of every benchmark. Raises CalledProcessError if one fails."""
    runs, seconds, rounds = ("5", "1", "1") if quick else ("40", "20", "3")
    size = ["--files", "1000", "--megabytes", "10"] if quick else []
    calls = {
        "start": ["start.py", "--runs", runs],
        "prompt": ["prompt_check.py", "--rounds", rounds],
        **{
            name: ["launch.py", "--agent", name, "--seconds", seconds]
            for name, (_, part) in AGENTS.items()
            if agents and any(PARTS.glob(part))
        },
        "check": ["check.py", "--no-plain", "--runs", rounds, "--rg", rg, *size],
    }
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, (script, *words) in calls.items():
            print(f"{script} {' '.join(words)}", file=sys.stderr, flush=True)
            file = Path(directory, name)
            command = [sys.executable, str(BENCH / script), *words, "--json", str(file)]
            environ = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.run(command, cwd=ROOT, env=environ, stdout=sys.stderr, check=True)
            figures[name] = json.loads(file.read_text())
    figures["commit"] = git("rev-parse", "--short", "HEAD")
    figures["date"] = git("log", "-1", "--format=%cs")
    return figures


def git(*words: str) -> str:
    """What git says."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def table(figures: Figures) -> str:
    """The sentence above the table and the table, in Markdown."""
    start = figures["start"]
    rows = [*starts(start), *prompts(figures["prompt"]), *commands(start), *agents(figures)]
    rows += checks(figures["check"])
    tools = [
        tool
        for tool in TOOLS
        if any(f"{shell} {tool}" in start["added_cpu_ms"] for shell in SHELLS)
    ]
    lines = [
        f"Measured on {start['cpus']} cores with Python {start['python']} at commit "
        f"{figures['commit']} ({figures['date']}) by",
        "`tests/bench/readme.py --measure`; each row in one run with what it is compared with.",
        "Milliseconds and microseconds are processor time, of all that the row starts.",
        "",
        f"| | without routeguard | routeguard | ratio | {' | '.join(tools)} |",
        "|---" * (4 + len(tools)) + "|",
    ]
    for row in rows:
        cells = row + [""] * (4 + len(tools) - len(row))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def starts(start: Figures) -> Iterable[list[str]]:
    """What each tool's line adds to the start of a shell."""
    added = start["added_cpu_ms"]
    for shell in SHELLS:
        if f"{shell} routeguard" not in added:
            continue
        ours, direnv = added[f"{shell} routeguard"], added.get(f"{shell} direnv")
        beside = [
            f"+{added[f'{shell} {tool}']:.1f} ms" if f"{shell} {tool}" in added else "-"
            for tool in TOOLS
            if any(f"{one} {tool}" in added for one in SHELLS)
        ]
        ratio = f"{ours / direnv:.1f} x direnv" if direnv else ""
        bare = f"{start['bare_cpu_ms'][shell]:.1f} ms"
        yield [f"start of an interactive {shell}", bare, f"+{ours:.1f} ms", ratio, *beside]
        for case, how in CASES.items():
            more = added.get(f"{shell} {case}")
            if more is not None:
                ratio = f"{more / direnv:.1f} x direnv" if direnv else ""
                yield [f"the same, {how}", bare, f"+{more:.1f} ms", ratio]


def prompts(prompt: Figures) -> Iterable[list[str]]:
    """One prompt, beside one external command in the same shell."""
    for shell, counts in prompt.items():

        def at(name: str, counts: Figures = counts) -> str:
            return " / ".join(f"{found[name]:,.0f}" for found in counts.values()) + " µs"

        ratios = sorted(found["check"] / found["true"] for found in counts.values())
        names = " / ".join(f"{int(count):,}" for count in counts)
        measured = all("direnv" in found for found in counts.values())
        yield [
            f"one prompt of {shell} at {names} exported names",
            f"{at('true')} for an external `true`",
            at("check"),
            f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
            at("direnv") if measured else "-",
        ]


def commands(start: Figures) -> Iterable[list[str]]:
    """Our commands cold, beside an empty Python."""
    for name, taken in start["command_cpu_ms"].items():
        yardstick = start["yardsticks"].get(name)
        if yardstick:
            empty = start["command_cpu_ms"][yardstick]
            ratio = f"{taken / empty:.1f}"
            bare = f"{empty:.0f} ms for `{yardstick}`"
            # how it was started is no part of the command
            command, _, where = name.partition(" in a ")
            row = f"`routeguard {command}`" + (f" in a {where}" if where else "")
            yield [row, bare, f"{taken:.0f} ms", ratio]


def agents(figures: Figures) -> Iterable[list[str]]:
    """A guarded agent, where it is installed, beside the same one that is pinned by hand: the
    guard's own part, and whole calls, whose differences are those of the agent itself as well."""
    for agent, (call, _) in AGENTS.items():
        if agent not in figures:
            continue
        found = figures[agent]
        whole, used = found["by_hand_s"], found["cpu"]
        yield [
            f"guarded `{call}`, up to the start of the agent",
            f"{whole:.2f} s for the whole call, pinned by hand",
            f"+{used['own_s'] * 1000:.0f} ms",
            f"{1 + found['own_s'] / whole:.2f}",
        ]
        # of the processor, for the clock of a whole call tells more of the machine
        by_hand = used["by_hand_s"]
        low, high = (1 + seconds / by_hand for seconds in used["more_interval_s"])
        yield [
            f"the whole call, {used['pairs']} pairs",
            f"{by_hand:.2f} s of the processor",
            f"{used['more_s']:+.2f} s",
            f"{1 + used['more_s'] / by_hand:.2f} (95 of 100: {low:.2f} to {high:.2f})",
        ]


def checks(check: Figures) -> Iterable[list[str]]:
    """`check`, beside ripgrep and an empty Python."""
    best, cpu = check["best_s"], check["cpu_s"]
    what = f"`routeguard check`, {check['files']:,} files, {check['megabytes']} MB"
    found = f"{check['found']} of {check['keys']} planted keys, {check['false']} false"
    for name, seconds in best.items():
        if name.startswith("rg, the same"):
            yield [
                f"{what}: {found}",
                f"{seconds:.2f} s for ripgrep with the same {check['literals']} literals",
                f"{best['routeguard check']:.2f} s ({cpu['routeguard check']:.2f} s of the "
                f"processor, {check['mib']['routeguard check']} MiB)",
                f"{best['routeguard check'] / seconds:.1f}",
            ]
    empty, three = cpu["an empty Python"], cpu["routeguard check, 3 named files"]
    yield [
        "`routeguard check` on 3 named files, as pre-commit calls it",
        f"{empty:.2f} s of the processor for an empty Python",
        f"{three:.2f} s of the processor",
        f"{three / empty:.1f}",
    ]


def with_table(readme: str, figures: Figures) -> str:
    """`readme` with the table of `figures` between the two marks.

    Raises ValueError without them.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the README has no place for the table")
    return f"{before}{begin}{table(figures)}{end}{after}"


def vendored_rg() -> str:
    """The ripgrep that Codex brings along, "" without it."""
    found = sorted(PARTS.glob("@openai/codex-*/vendor/*/*/rg"))
    return str(found[0]) if found else ""


def main() -> int:
    """Measure, write or compare; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="run the benchmarks first")
    parser.add_argument("--quick", action="store_true", help="few runs: to try it out")
    parser.add_argument("--no-agents", action="store_true", help="leave guarded agents out")
    parser.add_argument("--rg", default=shutil.which("rg") or vendored_rg(), help="ripgrep")
    parser.add_argument("--check", action="store_true", help="only compare")
    options = parser.parse_args()
    if options.measure:
        figures = measure(options.quick, not options.no_agents, options.rg)
        MEASURED.write_text(json.dumps(figures, indent=1) + "\n")
    figures = json.loads(MEASURED.read_text())
    before = README.read_text()
    after = with_table(before, figures)
    if options.check:
        return int(before != after)
    README.write_text(after)
    print(table(figures), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
