"""The launch of a case under the guard: planned, prepared, and run on the stand-in."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from fake_opencode2 import LATER, Build
from opencode2_cases import Bench

from guard.agents import proved
from guard.agents.binary import parse_version
from guard.agents.opencode2.facts import Facts
from guard.agents.plan import Plan
from guard.agents.registry import agent_by_id, without_guard
from guard.launch.agent import plan_launch
from guard.policy.values import CompiledPolicy

NOW = 1_700_000_000.0
Drop = Callable[["Guarded"], None]


@dataclasses.dataclass
class Guarded:
    """One planned launch. A test may take a measure out of it before it runs."""

    bench: Bench
    plan: Plan
    facts: Facts

    @property
    def refused(self) -> list[str]:
        return [finding.rule for finding in self.plan.forbidden_by]

    @property
    def files(self) -> tuple[Path, Path]:
        """The private configuration: the route, and the rest."""
        folder = Path(self.facts.places.config, "opencode")
        return folder / "opencode.json", folder / "opencode.jsonc"

    def run(self, build: Build = LATER) -> set[str]:
        return self.bench.run(build, self.plan.argv, self.plan.environ)


def program(bench: Bench, version: str = "2.2.7") -> str:
    """An installed opencode of this version, of which nothing is started."""
    folder = bench.root / "lib" / "@opencode" / "cli"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"name": "@opencode/cli", "version": version}))
    binary = folder / "bin" / "opencode"
    binary.parent.mkdir(exist_ok=True)
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    return str(binary)


def plan(
    bench: Bench,
    policy: CompiledPolicy,
    argv: Sequence[str] | None = None,
    *,
    version: str = "2.2.7",
    prove: bool = True,
    write: bool = True,
) -> Guarded:
    """Plan `opencode ARGV` in the project of `bench`."""
    binary = program(bench, version)
    own = without_guard(bench.environ)
    if prove:
        proved.remember(proved.line_of(binary, parse_version(version), policy), own)
    agent = agent_by_id("opencode")
    assert agent is not None
    made, facts = plan_launch(
        agent,
        list(bench.argv if argv is None else argv),
        own,
        [],
        binary,
        policy,
        str(bench.project),
        NOW,
        write=write,
    )
    assert isinstance(facts, Facts)
    shown = [f.as_dict() for f in made.findings] + [c.as_dict() for c in made.changes]
    assert "canary" not in json.dumps([*shown, made.rewritten, made.route, made.argv])
    return Guarded(bench, made, facts)


def launch(bench: Bench, policy: CompiledPolicy, argv: Sequence[str] | None = None) -> Guarded:
    """Plan and prepare, whatever forbids the launch: what the pin holds by itself."""
    made = plan(bench, policy, argv)
    agent = made.facts.adapter(agent_by_id("opencode"))  # type: ignore[arg-type]
    assert agent.prepare(made.plan, policy, made.facts, lambda name: "#!/bin/sh\n") == []
    if made.plan.directory:
        os.chdir(made.plan.directory)
    return made
