"""The audit log: one line per decision, names only, and never a reason not to launch."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from guard import audit
from guard.agents.environment import Change
from guard.agents.plan import Plan
from guard.findings import Finding

CANARY = "canary-0123456789"


@pytest.fixture
def plan() -> Plan:
    return Plan(
        agent="opencode",
        kind="guarded",
        program="/usr/bin/opencode",
        typed=["run", "a prompt"],
        argv=["run", "a prompt"],
        environ={"PORTKEY_API_KEY": CANARY},
        changes=[
            Change("removed", "OPENAI_API_KEY", "RG101", "x"),
            Change("set", "PATH", "", "y"),
        ],
        findings=[
            Finding("RG301", "s", "m"),
            Finding("RG301", "t", "m"),
            Finding("RG107", "u", "m"),
        ],
        route="portkey/gpt-4o",
    )


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def log(environ: dict[str, str]) -> Path:
    return Path(environ["HOME"], ".local/state/routeguard/audit.jsonl")


def test_a_line(plan: Plan, environ: dict[str, str]) -> None:
    audit.record(plan, "refused", environ, "run")
    (line,) = log(environ).read_text().splitlines()
    entry = json.loads(line)
    assert entry.pop("time").endswith("Z")
    assert entry.pop("pid") == os.getpid()
    assert entry == {
        "schema_version": 1,
        "decision": "refused",
        "agent": "opencode",
        "command": "run",
        "kind": "guarded",
        "program": "/usr/bin/opencode",
        "directory": os.getcwd(),
        "route": "portkey/gpt-4o",
        "removed": ["OPENAI_API_KEY"],
        "rules": ["RG301"],
    }
    assert CANARY not in line
    assert "a prompt" not in line


def test_only_its_owner_may_read_it(plan: Plan, environ: dict[str, str]) -> None:
    previous = os.umask(0)
    try:
        audit.record(plan, "launched", environ, "run")
    finally:
        os.umask(previous)
    assert stat.S_IMODE(log(environ).stat().st_mode) == 0o600
    assert stat.S_IMODE(log(environ).parent.stat().st_mode) == 0o700


def test_names_that_are_no_text(plan: Plan, environ: dict[str, str]) -> None:
    plan.program = os.fsdecode(b"/x/\xff\n")
    plan.changes = [Change("removed", os.fsdecode(b"\xff"), "RG101", "x")]
    audit.record(plan, "launched", environ, "run")
    (line,) = log(environ).read_text().splitlines()
    assert os.fsencode(json.loads(line)["program"]) == b"/x/\xff\n"


def test_many_at_once(plan: Plan, environ: dict[str, str]) -> None:
    threads = [
        threading.Thread(
            target=lambda: [audit.record(plan, "launched", environ, "run") for _ in range(20)]
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = log(environ).read_text().splitlines()
    assert len(lines) == 160
    assert {json.loads(line)["decision"] for line in lines} == {"launched"}


def test_it_does_not_grow_for_ever(plan: Plan, environ: dict[str, str]) -> None:
    audit.record(plan, "launched", environ, "first")
    with log(environ).open("a") as file:
        file.write("x" * audit.MAX_BYTES + "\n")
    audit.record(plan, "launched", environ, "second")
    old = log(environ).with_suffix(".jsonl.1")
    assert not log(environ).exists()
    assert '"second"' in old.read_text().splitlines()[-1]
    audit.record(plan, "launched", environ, "third")
    assert len(log(environ).read_text().splitlines()) == 1


@pytest.mark.parametrize("obstacle", ["file", "log directory", "link", "pipe", "no home"])
def test_what_is_in_the_way_costs_a_line_and_nothing_else(
    plan: Plan, environ: dict[str, str], tmp_path: Path, obstacle: str
) -> None:
    path = log(environ)
    elsewhere = tmp_path / "elsewhere"
    if obstacle == "file":
        (tmp_path / ".local").write_text("")
    elif obstacle == "no home":
        environ["HOME"] = "/proc/nonexistent"
    else:
        path.parent.mkdir(parents=True)
        if obstacle == "link":
            elsewhere.write_text("")
            path.symlink_to(elsewhere)
        elif obstacle == "pipe":
            os.mkfifo(path)
        else:
            path.mkdir()
    audit.record(plan, "launched", environ, "run")
    if obstacle == "link":
        assert elsewhere.read_text() == ""


def test_an_exception(environ: dict[str, str]) -> None:
    audit.record_exception(
        "allowed", environ, subject="port:4000", until="2026-12-31", reason="“why”\n"
    )
    (line,) = log(environ).read_text().splitlines()
    entry = json.loads(line)
    assert entry.pop("time").endswith("Z")
    assert entry.pop("pid") == os.getpid()
    assert entry == {
        "schema_version": 1,
        "decision": "allowed",
        "subject": "port:4000",
        "until": "2026-12-31",
        "reason": "“why”\n",
    }
    assert stat.S_IMODE(log(environ).stat().st_mode) == 0o600


def test_what_cannot_be_written_is_returned_and_said_once_a_day(
    plan: Plan, environ: dict[str, str]
) -> None:
    assert audit.record(plan, "launched", environ, "run") == ""
    log(environ).unlink()
    log(environ).mkdir()
    assert audit.record(plan, "launched", environ, "run")
    assert not audit.said_today(environ)
    assert audit.said_today(environ)
    stamp = Path(environ["HOME"], ".cache/routeguard/audit-unwritable")
    yesterday = stamp.stat().st_mtime - 86_401
    os.utime(stamp, (yesterday, yesterday))
    assert not audit.said_today(environ)
