"""Which binaries have to prove their route, and what a proof counts for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from guard.agents import proved
from guard.agents.registry import AGENTS
from guard.errors import GuardError
from guard.policy.values import AgentRoute, CompiledPolicy, GatewayProvider, PolicyException

AGENT = AGENTS[0].adapter()
NEWER = (1, 99, 0)


class Machine:
    def __init__(self, root: Path) -> None:
        self.environ = {"HOME": str(root)}
        self.program = root / "agent"
        self.program.write_text("1")

    def judge(
        self, policy: CompiledPolicy | None = None, version: tuple[int, int, int] = NEWER
    ) -> tuple[str, list[str]]:
        facts = SimpleNamespace(version=version)
        why, found = proved.judge(
            AGENT, policy or CompiledPolicy(), str(self.program), facts, self.environ
        )
        assert all((one.rule, one.severity) == ("RG204", "note") for one in found)
        return why, [one.message for one in found]

    def line(self, policy: CompiledPolicy | None = None) -> str:
        return proved.line_of(str(self.program), NEWER, policy or CompiledPolicy())

    def prove(self) -> None:
        proved.remember(self.line(), self.environ)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_only_what_was_never_tried_has_to(machine: Machine) -> None:
    why, (note,) = machine.judge()
    assert why == "opencode 1.99.0 was never tried with routeguard"
    assert "proves its route first" in note
    assert machine.judge(version=(1, 18, 33)) == ("", [])
    machine.prove()
    assert machine.judge() == ("", [])


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.id)
def test_every_agent_tells_what_was_tried(agent: object) -> None:
    adapter = agent.adapter()  # type: ignore[attr-defined]
    assert adapter.tried(tuple(map(int, adapter.tested.split("."))))
    assert not adapter.tried((99, 0, 0))


def test_a_binary_that_changed_has_to_again(machine: Machine) -> None:
    machine.prove()
    machine.program.write_text("22")
    assert machine.judge()[0]
    machine.prove()
    assert not machine.judge()[0]
    other = machine.program.with_name("other")
    other.write_text("3")
    other.rename(machine.program)
    assert machine.judge()[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"base_url": "https://gateway.example/v1"},
        {"providers": (GatewayProvider(slug="other"),)},
        {"routes": (AgentRoute(agent="codex", provider="other"),)},
        {"reroute": {"openai": "other"}},
        {"servers": "allow"},
        {"gateway_proxy": "http://proxy.example:8080"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_policy_asks_again(machine: Machine, changed: dict[str, object]) -> None:
    machine.prove()
    assert machine.judge(CompiledPolicy(**changed))[0]  # type: ignore[arg-type]


def test_what_does_not_shape_a_launch_does_not(machine: Machine) -> None:
    machine.prove()
    allowed = PolicyException(subject="port:4000", reason="a test", until=9e9)
    assert not machine.judge(CompiledPolicy(exceptions=(allowed,), notes=("n",)))[0]


def test_off_says_so_and_always_asks(machine: Machine) -> None:
    why, (note,) = machine.judge(CompiledPolicy(prove={"opencode": "off"}))
    assert why == ""
    assert "your system policy lets it start without a proof" in note
    always = CompiledPolicy(prove={"opencode": "always"})
    proved.remember(machine.line(always), machine.environ)
    assert machine.judge(always, (1, 18, 33))[0]
    assert machine.judge(always)[0]
    # it counts for one launch: the one that the proof itself makes
    assert proved.take(machine.line(always), machine.environ)
    assert not proved.take(machine.line(always), machine.environ)


def test_what_others_could_have_written_counts_for_nothing(machine: Machine) -> None:
    machine.prove()
    (kept,) = Path(machine.environ["HOME"]).rglob("proved")
    kept.chmod(0o666)
    assert machine.judge()[0]


def test_a_program_that_is_gone_cannot_be_told_apart(machine: Machine) -> None:
    machine.program.unlink()
    with pytest.raises(GuardError):
        machine.line()
