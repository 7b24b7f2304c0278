#!/usr/bin/env python3
"""What the guard adds to `opencode run` and `codex exec`: guarded against pinned by hand.

    tests/bench/launch.py [--agent ID] [--pairs N] [--program PATH]

Both ask the same server on loopback, with the same pin; the one pinned by hand gets it in its
environment or its arguments and starts the agent directly. Runs in pairs, each in a home of its
own, and prints seconds and ratios. Judges nothing.
"""

from __future__ import annotations

import argparse
import json
import os
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

PROGRAMS = {"opencode": "opencode", "codex": "codex"}
"""What is measured, by the agent's id, and what npm calls it."""

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

    def run(self, argv: list[str]) -> float:
        """Wall-clock seconds of one run. Raises SystemExit if it did not answer."""
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
        if done.returncode or ANSWER not in done.stdout:
            sys.exit(f"launch.py: {argv[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return taken


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
    parser.add_argument("--program", type=Path, help="the agent, by default that of tests/parts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    agent = agent_by_id(options.agent)
    assert agent is not None
    name = PROGRAMS[options.agent]
    parts = Path(os.environ.get("ROUTEGUARD_TEST_PARTS") or ROOT / "tests/parts")
    program = options.program or parts / "node_modules/.bin" / name
    if not program.exists():
        program = Path(shutil.which(name) or program)
    if not program.exists():
        parser.error(f"{program} is not there: run `npm ci` in tests/parts")
    program = program.absolute()
    words = agent.one_call("Which word?", "")
    wrapped = [sys.executable, "-I", "-S", str(ROOT / "guard/__main__.py")]
    times: dict[str, list[float]] = {"by hand": [], "guarded": []}
    with (
        tempfile.TemporaryDirectory(prefix="routeguard-bench-") as directory,
        LoopbackGateway(f"bench-{secrets.token_hex(12)}", ANSWER) as gateway,
        RecordingProxy() as proxy,
    ):
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
            place.run(argv[name])
        for pair in range(options.pairs):
            for name in sorted(times, reverse=bool(pair % 2)):
                times[name].append(places[name].run(argv[name]))
            print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    for name, taken in times.items():
        print(
            f"{name:<9} median {statistics.median(taken):6.3f} s"
            f"   lowest {min(taken):6.3f}   highest {max(taken):6.3f}"
        )
    more = statistics.median(times["guarded"]) - statistics.median(times["by hand"])
    print(f"guarded takes {more * 1000:.0f} ms more (medians; aim {AIM_MORE * 1000:.0f})")
    ratios = sorted(g / b for g, b in zip(times["guarded"], times["by hand"], strict=True))
    quarter = len(ratios) // 4
    if options.json:
        figures = {
            "by_hand_s": statistics.median(times["by hand"]),
            "guarded_s": statistics.median(times["guarded"]),
            "ratio": statistics.median(ratios),
            "ratio_middle_half": [ratios[quarter], ratios[-1 - quarter]],
            "pairs": options.pairs,
        }
        options.json.write_text(json.dumps(figures) + "\n")
    print(
        f"guarded / by hand: {statistics.median(ratios):.3f} (median of {len(ratios)} pairs;"
        f" middle half {ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}; aim {AIM})"
    )


if __name__ == "__main__":
    main()
