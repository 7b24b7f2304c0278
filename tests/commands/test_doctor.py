"""`routeguard doctor`, run as a person runs it: what is said, how it ends, where no key is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
import pytest
from doctored import CANARIES, Machine
from doctored import machine as machine
from private_network import PrivateNetwork

from guard.commands.doctor import render
from guard.doctor.checks import CHECKS
from guard.doctor.result import Diagnosis, broken, ok, warning
from guard.report.terminal import columns_of, fold, plain

ROOT = Path(__file__).parents[2]
DONE = subprocess.CompletedProcess[str]


def run(machine: Machine, *words: str) -> DONE:
    done = forked.run(["doctor", *words], env=machine.environ, cwd=machine.project)
    for text in (done.stdout, done.stderr):
        assert not [value for value in CANARIES.values() if value in text]
    assert "Traceback" not in done.stderr
    return done


def as_json(machine: Machine, *words: str) -> dict[str, Any]:
    done = run(machine, "--json", *words)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["schema_version"] == 1
    assert done.returncode == (1 if found["broken"] else 0)
    return found


def test_every_check_is_told_with_its_fix(machine: Machine) -> None:
    found = as_json(machine, "--offline")
    assert {check["id"] for check in found["checks"]} == {check.id for check in CHECKS}
    states = {check["id"]: check["state"] for check in found["checks"]}
    assert states["hook"] == "broken"
    assert states["gateway"] == states["tls"] == states["key-accepted"] == "skipped"
    assert all(check["fix"] for check in found["checks"] if check["state"] == "broken")
    assert found["broken"] == list(states.values()).count("broken")


def test_chosen_checks_alone(machine: Machine) -> None:
    done = run(machine, "policy", "cache", "--json")
    assert [check["id"] for check in json.loads(done.stdout)["checks"]] == ["policy", "cache"]
    wrong = run(machine, "tsl")
    assert wrong.returncode == 2
    assert "tls" in wrong.stderr


def test_in_short_it_is_the_status(machine: Machine) -> None:
    status = forked.run(["status", "--short"], env=machine.environ, cwd=machine.project)
    done = run(machine, "--short")
    assert (done.returncode, done.stdout) == (status.returncode, status.stdout)
    assert done.stdout == "unguarded: hook missing\n"
    later = run(machine, "--offline", "--short")  # read by click
    assert (later.returncode, later.stdout) == (status.returncode, status.stdout)
    assert run(machine, "--short", "tls").returncode == 2


def test_a_machine_that_is_well(machine: Machine, private_network: PrivateNetwork) -> None:
    """Status 0: with a hook, shims, an agent and a key, and nothing else on the machine."""
    machine.guard()
    environ = machine.environ | {"PYTHONPATH": str(ROOT)}
    words = ["env", "-C", str(machine.project), sys.executable, "-m", "guard", "doctor"]
    done = private_network.run([*words, "--offline", "--json"], env=environ)
    found = json.loads(done.stdout)
    assert [check for check in found["checks"] if check["state"] == "broken"] == []
    assert done.returncode == 0


def test_a_broken_policy_is_a_finding_not_a_failure(machine: Machine) -> None:
    machine.policy("[keys\n")
    done = run(machine, "--offline")
    assert done.returncode == 1
    assert re.search(r"^broken +Policy +.*\[RG501\]$", done.stdout, re.MULTILINE)
    assert "skipped  Agents" in done.stdout


def test_paths_below_the_home_are_short(machine: Machine) -> None:
    said = run(machine, "--offline").stdout
    assert "~/.local/state/routeguard/audit.jsonl can be written" in said
    assert str(machine.home) not in said


RESULTS: list[tuple[Any, Diagnosis]] = [
    (CHECKS[0], ok("live in this zsh")),
    (CHECKS[1], broken("no start file " * 12, "one\ntwo " + "w " * 90, "RG503")),
    (CHECKS[1], warning("日本語 " * 20 + "\x1b[2J")),
]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_fits_the_terminal(width: int) -> None:
    text = fold(render(RESULTS, "/home/me"), width)
    assert max(columns_of(line) for line in text.splitlines()) <= width
    assert "\x1b[2J" not in text
    assert text.endswith("1 broken, 1 warning, 1 ok")


def test_colours_carry_no_meaning_of_their_own() -> None:
    lines = plain(render(RESULTS, "/home/me")).splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["ok", "broken"]


def test_the_gateway_is_asked_unless_offline(machine: Machine) -> None:
    machine.policy('[gateway]\nbase_url = "http://127.0.0.1:1/v1"\n')
    states = {check["id"]: check["state"] for check in as_json(machine)["checks"]}
    assert (states["gateway"], states["key-accepted"]) == ("broken", "skipped")
