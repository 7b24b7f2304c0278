"""docs/log.md: its fields are those of the log, and its examples can at least be parsed."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from pathlib import Path

import yaml

from guard import audit
from guard.agents.plan import Plan
from guard.errors import GuardError

PAGE = (Path(__file__).parents[2] / "docs/log.md").read_text()
LOG = "/home/*/.local/state/routeguard/audit.jsonl"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_fields_are_those_that_are_written(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    plan = Plan(agent="a", kind="guarded", program="/a", typed=[], argv=[], environ={})
    audit.record(plan, "launched", environ, "run")
    audit.record_failure("a", GuardError("no", rule="RG501"), environ)
    audit.record_exception("allowed", environ, subject="port:1", until="", reason="why")
    audit.record_key("printed", environ, entry="portkey", source="x", program="/a")
    lines = [json.loads(line) for line in Path(audit.log_file(environ)).read_text().splitlines()]
    table = PAGE[PAGE.index("| field |") : PAGE.index("A launch that is refused before")]
    told = {
        name
        for row in table.splitlines()[2:]
        for name in re.findall(r"`(\w+)`", row.split("|")[1] if row else "")
    }
    assert told == {name for line in lines for name in line}


def test_the_examples_can_be_parsed() -> None:
    (unit,) = blocks("ini")
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(unit)
    assert parser["Service"]["ExecStart"].endswith("routeguard log -f -n 0 --json")
    (collector,) = (yaml.safe_load(text) for text in blocks("yaml"))
    assert collector["receivers"]["filelog/routeguard"]["include"] == [LOG]
    used = collector["service"]["pipelines"]["logs"]
    assert {*used["receivers"]} == {*collector["receivers"]}
    (vector,) = (tomllib.loads(text) for text in blocks("toml"))
    assert vector["sources"]["routeguard"]["include"] == [LOG]
    (rsyslog,) = [text for text in blocks("conf") if "imfile" in text]
    assert LOG in rsyslog
    assert rsyslog.count("(") == rsyslog.count(")")
