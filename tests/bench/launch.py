#!/usr/bin/env python3
"""What the guard adds to `opencode run`: a guarded launch against one pinned by hand.

    tests/bench/launch.py [--pairs N] [--opencode PATH]

Both ask the same server on loopback, with the same inline config and the same switches; the one
pinned by hand gets them in its environment and starts the agent directly. Runs in pairs, each in
a home of its own, and prints seconds and ratios. Judges nothing.
"""

from __future__ import annotations

import argparse
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

from guard.agents.opencode import planner  # noqa: E402
from guard.launch.recorder import LoopbackGateway, RecordingProxy  # noqa: E402
from guard.policy import cache  # noqa: E402

AIM = 1.05
LIMIT = 120
ANSWER = "The word is quokka."
POLICY = """
[gateway]
base_url = "{gateway}/v1"
key = {{ env = "PORTKEY_API_KEY" }}
default = "portkey/gpt-4o"

[[exception]]
subject = "proxy:127.0.0.1:{proxy}"
reason = "keeps the benchmark off the network"
until = 2099-12-31
"""


class Place:
    """A home and a project under git, and the environment of a run in them."""

    def __init__(self, root: Path, opencode: Path, gateway: LoopbackGateway, proxy: str) -> None:
        self.project = root / "project"
        self.project.mkdir(parents=True)
        (root / "home").mkdir()
        self.environ = {
            "HOME": str(root / "home"),
            "PATH": f"{opencode.parent}:{os.defpath}",
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


def switches(place: Place, opencode: Path, words: list[str]) -> dict[str, str]:
    """What a user would have to set by hand to get what the guard sets: every OPENCODE_* name."""
    policy = cache.load(str(place.project), place.environ)
    program = os.path.realpath(opencode)
    facts = planner.survey(words, place.environ, program, str(place.project), write=True)
    plan = planner.plan(policy, facts, program, time.time())
    if plan.forbidden_by:
        sys.exit(f"launch.py: refused: {plan.forbidden_by}")
    return {name: value for name, value in plan.environ.items() if name.startswith("OPENCODE_")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=12, help="pairs of runs (12)")
    parts = Path(os.environ.get("ROUTEGUARD_TEST_PARTS") or ROOT / "tests/parts")
    default = parts / "node_modules/.bin/opencode"
    if not default.exists():
        default = Path(shutil.which("opencode") or default)
    parser.add_argument("--opencode", type=Path, default=default, help="the agent")
    options = parser.parse_args()
    if not options.opencode.exists():
        parser.error(f"{options.opencode} is not there: run `npm ci` in tests/parts")
    words = ["run", "Which word?"]
    wrapped = [sys.executable, "-I", "-S", str(ROOT / "guard/__main__.py")]
    times: dict[str, list[float]] = {"by hand": [], "guarded": []}
    with (
        tempfile.TemporaryDirectory(prefix="routeguard-bench-") as directory,
        LoopbackGateway(f"bench-{secrets.token_hex(12)}", ANSWER) as gateway,
        RecordingProxy() as proxy,
    ):
        places = {
            name: Place(
                Path(directory, name.replace(" ", "-")), options.opencode, gateway, proxy.url
            )
            for name in times
        }
        argv = {
            "by hand": [str(options.opencode), *words],
            "guarded": [*wrapped, "exec", "--", "opencode", *words],
        }
        places["by hand"].environ |= switches(places["by hand"], options.opencode, words)
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
    ratios = sorted(g / b for g, b in zip(times["guarded"], times["by hand"], strict=True))
    quarter = len(ratios) // 4
    print(
        f"guarded / by hand: {statistics.median(ratios):.3f} (median of {len(ratios)} pairs;"
        f" middle half {ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}; aim {AIM})"
    )


if __name__ == "__main__":
    main()
