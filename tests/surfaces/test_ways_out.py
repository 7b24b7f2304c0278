"""Where `check` and a launch speak of the same thing: one rule, the same words, the same way out.

Configs have a table of their own (test_configs.py), variables another (test_variables.py).
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from guard.agents import environment
from guard.agents.opencode import planner
from guard.agents.opencode.adapter import AGENT
from guard.check import engine
from guard.errors import either
from guard.findings import Finding, allow
from guard.launch import local_proxies
from guard.policy.values import CompiledPolicy
from guard.proxies import starts
from guard.proxies.commands import start_of
from guard.proxies.found import Found
from guard.rules.detectors import DETECTORS
from guard.sources.file import SourceFile
from guard.sources.positions.shell_calls import read
from guard.sources.positions.text import Text

POLICY = CompiledPolicy()


def by_check(path: str, text: str) -> list[Finding]:
    outcome = engine.Outcome()
    engine.check_file(SourceFile(path, text.encode()), engine.Settings(POLICY), DETECTORS, outcome)
    return [finding for finding, _ in outcome.found]


def by_launch(words: list[str], place: Path) -> list[Finding]:
    environ = {"HOME": str(place), "PORTKEY_API_KEY": "pk-key", "PATH": "/usr/bin:/bin"}
    facts = planner.survey(words, environ, "/bin/true", str(place), write=False)
    return AGENT.plan(POLICY, facts, "/bin/true", time.time()).findings


CALLS = {
    "RG201": ["run", "-m", "openai/gpt-4o", "hi"],
    "RG202": ["attach", "http://agents.example:4096"],
    "RG203": ["serve"],
    "RG205": ["run", "-m", "portkey/a", "-m", "portkey/b", "hi"],
}


@pytest.mark.parametrize("rule", CALLS)
def test_a_call_of_the_agent(rule: str, tmp_path: Path) -> None:
    words = CALLS[rule]
    launch = [f for f in by_launch(words, tmp_path) if f.rule == rule]
    check = [f for f in by_check("a.sh", "opencode " + " ".join(words) + "\n") if f.rule == rule]
    assert launch != []
    assert [(f.subject, f.message, f.fix) for f in check] == [
        (f.subject, f.message, f.fix) for f in launch
    ]


PROXY = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".env", f"HTTPS_PROXY={PROXY}\n"),
        ("a.sh", f"export HTTPS_PROXY={PROXY}\n"),
        ("compose.yml", f"services: {{a: {{environment: {{HTTPS_PROXY: '{PROXY}'}}}}}}\n"),
        (".claude/settings.json", f'{{"env": {{"HTTPS_PROXY": "{PROXY}"}}}}'),
    ],
)
def test_a_proxy_on_this_machine(path: str, text: str) -> None:
    (launch,) = environment.proxies({"HTTPS_PROXY": PROXY}, POLICY, time.time())
    (check,) = by_check(path, text)
    assert (check.rule, check.subject, check.message) == (
        launch.rule, launch.subject, launch.message
    )  # fmt: skip
    # what is unset in a shell is taken out of a file
    assert check.fix == either("remove HTTPS_PROXY", allow("proxy", "127.0.0.1:8080"))
    assert launch.fix.split("\n")[1:3] == check.fix.split("\n")[1:]


def test_a_local_proxy() -> None:
    """What listens (RG402), what a typed line starts (RG403), what a file starts (RG401)."""
    way_out = allow("port", "11434")
    found = Found(port=11434, listeners=(), name="Ollama")
    assert way_out in local_proxies.finding(found, "refuse").fix.split("\n")
    script = read(Text.of("ollama serve"))
    start = start_of(script.calls[0], script)
    assert start is not None
    assert f"\n         {way_out}\n" in starts.message(start, POLICY)
    for path, text in (
        ("a.sh", "ollama serve\n"),
        ("compose.yml", "services: {a: {image: ollama/ollama}}\n"),
        ("a.py", 'subprocess.run(["ollama", "serve"])\n'),
    ):
        (check,) = by_check(path, text)
        assert check.fix.split("\n")[1:] == ["or:", way_out], path


def test_a_key_of_an_unknown_service() -> None:
    value = "q8Zr2Lm9Xw4TkP7vBd3NsYh6"
    for path, text in (
        (".env", f"ACME_API_KEY={value}\n"),
        ("a.sh", f"export ACME_API_KEY={value}\n"),
    ):
        (check,) = by_check(path, text)
        assert check.fix.endswith(f"\nif not:\n{allow('env', 'ACME_API_KEY', '30d')}"), path


def test_no_fix_in_the_source_spells_an_exception_by_hand() -> None:
    """The command is written in one place; a policy's own table is for what lasts."""
    root = Path(engine.__file__).parents[1]
    by_hand = re.compile(r"routeguard allow (?:port|proxy|file|server|env) \{|add an \[\[exception")
    spelled = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if by_hand.search(path.read_text(encoding="utf-8"))
    ]
    assert spelled == ["policy/spans.py"]
