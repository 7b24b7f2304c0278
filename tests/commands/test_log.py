"""`routeguard log`, run as a person runs it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import forked
import pytest

from guard.commands.log import render
from guard.report.terminal import columns_of, fold
from guard.sources.audit_log import parse

CANARY = "sk-canary-0123456789abcdefghij"
NOW = time.time()


def at(seconds: float) -> str:
    return datetime.fromtimestamp(NOW - seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Machine:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home / ".local/state/routeguard/audit.jsonl"
        self.log.parent.mkdir(parents=True)
        self.environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}

    def add(self, ago: float, decision: str, **fields: object) -> None:
        content = {"schema_version": 1, "time": at(ago), "pid": 1, "decision": decision, **fields}
        with self.log.open("a") as file:
            file.write(json.dumps(content) + "\n")

    def launched(self, ago: float, **fields: object) -> None:
        about = {
            "agent": "opencode",
            "command": "run",
            "directory": f"{self.home}/src/app",
            "route": "portkey/gpt-4o",
            "removed": ["OPENAI_API_KEY"],
            "rules": [],
        }
        self.add(ago, "launched", **{**about, **fields})

    def refused(self, ago: float, *rules: str) -> None:
        self.launched(ago, rules=list(rules), removed=["ANTHROPIC_API_KEY"])
        text = self.log.read_text().splitlines()
        text[-1] = text[-1].replace('"launched"', '"refused"')
        self.log.write_text("\n".join(text) + "\n")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = forked.run(["log", *words], env=self.environ, cwd=self.home)
        assert CANARY not in done.stdout + done.stderr
        return done


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.launched(9 * 86400)
    machine.refused(7200, "RG301", "RG402")
    machine.add(3600, "allowed", subject="port:4000", until="2026-12-31", reason="a test")
    machine.launched(60, agent="quill", command="")
    return machine


def entries(machine: Machine, *words: str) -> list[dict[str, Any]]:
    done = machine.run("--json", *words)
    found = json.loads(done.stdout)
    assert (found["schema_version"], done.returncode) == (1, 0)
    return list(found["entries"])


def test_the_lines(machine: Machine) -> None:
    said = machine.run().stdout
    assert re.search(
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  refused   opencode run  ~/src/app\n"
        r" +RG301 files that load code into the agent\n"
        r" +RG402 a model proxy listens on this machine$",
        said,
        re.MULTILINE,
    )
    assert "launched  opencode run  portkey/gpt-4o  ~/src/app\n" in said
    assert re.search(r"^ +removed OPENAI_API_KEY$", said, re.MULTILINE)
    assert "ANTHROPIC_API_KEY" not in said, "nothing was removed from what never started"
    assert "allowed   port:4000 until 2026-12-31: a test\n" in said


@pytest.mark.parametrize(
    ("until", "shown"),
    [
        ("2026-11-29T15:20:36+00:00", r"20\d\d-\d\d-\d\d \d\d:\d\d"),
        ("2026-12-31", "2026-12-31"),
        ("Tomorrow", "Tomorrow"),
    ],
)
def test_when_an_exception_ends(machine: Machine, until: str, shown: str) -> None:
    machine.add(30, "allowed", subject="port:5000", until=until, reason="x")
    assert re.search(rf"port:5000 until {shown}: x$", machine.run().stdout, re.MULTILINE)


def test_an_agent_is_called_as_it_is_typed(machine: Machine) -> None:
    machine.launched(50, agent="claude-code", command="", program="/opt/cli.js")
    machine.launched(40, agent="gemini-cli", command="", program="/usr/bin/gemini")
    machine.launched(30, agent="opencode", program="/usr/bin/opencode2")
    said = machine.run("-n", "3").stdout
    shown = re.findall(r"launched +(\S+ ?\S*)  ", said)
    assert shown == ["claude", "gemini", "opencode2 run"]
    assert [e["agent"] for e in entries(machine, "-n", "3")] == [
        "claude-code", "gemini-cli", "opencode"
    ]  # fmt: skip
    for name in ("claude", "claude-code"):
        assert [e["agent"] for e in entries(machine, "--agent", name)] == ["claude-code"]
    assert [e["agent"] for e in entries(machine, "--agent", "gemini")] == ["gemini-cli"]


def test_which_entries(machine: Machine) -> None:
    assert len(entries(machine)) == 4
    assert [e["rules"] for e in entries(machine, "--refused")] == [["RG301", "RG402"]]
    assert [e["decision"] for e in entries(machine, "--since", "3h")] == [
        "refused", "allowed", "launched"
    ]  # fmt: skip
    assert len(entries(machine, "--since", at(86400 * 2)[:10])) == 3
    assert [e["agent"] for e in entries(machine, "--agent", "quill")] == ["quill"]
    # by any name under which it is started
    assert len(entries(machine, "--agent", "opencode2")) == 2
    assert [e["agent"] for e in entries(machine, "-n", "1")] == ["quill"]


def test_how_many(machine: Machine) -> None:
    for number in range(30):
        machine.launched(number)
    done = machine.run()
    assert done.stdout.count("launched") == 20
    assert done.stderr == "14 earlier: routeguard log -n all\n"
    assert len(entries(machine, "-n", "all")) == 34
    assert entries(machine, "-n", "0") == []
    assert machine.run("-n", "few").returncode == 2
    assert len(entries(machine, "--since", "1h")) == 31


def test_damaged_lines_are_told(machine: Machine) -> None:
    with machine.log.open("a") as file:
        file.write('{"time": "2026-\n')
    done = machine.run()
    assert done.stderr == "1 damaged line left out: ~/.local/state/routeguard/audit.jsonl\n"
    assert json.loads(machine.run("--json").stdout)["damaged"] == 1


def test_nothing_matches(machine: Machine) -> None:
    done = machine.run("--agent", "opncode")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "No entry matches; every entry: routeguard log -n all\n"


def test_no_log_yet(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    done = machine.run()
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "No entry in ~/.local/state/routeguard/audit.jsonl.\n"


def test_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.log.mkdir()
    done = machine.run()
    assert done.returncode == 3
    assert "the audit log cannot be read [RG503]" in done.stderr


def test_nothing_in_a_line_reaches_the_terminal_as_it_is(machine: Machine) -> None:
    machine.launched(1, command=f"\x1b[2J {CANARY}", directory="/x\n2026")
    done = machine.run()
    assert "\x1b" not in done.stdout
    assert "\\x1b[2J" in done.stdout
    assert "/x\\n2026" in done.stdout


@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_fits_the_terminal(width: int) -> None:
    content = {
        "time": at(0), "decision": "refused", "agent": "opencode", "command": "run",
        "directory": "/home/me/src/a-project", "route": "portkey/@openai/gpt-4o",
        "rules": ["RG301", "RG999"], "removed": [f"NAME_{n}_API_KEY" for n in range(20)],
    }  # fmt: skip
    entry = parse(json.dumps(content).encode())
    assert entry is not None
    text = fold(render(entry, "/home/me"), width)
    assert max(columns_of(line) for line in text.splitlines()) <= width


def test_what_is_no_time(machine: Machine) -> None:
    done = machine.run("--since", "yesterday")
    assert done.returncode == 2
    assert "not a time: 'yesterday'" in done.stderr


def test_following(machine: Machine) -> None:
    """Real processes: one follows while the log is written, rotated and written again."""
    words = [sys.executable, "-m", "guard", "log", "-f", "-n", "1", "--json"]
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        words, env={**machine.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            seen = [json.loads(process.stdout.readline())["agent"]]
            machine.launched(0, agent="second")
            seen.append(json.loads(process.stdout.readline())["agent"])
            machine.log.rename(f"{machine.log}.1")
            machine.launched(0, agent="third")
            seen.append(json.loads(process.stdout.readline())["agent"])
        finally:
            process.terminate()
        assert seen == ["quill", "second", "third"]
        assert process.wait(10) == 0


def test_a_launch_that_failed_before_it_was_planned_is_in_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    policy = machine.home / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text("[keys\n")
    fake = machine.home / "bin/opencode"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    machine.environ["PATH"] = f"{fake.parent}:/usr/bin:/bin"
    done = forked.run(["exec", "--", "opencode"], env=machine.environ, cwd=machine.home)
    assert done.returncode == 3
    policy.unlink()
    fake.unlink()
    done = forked.run(["exec", "--", "opencode"], env=machine.environ, cwd=machine.home)
    assert done.returncode == 127
    assert [entry["rules"] for entry in entries(machine, "--refused")] == [["RG501"], ["RG502"]]
    assert {entry["directory"] for entry in entries(machine)} == {str(machine.home)}
