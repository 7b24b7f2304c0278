"""The table, and the one way to run it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from doctored import Machine

from guard.cli import COMMANDS
from guard.doctor import context
from guard.doctor.checks import CHECKS, Check, document, run
from guard.doctor.context import Context
from guard.doctor.result import Diagnosis, ok

DOCS = Path(__file__).parents[2] / "docs/doctor.md"


def a_check(look: object, name: str = "x") -> Check:
    return Check(name, name.title(), look, "", "")  # type: ignore[arg-type]


def test_the_page_is_written_from_the_table() -> None:
    """Write it again with `python -m guard.doctor.checks docs/doctor.md`."""
    assert DOCS.read_text() == document()


def test_ids_are_unique() -> None:
    assert len({check.id for check in CHECKS}) == len(CHECKS)


def test_every_command_of_the_page_is_one() -> None:
    for name in re.findall(r"`routeguard ([a-z]+)", document()):
        assert name in COMMANDS, name


def test_what_takes_too_long_is_left_alone(machine: Machine) -> None:
    released = threading.Event()

    def slow(_: Context) -> Iterator[Diagnosis]:
        released.wait(30)
        yield ok("late")

    said: list[str] = []
    checks = [a_check(slow, "slow"), a_check(lambda _: [ok("there")], "quick")]
    found = run(machine.context(), said.append, checks=checks, seconds=0.5)
    released.set()
    assert [(check.id, one.state) for check, one in found] == [("slow", "broken"), ("quick", "ok")]
    assert "no answer within" in found[0][1].what
    assert set(said) == {"Slow"}


def test_a_check_that_fails_hides_no_other(machine: Machine) -> None:
    def fails(_: Context) -> Iterator[Diagnosis]:
        raise ValueError("sk-canary-0123456789abcdefghij")
        yield

    (_, wrong), (_, well) = run(
        machine.context(), checks=[a_check(fails), a_check(lambda _: [ok("there")], "y")]
    )
    assert wrong.state == "broken"
    assert re.fullmatch(r"internal error: ValueError at test_checks\.py:\d+", wrong.what)
    assert well.what == "there"


def test_a_launch_is_planned_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[object] = []
    plan = context.plan_launch

    def counted(*words: object, **more: object) -> object:
        planned.append(words[0])
        return plan(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(context, "plan_launch", counted)
    asking = [
        check for check in CHECKS if check.id in ("agents", "launch", "logins", "agent-files")
    ]
    assert {one.state for _, one in run(machine.context(), checks=asking)} == {"ok"}
    assert len(planned) == 1
