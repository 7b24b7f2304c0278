"""`routeguard ports` and `ports stop`: what they show, what they ask, how they end."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from guard.commands import complete, ports, ports_stop
from guard.commands.ports import as_dict, text
from guard.errors import GuardError, UsageError
from guard.policy.values import CompiledPolicy, PolicyException
from guard.proxies import stop as stopping
from guard.proxies.found import OTHER, PROXY, SUSPECT, UNKNOWN, Found, Process
from guard.proxies.stop import StopOutcome
from guard.proxies.stop_plan import Step
from guard.proxies.view import ORDER, Listening, View
from guard.report.terminal import columns_of, fold, paint, plain
from guard.report.words import local
from guard.sources.keepers import Keeper
from guard.sources.listener import Listener

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_800_000_000.0
EXCEPTION = PolicyException(subject="port:4000", reason="a benchmark", until=NOW + 3600)


def process(pid: int = 4242, **fields: Any) -> Process:
    known = {"started": 100, "since": NOW - 7500, "program": "litellm"}
    known |= {"uid": os.getuid(), "user": "me", **fields}
    return Process(pid, **known)


def found(port: int = 4000, **fields: Any) -> Found:
    known = {
        "verdict": PROXY,
        "proxy": "litellm",
        "name": "LiteLLM proxy",
        "how": "program litellm",
        "process": process(),
        "listeners": (Listener("127.0.0.1", port, uid=0), Listener("::1", port, family=6, uid=0)),
        **fields,
    }
    return Found(port, known.pop("listeners"), **known)


def other(port: int = 8000, **fields: Any) -> Found:
    known: dict[str, Any] = {"verdict": OTHER, "proxy": "", "name": "", "how": "program python3"}
    return found(port, **{**known, "process": process(99, program="http.server"), **fields})


def view(*all_found: Found | Listening) -> View:
    seen = [one if isinstance(one, Listening) else Listening(one) for one in all_found]
    return View(tuple(sorted(seen, key=lambda one: ORDER.index(one.state))))


def shown(*all_found: Found | Listening, everything: bool = False, width: int = 0) -> str:
    return plain(fold(text(view(*all_found), everything, NOW, width), width))


# The table ----------------------------------------------------------------------------------------


def test_a_forbidden_proxy_in_full() -> None:
    keeper = Keeper("systemd-user", "litellm.service")
    head, row, _, *said = shown(found(keeper=keeper, others=(process(4300),))).splitlines()
    assert head.split("  ")[0] == "PORT"
    assert [cell.strip() for cell in row.split("  ") if cell] == [
        "4000",
        "127.0.0.1, ::1",
        "litellm",
        "4242 +1",
        "me",
        "LiteLLM proxy",
        "program litellm",
        "2 h",
        "systemd-user litellm.service",
    ]
    assert said == [
        "1 forbidden by the policy [RG402]",
        "  stop:  routeguard ports stop 4000",
        '  allow: routeguard allow port 4000 --for 2h --reason "…"',
    ]


def test_what_is_no_proxy_is_counted_and_shown_on_demand() -> None:
    text = shown(other(), other(5173, name="Vite"))
    assert "8000" not in text
    assert text.splitlines() == [
        "no forbidden local proxy listens here",
        "2 other listeners, none a model proxy: routeguard ports --all",
    ]
    text = shown(other(), other(5173, name="Vite"), everything=True)
    assert "not a proxy (Vite)" in text
    assert "--all" not in text


def test_unknown_ones_on_ports_of_the_catalogue_are_shown() -> None:
    nobody = {"verdict": UNKNOWN, "proxy": "", "name": "", "how": "", "process": None}
    text = shown(found(4000, **nobody), found(51234, **nobody))
    assert "unknown" in text
    assert "51234" not in text
    assert "1 other listener, none" in text


def test_a_suspect_is_forbidden_and_not_offered_for_stopping() -> None:
    text = shown(found(11434, verdict=SUSPECT, name="Ollama", process=None))
    assert "unknown, perhaps Ollama" in text
    assert "1 forbidden" in text
    assert "ports stop" not in text


def test_an_excepted_one_is_allowed_with_its_reason_and_end() -> None:
    text = shown(Listening(found(), EXCEPTION))
    assert "LiteLLM proxy, allowed" in text
    assert f"port 4000 is allowed until {local(EXCEPTION.until)}: a benchmark" in text
    assert "forbidden by" not in text


def test_forbidden_ones_come_first() -> None:
    seen = view(other(), Listening(found(), EXCEPTION), found(8317)).seen
    assert [one.state for one in seen] == ["forbidden", "allowed", "other"]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long = found(
        name="模型代理" * 15, how="\x1b]0;owned\x07" * 10, process=process(program="x" * 300)
    )
    lines = shown(long, found(8317), other(), everything=True, width=width).splitlines()
    # a command stays whole, so that it can be copied
    assert max(columns_of(line) for line in lines if "routeguard" not in line) <= width
    assert all(map(str.isprintable, lines))


def test_what_is_forbidden_is_painted() -> None:
    painted = text(view(found(), other()), True, NOW, 90)
    assert paint("LiteLLM proxy", "bad") in painted
    assert painted.count("\x1b") == 4


def test_an_owner_that_only_the_socket_knows() -> None:
    assert "root" in shown(found(process=None))


def test_json_carries_everything_and_is_versioned() -> None:
    keeper = Keeper("docker", "litellm-1", stop=("docker", "stop", "litellm-1"), owned=True)
    said = as_dict(view(Listening(found(keeper=keeper), EXCEPTION), other()), False)
    assert (said["forbidden"], said["others"]) == (0, 1)
    (port,) = json.loads(json.dumps(said["ports"]))
    assert port == {
        "port": 4000,
        "addresses": ["127.0.0.1", "::1"],
        "state": "allowed",
        "verdict": "proxy",
        "proxy": "litellm",
        "name": "LiteLLM proxy",
        "how": "program litellm",
        "identified": True,
        "user": "me",
        "process": {
            "pid": 4242,
            "program": "litellm",
            "uid": os.getuid(),
            "user": "me",
            "since": "2027-01-15T05:55:00+00:00",
            "parents": [],
        },
        "others": [],
        "keeper": {
            "kind": "docker",
            "unit": "litellm-1",
            "stop": ["docker", "stop", "litellm-1"],
            "owned": True,
        },
        "exception": {"reason": "a benchmark", "until": "2027-01-15T09:00:00+00:00"},
    }


# The command --------------------------------------------------------------------------------------


class Machine:
    """What `view_listeners` finds, and what is done to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.view = View(())
        self.outcomes: dict[int, StopOutcome] = {}
        self.carried_out: list[int] = []
        self.graces: list[float] = []
        self._capsys = capsys
        for module in (ports, ports_stop):
            monkeypatch.setattr(module, "load_policy", lambda environ: CompiledPolicy())
            monkeypatch.setattr(module, "view_listeners", lambda policy, **_: self.view)
        monkeypatch.setattr(stopping, "carry_out_all", self._carry_out_all)

    def _carry_out_all(self, steps: Sequence[Step], *, grace: float) -> list[StopOutcome]:
        self.graces.append(grace)
        outcomes = []
        for step in steps:
            if step.refused:
                outcomes.append(stopping.carry_out(step))
                continue
            self.carried_out.append(step.found.port)
            default = StopOutcome(step.found, "stopped")
            outcomes.append(self.outcomes.get(step.found.port, default))
        return outcomes

    def run(self, *words: str) -> SimpleNamespace:
        try:
            code = ports.ports.main(list(words), prog_name="ports", standalone_mode=False)
            error = ""
        except GuardError as raised:
            code, error = raised.exit_code, raised.render()
        except click.ClickException as raised:
            code, error = 2, raised.format_message()
        said = self._capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err + error)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Machine:
    return Machine(monkeypatch, capsys)


def test_exit_status_of_the_table(machine: Machine) -> None:
    assert machine.run().code == 0
    machine.view = view(found())
    assert machine.run().code == 1
    machine.view = view(Listening(found(), EXCEPTION), other())
    assert machine.run().code == 0
    assert machine.run("--nonsense").code == 2


def test_json_of_the_table(machine: Machine) -> None:
    machine.view = view(found(), other())
    assert [p["port"] for p in json.loads(machine.run("--json").out)["ports"]] == [4000]
    ran = machine.run("--json", "--all")
    assert [p["port"] for p in json.loads(ran.out)["ports"]] == [4000, 8000]


def test_a_port_is_no_command(machine: Machine) -> None:
    ran = machine.run("4000")
    assert ran.code == 2
    assert "routeguard ports stop 4000" in ran.err
    assert "did you mean:\n         ports stop 4000" in machine.run("stopp", "4000").err


def test_options_before_a_command_are_not_lost_in_silence(machine: Machine) -> None:
    ran = machine.run("--json", "stop", "4000")
    assert ran.code == 2
    assert "routeguard ports stop …" in ran.err


def test_every_subcommand_is_there() -> None:
    for name in ports.ports.list_commands(click.Context(ports.ports)):
        assert isinstance(ports.ports.get_command(click.Context(ports.ports), name), click.Command)


# Stopping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["4000", "litellm", "LiteLLM", "LiteLLM proxy", "localhost:4000", "http://[::1]:4000/"],
)
def test_a_proxy_is_named_in_many_ways(machine: Machine, target: str) -> None:
    machine.view = view(found(), found(8317, proxy="x", name="X", process=process(7, program="x")))
    ran = machine.run("stop", target, "--yes", "--grace", "1.5")
    assert (ran.code, machine.carried_out, machine.graces) == (0, [4000], [1.5])
    assert ran.out == "stopped: LiteLLM proxy on port 4000\n"
    assert ran.err == (
        "LiteLLM proxy on 127.0.0.1:4000, [::1]:4000\n"
        "  TERM to litellm (pid 4242, user me); KILL if that takes longer than 1.5 s\n"
    )


@pytest.mark.parametrize("target", ["portkey", "portkey-gateway", "ccr", "claude-code-router"])
def test_a_name_of_the_catalogue_in_the_words_people_use(machine: Machine, target: str) -> None:
    machine.view = view(
        found(8787, proxy="portkey-gateway", name="Portkey's open-source gateway"),
        found(3456, proxy="claude-code-router", name="claude-code-router (ccr)"),
    )
    assert machine.run("stop", target, "--yes").code == 0
    assert len(machine.carried_out) == 1


def test_without_a_terminal_nothing_is_done_unasked(machine: Machine) -> None:
    machine.view = view(found())
    ran = machine.run("stop", "4000")
    assert (ran.code, machine.carried_out) == (2, [])
    assert "TERM to litellm" in ran.err
    assert "fix:   routeguard ports stop 4000 --yes" in ran.err
    ran = machine.run("stop", "--all", "--json")
    assert (ran.code, ran.out, machine.carried_out) == (2, "", [])
    assert "fix:   routeguard ports stop --all --yes --json" in ran.err


def test_without_a_target_what_there_is_is_named(machine: Machine) -> None:
    machine.view = view(found(), found(8317, name="CLIProxyAPI", process=process(7)))
    ran = machine.run("stop", "--yes")
    assert (ran.code, machine.carried_out) == (2, [])
    assert "LiteLLM proxy:\n         routeguard ports stop 4000" in ran.err
    assert "routeguard ports stop --all" in ran.err


@pytest.mark.parametrize("target", ["0", "65536", "99999999999", "", "--4000"])
def test_what_is_no_port_and_no_name(machine: Machine, target: str) -> None:
    machine.view = view(found())
    assert machine.run("stop", "--yes", "--", target).code == 2
    assert machine.carried_out == []


def test_a_misspelt_name_is_a_mistake_with_a_suggestion(machine: Machine) -> None:
    machine.view = view(found())
    ran = machine.run("stop", "litelm", "--yes")
    assert (ran.code, machine.carried_out) == (2, [])
    assert "no known proxy: litelm" in ran.err
    assert "did you mean:\n         routeguard ports stop litellm" in ran.err
    machine.view = View(())
    assert (
        "did you mean:\n         routeguard ports stop ollama" in machine.run("stop", "olama").err
    )


def test_a_mistake_among_several_stops_nothing(machine: Machine) -> None:
    machine.view = view(found())
    assert machine.run("stop", "4000", "litelm", "--yes").code == 2
    assert machine.carried_out == []


def test_what_does_not_run_is_stopped_already(machine: Machine) -> None:
    machine.view = view(found())
    ran = machine.run("stop", "4001", "--yes")
    assert ran.code == 0
    assert "nothing listens on port 4001; listening: 4000 (LiteLLM proxy)" in ran.err
    ran = machine.run("stop", "ollama", "--yes")
    assert (ran.code, machine.carried_out) == (0, [])
    assert "ollama does not listen here" in ran.err
    machine.view = View(())
    ran = machine.run("stop", "--all", "--yes")
    assert (ran.code, ran.err) == (
        0,
        "routeguard: no forbidden local proxy listens here\n",
    )
    assert json.loads(machine.run("stop", "--all", "--json").out)["results"] == []


def test_all_is_what_the_policy_forbids(machine: Machine) -> None:
    machine.view = view(
        Listening(found(), EXCEPTION), found(8317, process=process(7)), other(), found(9997)
    )
    ran = machine.run("stop", "--all", "--yes")
    assert (ran.code, machine.carried_out) == (0, [8317, 9997])
    ran = machine.run("stop", "--all", "4000")
    assert (ran.code, "exclude each other" in ran.err) == (2, True)


def test_an_allowed_one_is_stopped_by_name_with_a_note(machine: Machine) -> None:
    machine.view = view(Listening(found(), EXCEPTION))
    ran = machine.run("stop", "4000", "--yes")
    assert (ran.code, machine.carried_out) == (0, [4000])
    assert "note: an exception allows it until" in ran.err


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (other(), "it is not a proxy\n"),
        (other(name="the gateway of the policy"), "it is the gateway of the policy, not a proxy"),
        (found(8000, verdict=SUSPECT), "cannot identify the program"),
        (found(8000, verdict=UNKNOWN, process=None), "cannot identify the program"),
    ],
)
def test_what_is_not_identified_is_refused(machine: Machine, one: Found, why: str) -> None:
    machine.view = view(one)
    ran = machine.run("stop", "8000", "--yes")
    assert (ran.code, ran.out, machine.carried_out) == (126, "", [])
    assert "was not stopped [RG402]" in ran.err
    assert why in ran.err
    assert "fix:   to see what uses port 8000:\n         routeguard ports --all" in ran.err


def test_on_a_shared_port_the_proxy_is_meant(machine: Machine) -> None:
    machine.view = view(other(4000), found())
    assert machine.run("stop", "4000", "--yes").code == 0
    assert machine.carried_out == [4000]


def test_one_that_came_back(machine: Machine) -> None:
    machine.view = view(found())
    machine.outcomes[4000] = StopOutcome(
        machine.view.seen[0].found,
        "came back",
        "bash (pid 77) started it again as litellm (pid 5555)",
        fix="kill 77 && routeguard ports stop 4000",
        after=found(process=process(5555)),
        seconds=1.04,
    )
    ran = machine.run("stop", "4000", "--yes")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.endswith(
        "routeguard: LiteLLM proxy on port 4000 came back after 1.0 s [RG402]\n"
        "  where: 127.0.0.1:4000, [::1]:4000\n"
        "  why:   bash (pid 77) started it again as litellm (pid 5555)\n"
        "  fix:   kill 77 && routeguard ports stop 4000\n"
    )


def test_json_of_what_was_done(machine: Machine) -> None:
    machine.view = view(found(), found(8317, verdict=SUSPECT, process=None))
    ran = machine.run("stop", "--all", "--yes", "--json")
    assert ran.code == 126
    said = json.loads(ran.out)
    assert said["schema_version"] == 1
    assert [(r["ports"], r["result"], r["pid"]) for r in said["results"]] == [
        ([4000], "stopped", 4242),
        ([8317], "unidentified", None),
    ]


def test_something_that_still_listens_outweighs_a_refusal(machine: Machine) -> None:
    machine.view = view(found(), found(8317, verdict=SUSPECT))
    machine.outcomes[4000] = StopOutcome(machine.view.seen[0].found, "failed", "x failed")
    assert machine.run("stop", "--all", "--yes").code == 1


def test_an_interruption_does_not_claim_that_nothing_was_changed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> list[StopOutcome]:
        raise KeyboardInterrupt

    machine.view = view(found())
    monkeypatch.setattr(stopping, "carry_out_all", interrupted)
    ran = machine.run("stop", "4000", "--yes")
    assert ran.code == 130
    assert ran.err.endswith(
        "routeguard: interrupted; `routeguard ports` shows what still listens\n"
    )


def test_completion_offers_what_could_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    there = view(found(), other(), found(4141, proxy="copilot-api", name="copilot-api"))
    monkeypatch.setattr("guard.proxies.view.view_listeners", lambda policy, **_: there)
    monkeypatch.setattr("guard.launch.process.load_policy", lambda environ: CompiledPolicy())
    context, parameter = click.Context(ports_stop.stop), ports_stop.stop.params[0]

    def offered(incomplete: str) -> list[str]:
        return [item.value for item in complete.proxies(context, parameter, incomplete)]

    assert offered("") == ["4000", "litellm", "4141", "copilot-api"]
    assert offered("4") == ["4000", "4141"]

    def broken(*_: object, **__: object) -> View:
        raise UsageError("no policy")

    monkeypatch.setattr("guard.proxies.view.view_listeners", broken)
    assert offered("") == []


# Watching -----------------------------------------------------------------------------------------
