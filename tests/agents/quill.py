"""quill: a made-up agent, to show what an adapter is and that nothing else has to know of one.

It asks the server that QUILL_SERVER names, `quill ask WORDS`; `quill serve` would listen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guard.agents import adapter
from guard.agents.command_line import Command, CommandLine, judge_command
from guard.agents.kinds import GUARDED, HARMLESS, SERVER
from guard.agents.plan import Plan
from guard.agents.registry import AGENTS
from guard.agents.today import Today
from guard.findings import Finding
from guard.policy.values import CompiledPolicy

COMMANDS = {
    "ask": Command("ask", GUARDED),
    "serve": Command("serve", SERVER, why="would serve other programs"),
}


class Quill(adapter.Agent):
    id = "quill"
    title = "Quill"
    names = ("quill",)
    packages = ("@quill/cli",)
    tested = "1.0.0"
    sets = {"QUILL_SERVER": "the gateway answers"}  # noqa: RUF012

    def read(self, typed: Sequence[str]) -> CommandLine:
        return CommandLine(typed, COMMANDS.get("".join(typed[:1]), Command("", HARMLESS)))

    def survey(
        self, typed: list[str], environ: Mapping[str, str], program: str, cwd: str, *, write: bool
    ) -> adapter.Facts:
        return adapter.Facts(self.read(typed), dict(environ), (1, 0, 0))

    def judge_arguments(
        self, invocation: CommandLine, policy: CompiledPolicy, now: float
    ) -> list[Finding]:
        return judge_command(invocation, self, "quill ask WORDS")

    def judge_files(
        self, result: Plan, policy: CompiledPolicy, facts: adapter.Facts, now: float
    ) -> None:
        """It reads none."""

    def pin(self, result: Plan, policy: CompiledPolicy, facts: adapter.Facts) -> None:
        result.set({"QUILL_SERVER": policy.base_url}, self.sets)
        result.route = policy.default_model

    def today(self, facts: adapter.Facts) -> Today:
        return Today(route=facts.environ.get("QUILL_SERVER", "quill.example"))

    def pins(self, environ: Mapping[str, str]) -> bool:
        return "QUILL_SERVER" in environ

    def unpinned(
        self, environ: Mapping[str, str], policy: CompiledPolicy, argv: Sequence[str] = ()
    ) -> str:
        return "" if environ["QUILL_SERVER"] == policy.base_url else "it asks another server"

    def one_call(self, prompt: str, version: str) -> list[str]:
        return ["ask", prompt]


AGENTS.append(Quill())
