from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from guard.findings import Finding
from guard.proxies.watch import GONE, NEW, PRESENT, Attempts, Event, events

if TYPE_CHECKING:
    from private_network import PrivateNetwork

LITELLM = Finding("RG402", "port:4000", "LiteLLM listens")
CLAUDE = Finding("RG405", "pid:7", "Claude Code is not guarded")


@pytest.mark.parametrize(
    ("before", "after", "happened"),
    [
        (None, {"a": LITELLM, "b": CLAUDE}, [(PRESENT, "a", LITELLM), (PRESENT, "b", CLAUDE)]),
        (None, {}, []),
        ({}, {"a": LITELLM}, [(NEW, "a", LITELLM)]),
        ({"a": LITELLM}, {"a": LITELLM}, []),
        ({"a": LITELLM}, {"b": CLAUDE}, [(GONE, "a", LITELLM), (NEW, "b", CLAUDE)]),
        # the same port with another socket is another thing
        ({"p:11": LITELLM}, {"p:12": LITELLM}, [(GONE, "p:11", LITELLM), (NEW, "p:12", LITELLM)]),
    ],
)
@pytest.mark.parametrize("now", [5.0, -1e9])
def test_what_comes_and_goes(
    before: dict[str, Finding] | None,
    after: dict[str, Finding],
    happened: list[tuple[str, str, Finding]],
    now: float,
) -> None:
    assert events(before, after, now) == [Event(now, *one) for one in happened]


def test_what_keeps_coming_back_is_stopped_a_few_times_only() -> None:
    attempts = Attempts(most=3, within=60.0)
    assert [attempts.take("ollama:11434", at) for at in (0.0, 1.0, 2.0, 3.0, 59.0)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert attempts.take("litellm:4000", 3.0)
    # the first has been forgotten, the second has not
    assert attempts.take("ollama:11434", 60.5)
    assert not attempts.take("ollama:11434", 60.9)


# The commands over it, on ports that the catalogue names ------------------------------------------

LITELLM_LIKE = """#!/usr/bin/env python3
import http.server
http.server.HTTPServer(("127.0.0.1", 4000), http.server.BaseHTTPRequestHandler).serve_forever()
"""

WATCHED = """
import os, signal, subprocess, sys, threading, time
from guard.commands.watch import watch

def restart():
    while not os.path.exists("enough"):
        subprocess.run([os.path.abspath("litellm")], stderr=subprocess.DEVNULL)
        time.sleep(0.2)

def end():
    for _ in range(900):
        if '"event": "kept"' in open("said").read():
            break
        time.sleep(0.1)
    open("enough", "w").close()
    os.kill(os.getpid(), signal.SIGTERM)

if sys.argv[1] == "restart":
    restart()
    sys.exit()
restarter = subprocess.Popen([sys.executable, __file__, "restart"], start_new_session=True)
threading.Thread(target=end, daemon=True).start()
os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
argv = ["--json", "--interval", "0.3", "--on-find", "stop"]
try:
    status = watch.main(args=argv, standalone_mode=False)
finally:
    os.killpg(restarter.pid, 9)
    restarter.wait()
sys.exit(status)
"""


def test_a_proxy_that_somebody_restarts_is_stopped_three_times(
    private_network: PrivateNetwork, tmp_path: Path
) -> None:
    program = tmp_path / "litellm"
    program.write_text(LITELLM_LIKE)
    program.chmod(0o755)
    (tmp_path / "said").touch()
    (tmp_path / "watched.py").write_text(WATCHED)
    keeper = f"""
import os, subprocess, sys
os.chdir({str(tmp_path)!r})
sys.exit(subprocess.run([sys.executable, "watched.py", "watch"]).returncode)
"""
    private_network.run(
        [sys.executable, "-c", keeper],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        timeout=120,
    )
    said: list[dict[str, Any]] = [
        json.loads(line) for line in (tmp_path / "said").read_text().splitlines()
    ]
    about = [one for one in said if one.get("rule") != "RG405"]
    assert about[0]["subject"] == "port:4000"
    assert "LiteLLM" in about[0]["message"]
    tried = [one["event"] for one in about if one["event"] in ("stopped", "came back")]
    assert len(tried) == 3
    assert about[-1]["event"] == "kept"
    assert "keeps coming back" in about[-1]["message"]


ASKED = """
import subprocess, sys, time, os
proxy = subprocess.Popen([os.path.abspath("litellm")], stderr=subprocess.DEVNULL)
agent = subprocess.Popen([os.path.abspath("aider")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
agent.stdout.readline()
from guard.commands.agents import agents
try:
    agents.main(args=["--json"], standalone_mode=False)
finally:
    agent.kill(); proxy.kill(); agent.wait(); proxy.wait()
"""

CONNECTS = """#!/usr/bin/env python3
import socket, sys, time
for _ in range(300):
    try:
        made = socket.create_connection(("127.0.0.1", 4000))
        break
    except OSError:
        time.sleep(0.05)
print("connected", flush=True)
sys.stdin.read()
"""


def test_an_agent_on_a_local_proxy_is_shown_with_its_name(
    private_network: PrivateNetwork, tmp_path: Path
) -> None:
    for name, text in (("litellm", LITELLM_LIKE), ("aider", CONNECTS), ("asked.py", ASKED)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    inside = f"""
import os, runpy
os.chdir({str(tmp_path)!r})
runpy.run_path("asked.py")
"""
    done = private_network.run(
        [sys.executable, "-c", inside], env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    )
    (found,) = [
        one for one in json.loads(done.stdout)["agents"] if one["program"] == f"{tmp_path}/aider"
    ]
    (connection,) = found["connections"]
    assert (connection["kind"], connection["port"]) == ("loopback", 4000)
    assert "LiteLLM" in connection["name"]
