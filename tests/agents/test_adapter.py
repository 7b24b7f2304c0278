"""The seam: a made-up agent is hooked, shimmed, planned, launched, refused, explained and proved.

Each command runs in a process that registers the agent of `quill.py` first, and nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).resolve().parent
SILENT = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}
RUN = "import quill, sys; from guard.dispatch import main; sys.exit(main(sys.argv[1:]))"

QUILL = f"""#!{sys.executable}
import json, os, sys, urllib.request
if sys.argv[1:2] == ["--version"]:
    raise SystemExit(print("1.0.0"))
url = os.environ.get("QUILL_SERVER", "http://api.quill.invalid/v1")
body = {{"model": "verify-answer", "messages": [{{"role": "user", "content": sys.argv[2]}}]}}
headers = {{"content-type": "application/json"}}
if "QUILL_SERVER" in os.environ:
    headers["x-portkey-api-key"] = os.environ["PORTKEY_API_KEY"]
else:
    headers["authorization"] = "Bearer " + os.environ["OPENAI_API_KEY"]
request = urllib.request.Request(url + "/chat/completions", json.dumps(body).encode(), headers)
opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({{}} if "QUILL_SERVER" in os.environ else None)
)
if sys.argv[2] == "hi":
    raise SystemExit(print(request.full_url, file=sys.stderr))
answer = json.load(opener.open(request, timeout=20))
print(answer["choices"][0]["message"]["content"])
"""


class Machine:
    def __init__(self, root: Path) -> None:
        self.home, self.bin, self.project = root / "home", root / "bin", root / "project"
        for folder in (self.home, self.bin, self.project):
            folder.mkdir()
        program = self.bin / "quill"
        program.write_text(QUILL)
        program.chmod(0o755)
        # in its own package it is the agent, and no script in front of one
        package = {"name": "@quill/cli", "version": "1.0.0"}
        (self.bin / "package.json").write_text(json.dumps(package))
        self.environ = {
            "HOME": str(self.home),
            "PATH": f"{self.bin}:{os.defpath}",
            "PYTHONPATH": f"{HERE}:{HERE.parents[1]}",
            "PORTKEY_API_KEY": "pk-canary0123456789abcdef",
            "OPENAI_API_KEY": "sk-canary9876543210fedcba",
        }

    def routeguard(self, *words: str, before: str = "") -> subprocess.CompletedProcess[str]:
        """Run it in a process that registers the agent; `before` is run once that is imported."""
        return subprocess.run(
            [sys.executable, "-c", RUN.replace("sys.exit", f"{before}sys.exit"), *words],
            cwd=self.project,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.shells
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_is_wrapped_by_the_hook(
    machine: Machine, shell: str, missing_part: Callable[[str], NoReturn]
) -> None:
    if shutil.which(shell) is None:
        missing_part(f"no {shell} on PATH")
    main = machine.home / "main.py"
    main.write_text(f"import sys; sys.path[:0] = {[str(HERE), str(HERE.parents[1])]}; {RUN}\n")
    us = f"(sys.executable, {str(main)!r})"
    hook = f"from guard.hook import templates; templates.interpreter = lambda: {us}; "
    made = machine.routeguard("hook", shell, before=hook)
    assert made.returncode == 0, made.stderr
    (machine.home / "hook").write_text(made.stdout)
    lines = 'source "$HOME/hook"; quill serve; echo now; quill ask hi'
    done = subprocess.run(
        [shutil.which(shell) or shell, *SILENT[shell], "-c", lines],
        cwd=machine.project, env=machine.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "now\n", done.stderr
    assert "quill was not started: `quill serve` would serve other programs [RG203]" in done.stderr
    assert "https://api.portkey.ai/v1/chat/completions" in done.stderr, "it ran, and asked there"


def test_it_gets_a_shim(machine: Machine) -> None:
    done = machine.routeguard("shim", "install")
    assert done.returncode == 0, done.stderr
    shim = machine.home / ".local/share/routeguard/shims/quill"
    assert "quill" in shim.read_text()


def test_it_is_refused(machine: Machine) -> None:
    done = machine.routeguard("exec", "--", "quill", "serve")
    assert done.returncode == 126
    assert "quill was not started: `quill serve` would serve other programs [RG203]" in done.stderr


def test_a_missing_one_is_said_with_its_own_package(machine: Machine) -> None:
    (machine.bin / "quill").unlink()
    done = machine.routeguard("exec", "--", "quill", "ask", "hi")
    assert done.returncode == 127
    assert "npm install -g @quill/cli" in done.stderr
    assert machine.routeguard("exec", "--", "npx", "@quill/cli", "ask").returncode == 126


def test_it_is_explained(machine: Machine) -> None:
    done = machine.routeguard("explain", "--format", "json", "--", "quill", "ask", "hi")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["agent"], shown["starts"], shown["kind"]) == ("quill", True, "guarded")
    changes = {(change["action"], change["name"]) for change in shown["changes"]}
    assert {("removed", "OPENAI_API_KEY"), ("set", "QUILL_SERVER")} <= changes


def test_what_it_sets_is_known_to_why(machine: Machine) -> None:
    done = machine.routeguard("why", "QUILL_SERVER")
    assert "set" in done.stdout, done.stdout


def test_its_route_is_proved_with_a_control_that_leaks(machine: Machine) -> None:
    """`verify` runs it bare and guarded; the guarded run starts in a process of its own too."""
    launch = [sys.executable, "-c", RUN, "exec", "--", "quill"]
    prove = (
        "import os, quill, tempfile\n"
        "from guard.agents.registry import agent_by_id\n"
        "from guard.launch import verify\n"
        "from guard.launch.proof import stage\n"
        "stage._KEPT += ('PYTHONPATH',)\n"
        f"binary = verify.Binary(agent_by_id('quill'), {str(machine.bin / 'quill')!r}, '1.0.0')\n"
        "with tempfile.TemporaryDirectory() as root:\n"
        "    proof = verify.prove(binary, os.environ, root, timeout=60, control=True,\n"
        f"        say=lambda text: None, launch={launch!r})\n"
        "print(proof.as_dict())\n"
        "assert proof.passed\n"
        "assert [c.host for c in proof.control.contacts] == ['api.quill.invalid:80']\n"
        "assert proof.control.contacts[0].carried == ('OPENAI_API_KEY',)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", prove],
        cwd=machine.project,
        env=machine.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
