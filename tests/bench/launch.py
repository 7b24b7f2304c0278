#!/usr/bin/env python3
"""What the guard adds to `opencode run`, `claude -p` and `codex exec`: guarded against pinned by
hand.

    tests/bench/launch.py [--agent ID] [--version] [--pairs N] [--program PATH] [--json FILE]

Both ask the same server on loopback, with the same pin; the one pinned by hand gets it in its
environment or its arguments and starts the agent directly. `--version` measures that option
instead, which calls no model, against the bare program. Runs in pairs, each in a home of its own,
and prints seconds, processor time of all processes of a run, and ratios. Judges nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from guard.agents.adapter import Agent  # noqa: E402
from guard.agents.plan import Plan  # noqa: E402
from guard.agents.registry import agent_by_id  # noqa: E402
from guard.launch.recorder import LoopbackGateway, RecordingProxy  # noqa: E402
from guard.policy import cache  # noqa: E402

AIM = 1.05
AIM_MORE = 0.060
"""Seconds that a guarded launch may take more."""

PROGRAMS = {
    "opencode": ".bin/opencode",
    "claude-code": "@anthropic-ai/claude-code-*/claude",
    "codex": "@openai/codex/bin/codex.js",
}
"""What is measured, by the agent's id, and where it lies below `node_modules`."""

LIMIT = 120
ANSWER = "The word is quokka."
POLICY = """
[gateway]
base_url = "{gateway}/v1"
key = {{ env = "PORTKEY_API_KEY" }}
default = "portkey/gpt-4o"

[agents.codex]
provider = "@bench"
model = "gpt-4o"

[agents.claude-code]
provider = "@bench"
model = "claude-bench"
small = "claude-bench"

[[exception]]
subject = "proxy:127.0.0.1:{proxy}"
reason = "keeps the benchmark off the network"
until = 2099-12-31
"""


class Place:
    """A home and a project under git, and the environment of a run in them."""

    def __init__(self, root: Path, program: Path, gateway: LoopbackGateway, proxy: str) -> None:
        self.project = root / "project"
        self.project.mkdir(parents=True)
        (root / "home").mkdir()
        self.environ = {
            "HOME": str(root / "home"),
            "PATH": f"{program.parent}:{os.defpath}",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "PORTKEY_API_KEY": gateway.key,
            "HTTP_PROXY": proxy,
            "HTTPS_PROXY": proxy,
            "NO_PROXY": "127.0.0.1",
        }
        subprocess.run(["git", "init", "-q", str(self.project)], env=self.environ, check=True)
        policy = root / "home/.config/routeguard/policy.toml"
        policy.parent.mkdir(parents=True)
        policy.write_text(POLICY.format(gateway=gateway.url, proxy=proxy.rsplit(":", 1)[1]))

    def run(self, argv: list[str], answer: str) -> tuple[float, float]:
        """Wall-clock and processor seconds of one run. Raises SystemExit without `answer`."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        done = subprocess.run(
            argv,
            env=self.environ,
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        taken = time.perf_counter() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode or answer not in done.stdout:
            sys.exit(f"launch.py: {argv[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return taken, used


def pinned(place: Place, agent: Agent, program: Path, words: list[str]) -> Plan:
    """What a user would have to set by hand to get what the guard sets."""
    policy = cache.load(str(place.project), place.environ)
    real = os.path.realpath(program)
    facts = agent.survey(words, place.environ, real, str(place.project), write=True)
    plan = agent.plan(policy, facts, real, time.time())
    if plan.forbidden_by:
        sys.exit(f"launch.py: refused: {plan.forbidden_by}")
    return plan


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=12, help="pairs of runs (12)")
    parser.add_argument("--agent", choices=PROGRAMS, default="opencode", help="which (opencode)")
    parser.add_argument("--version", action="store_true", help="of --version, not of a call")
    parser.add_argument("--program", type=Path, help="the agent, by default that of tests/parts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    agent = agent_by_id(options.agent)
    assert agent is not None
    parts = Path(os.environ.get("ROUTEGUARD_TEST_PARTS") or ROOT / "tests/parts")
    found = sorted((parts / "node_modules").glob(PROGRAMS[options.agent]))
    real = options.program or next(iter(found), None) or shutil.which(agent.names[0])
    if not real or not Path(real).exists():
        parser.error(f"there is no {agent.names[0]}: run `npm ci` in tests/parts")
    answer = agent.tested if options.version else ANSWER
    words = ["--version"] if options.version else agent.one_call("Which word?", "")
    wrapped = [sys.executable, "-I", "-S", str(ROOT / "guard/__main__.py")]
    times: dict[str, list[tuple[float, float]]] = {"by hand": [], "guarded": []}
    with (
        tempfile.TemporaryDirectory(prefix="routeguard-bench-") as directory,
        LoopbackGateway(f"bench-{secrets.token_hex(12)}", ANSWER) as gateway,
        RecordingProxy() as proxy,
    ):
        program = Path(directory, "bin", agent.names[0])
        program.parent.mkdir()
        program.symlink_to(Path(real).resolve())
        places = {
            name: Place(Path(directory, name.replace(" ", "-")), program, gateway, proxy.url)
            for name in times
        }
        plan = pinned(places["by hand"], agent, program, words)
        places["by hand"].environ = plan.environ
        argv = {
            # what one types; for Codex npm's script, which a launch does without
            "by hand": [str(program), *plan.argv],
            "guarded": [*wrapped, "exec", "--", agent.names[0], *words],
        }
        for name, place in places.items():  # databases, caches, the compiled policy
            place.run(argv[name], answer)
        for pair in range(options.pairs):
            for name in sorted(times, reverse=bool(pair % 2)):
                times[name].append(places[name].run(argv[name], answer))
            print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    figures: dict[str, object] = {"pairs": options.pairs}
    for index, (what, unit) in enumerate((("seconds", "s"), ("of processors", "cpu_s"))):
        of_runs = {name: [run[index] for run in taken] for name, taken in times.items()}
        figures |= report(what, of_runs, unit)
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n")


def report(what: str, times: dict[str, list[float]], unit: str) -> dict[str, object]:
    """Print medians, what the guard adds, and the ratio of the pairs; the same as figures."""
    print(what)
    middle = {name: statistics.median(taken) for name, taken in times.items()}
    for name, taken in times.items():
        print(
            f"  {name:<9} median {middle[name]:6.3f} s"
            f"   lowest {min(taken):6.3f}   highest {max(taken):6.3f}"
        )
    more = middle["guarded"] - middle["by hand"]
    print(f"  guarded takes {more * 1000:.0f} ms more (medians; aim {AIM_MORE * 1000:.0f})")
    ratios = sorted(g / b for g, b in zip(times["guarded"], times["by hand"], strict=True))
    quarter = len(ratios) // 4
    print(
        f"  guarded / by hand: {statistics.median(ratios):.3f} (median of {len(ratios)} pairs;"
        f" middle half {ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}; aim {AIM})"
    )
    suffix = "" if unit == "s" else "_cpu"
    return {
        f"by_hand_{unit}": middle["by hand"],
        f"guarded_{unit}": middle["guarded"],
        f"ratio{suffix}": statistics.median(ratios),
        f"ratio{suffix}_middle_half": [ratios[quarter], ratios[-1 - quarter]],
    }


if __name__ == "__main__":
    main()
