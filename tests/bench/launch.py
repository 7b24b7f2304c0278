#!/usr/bin/env python3
"""What the guard adds to `opencode run`, `claude -p` and `codex exec`: guarded against pinned by
hand.

    tests/bench/launch.py [--agent ID] [--version] [--seconds N] [--program PATH] [--json FILE]

Both ask the same server on loopback, with the same pin; the one pinned by hand gets it in its
environment or its arguments and starts the agent directly. `--version` measures that option
instead, which calls no model, against the bare program.

Two answers, for a call of the agent varies by more than the guard takes. First the guard's own
part, from the start of Python to the execve that the agent begins with, many times, in the home in
which it has just been launched. Then whole calls in pairs, each side in a home of its own, as many
as there is time for: the median of their differences, with its interval, says whether the agent
itself takes longer for what the guard sets. Judges nothing.
"""

from __future__ import annotations

import argparse
import json
import math
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
MAIN = ROOT / "guard/__main__.py"
sys.path.insert(0, str(ROOT))

from guard.agents.adapter import Agent  # noqa: E402
from guard.agents.plan import Plan  # noqa: E402
from guard.agents.registry import agent_by_id  # noqa: E402
from guard.launch.loopback_gateway import LoopbackGateway  # noqa: E402
from guard.launch.recorder import RecordingProxy  # noqa: E402
from guard.policy import cache  # noqa: E402

AIM = 1.03
"""The guard's own part and the call pinned by hand, to the latter."""

OWN_RUNS = 40
SECONDS = 20
LEAST_PAIRS, MOST_PAIRS = 6, 40
"""As many pairs as SECONDS allow; of fewer than six no interval can be told."""

TO_EXECVE = """
import os, sys, time
def become(program, argv, environ):
    said = f"{time.monotonic_ns()} {time.process_time_ns()}"
    os.write(1, said.encode())
    os._exit(0)
os.execve = become
main = sys.argv[1]
sys.argv = sys.argv[1:]
with open(main) as file:
    exec(compile(file.read(), main, "exec"), {"__name__": "__main__", "__file__": main})
"""
"""Runs the guard, and in place of the agent prints when it would have started, and the processor
time until then. In nanoseconds."""

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

    def start(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        """Run `argv` here to its end."""
        return subprocess.run(
            argv,
            env=self.environ,
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def run(self, argv: list[str], answer: str) -> tuple[float, float]:
        """Wall-clock and processor seconds of one run. Raises SystemExit without `answer`."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        done = self.start(argv)
        taken = time.perf_counter() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode or answer not in done.stdout:
            sys.exit(f"launch.py: {argv[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return taken, used


def own_part(place: Place, words: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor from the start of Python to the agent's."""
    argv = [sys.executable, "-I", "-S", "-c", TO_EXECVE, str(MAIN), *words]
    begun = time.monotonic_ns()
    done = place.start(argv)
    ended, used = done.stdout.split() if done.returncode == 0 else ("", "")
    if not ended:
        sys.exit(f"launch.py: the guard ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return (int(ended) - begun) / 1e9, int(used) / 1e9


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
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for pairs ({SECONDS})")
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
    launched = ["exec", "--", agent.names[0], *words]
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
            "guarded": [sys.executable, "-I", "-S", str(MAIN), *launched],
        }
        for name, place in places.items():  # databases, caches, the compiled policy
            place.run(argv[name], answer)
        for _ in range(3):  # what a policy was read from has to be older than a moment to be kept
            own_part(places["guarded"], launched)
        own = [own_part(places["guarded"], launched) for _ in range(OWN_RUNS)]
        begun = time.monotonic()
        while (pairs := len(times["guarded"])) < MOST_PAIRS:
            if pairs >= LEAST_PAIRS and time.monotonic() - begun > options.seconds:
                break
            for name in sorted(times, reverse=bool(pairs % 2)):
                times[name].append(places[name].run(argv[name], answer))
            print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    clock = {name: [run[0] for run in taken] for name, taken in times.items()}
    used = {name: [run[1] for run in taken] for name, taken in times.items()}
    figures = report(own, clock) | {"cpu": report(own, used, "of the processor")}
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n")


def interval(differences: list[float]) -> tuple[float, float]:
    """What the median of what `differences` are a sample of lies in, with 95 in 100, whatever
    their distribution: between two of them, as far from the ends as half a coin's throws allow
    (the test of signs). All of them where they are fewer than six."""
    ordered, count = sorted(differences), len(differences)
    beyond, cut = 0.0, 0
    while (beyond := beyond + math.comb(count, cut) / 2**count) <= 0.025:
        cut += 1
    cut = max(cut - 1, 0)
    return ordered[cut], ordered[-1 - cut]


def report(
    own: list[tuple[float, float]], times: dict[str, list[float]], what: str = ""
) -> dict[str, object]:
    """Print the guard's own part and what the pairs say, in seconds `what`; the same as figures."""
    print(f"seconds {what}".rstrip())
    part = [run[bool(what)] for run in own]
    middle = {name: statistics.median(taken) for name, taken in times.items()}
    for name, taken in times.items():
        print(
            f"  {name:<9} median {middle[name]:6.3f}"
            f"   lowest {min(taken):6.3f}   highest {max(taken):6.3f}"
        )
    by_hand, of_guard = middle["by hand"], statistics.median(part)
    print(
        f"  the guard's own part: {of_guard * 1000:.1f} ms (median of {len(part)};"
        f" lowest {min(part) * 1000:.1f}), {1 + of_guard / by_hand:.3f} x (aim {AIM})"
    )
    more = [g - b for g, b in zip(times["guarded"], times["by hand"], strict=True)]
    low, high = interval(more)
    print(
        f"  a guarded call takes {statistics.median(more) * 1000:+.0f} ms more"
        f" ({len(more)} pairs; {low * 1000:+.0f} to {high * 1000:+.0f}),"
        f" {1 + statistics.median(more) / by_hand:.3f} x"
    )
    return {
        "pairs": len(more),
        "by_hand_s": by_hand,
        "guarded_s": middle["guarded"],
        "own_s": of_guard,
        "more_s": statistics.median(more),
        "more_interval_s": [low, high],
    }


if __name__ == "__main__":
    main()
