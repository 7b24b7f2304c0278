"""quill: a made-up agent, to show what an adapter is and that nothing else has to know of one.

It asks the server that QUILL_SERVER names, `quill ask WORDS`; `quill serve` would listen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guard.agents import adapter, environment
from guard.agents.plan import Plan
from guard.agents.registry import AGENTS
from guard.agents.today import Today
from guard.findings import Finding
from guard.policy.values import CompiledPolicy


class Facts(adapter.Facts):
    def __init__(self, typed: list[str], environ: Mapping[str, str]) -> None:
        self.typed = typed
        self.environ = dict(environ)
        self.command = typed[0] if typed else ""
        self.version = (1, 0, 0)


class Quill(adapter.Agent):
    id = "quill"
    title = "Quill"
    names = ("quill",)
    packages = ("@quill/cli",)
    tested = "1.0.0"
    sets = {"QUILL_SERVER": "the gateway answers"}  # noqa: RUF012

    def kind(self, typed: Sequence[str]) -> str:
        kinds = {"ask": adapter.GUARDED, "serve": adapter.SERVER}
        return kinds.get(typed[0] if typed else "", adapter.HARMLESS)

    def survey(
        self, typed: list[str], environ: Mapping[str, str], program: str, cwd: str, *, write: bool
    ) -> Facts:
        return Facts(typed, environ)

    def plan(self, policy: CompiledPolicy, facts: Facts, program: str, now: float) -> Plan:
        clean, changes, findings = environment.clean(
            facts.environ, policy, now, keeps=self.keeps, agent=True
        )
        kind = self.kind(facts.typed)
        if kind == adapter.SERVER:
            findings.append(Finding("RG203", "serve", "quill would serve other programs"))
        if kind == adapter.GUARDED:
            clean["QUILL_SERVER"] = policy.base_url
            changes.append(environment.Change("set", "QUILL_SERVER", "", self.sets["QUILL_SERVER"]))
        plan = Plan(
            agent=self.id, kind=kind, program=program, typed=facts.typed, argv=facts.typed,
            environ=clean, changes=changes, findings=findings, guarded=kind == adapter.GUARDED,
        )  # fmt: skip
        plan.route = policy.default_model if plan.guarded else ""
        return plan

    def today(self, facts: Facts) -> Today:
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
