"""The plan of a launch on a real core of opencode 2: the preview `lildax` of the npm registry.

It is older than 2.0: no `run`, no `--standalone`, providers in another form. What it can show is
that the private global file is read, that its policies leave our provider alone, and that
a server is registered, with its password, in the private state directory and nowhere else.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from opencode2_cases import Bench
from opencode2_guarded import launch

from guard.policy.values import CompiledPolicy

pytestmark = pytest.mark.slow

PACKAGE, VERSION = "@opencode-ai/cli-linux-x64", "1.18.18"
FETCH = "ROUTEGUARD_LILDAX"
CACHE = Path(__file__).parents[3] / ".cache" / "lildax"

CATALOGUE = {
    name: {
        "id": name,
        "name": name,
        "env": [variable],
        "npm": "@ai-sdk/openai-compatible",
        "api": "https://api.invalid/v1",
        "models": {
            "m": {
                "id": "m",
                "name": "m",
                "release_date": "2026-01-01",
                "attachment": False,
                "reasoning": False,
                "temperature": True,
                "tool_call": True,
                "limit": {"context": 1000, "output": 100},
                "cost": {"input": 1, "output": 1},
                "modalities": {"input": ["text"], "output": ["text"]},
            }
        },
    }
    for name, variable in (("anthropic", "ANTHROPIC_API_KEY"), ("openai", "OPENAI_API_KEY"))
}


@pytest.fixture(scope="module")
def lildax() -> str:
    """The program, fetched once where it is asked for: its 46 MB and 20 seconds are not for CI."""
    binary = CACHE / "package" / "bin" / "lildax"
    if not binary.exists():
        if os.environ.get(FETCH) != "fetch":
            pytest.skip(f"{PACKAGE}@{VERSION} (46 MB) is not here: {FETCH}=fetch gets it from npm")
        CACHE.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(
                ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"],
                cwd=CACHE, check=True, capture_output=True, timeout=300,
            )  # fmt: skip
            (archive,) = CACHE.glob("*.tgz")
            subprocess.run(["tar", "xzf", archive.name], cwd=CACHE, check=True)
            archive.unlink()
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            pytest.skip(f"{PACKAGE}@{VERSION} could not be fetched: {error}")
    return str(binary)


class Core:
    """`lildax serve` in an environment, asked over HTTP with its password."""

    def __init__(self, program: str, environ: Mapping[str, str], directory: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        state = environ.get("XDG_STATE_HOME") or f"{environ['HOME']}/.local/state"
        self.password = Path(state, "opencode", "password")
        self.directory = directory
        self.process = subprocess.Popen(
            [program, "serve", "--port", str(self.port)],
            env=dict(environ), cwd=directory,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def __enter__(self) -> Core:
        until = time.monotonic() + 60
        while self.status("/api/health", known=True) != 200:
            assert time.monotonic() < until, "the server did not come up"
            assert self.process.poll() is None, "the server ended"
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def _open(self, path: str, *, known: bool) -> Any:
        headers = {}
        if known and self.password.exists():
            pair = f"opencode:{self.password.read_text().strip()}".encode()
            headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=30)

    def status(self, path: str, *, known: bool) -> int:
        try:
            with self._open(path, known=known) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def providers(self, wait: float) -> set[str]:
        """The providers with a model that can be used, as soon as there is one.

        The first answer comes before the catalogue is read; `wait` seconds for the second one.
        """
        until = time.monotonic() + wait
        while not (found := self._providers()) and time.monotonic() < until:
            time.sleep(0.2)
        return found

    def _providers(self) -> set[str]:
        path = f"/api/model?location%5Bdirectory%5D={self.directory}"
        with self._open(path, known=True) as answer:
            return {model["providerID"] for model in json.load(answer)["data"]}


def test_the_private_configuration_on_a_real_core(
    lildax: str, bench: Bench, policy: CompiledPolicy
) -> None:
    bench.put("home/.cache/opencode/models.json", CATALOGUE)
    bench.environ["OPENCODE_DISABLE_MODELS_FETCH"] = "1"
    with Core(lildax, bench.environ, bench.project) as bare:
        assert {"anthropic", "openai"} <= bare.providers(wait=60)
    state = bench.home / ".local" / "state" / "opencode"
    before = {path.name: path.read_bytes() for path in state.iterdir() if path.is_file()}

    made = launch(bench, policy, ["models"])
    assert made.refused == []
    # what a repository says cannot lift it (c07)
    allow = [{"effect": "allow", "action": "provider.use", "resource": "*"}]
    bench.project_says(experimental={"policies": allow}, policies=allow)
    environ = {**made.plan.environ, "OPENAI_API_KEY": "sk-x"}
    bench.ours = f"portkey-{made.facts.suffix}"
    with Core(lildax, environ, bench.project) as guarded:
        assert guarded.providers(wait=60) == {bench.ours}
        time.sleep(1)
        assert guarded.providers(wait=0) == {bench.ours}
        assert guarded.status("/api/model", known=False) == 401
        private = Path(made.plan.environ["XDG_STATE_HOME"], "opencode", "password")
        assert private.stat().st_mode & 0o777 == 0o600
        assert private.read_bytes() != before["password"]
    after = {path.name: path.read_bytes() for path in state.iterdir() if path.is_file()}
    assert after == before

    # the private file is what does it
    made.files[0].unlink()
    with Core(lildax, environ, bench.project) as dropped:
        assert {"anthropic", "openai"} & dropped.providers(wait=60)
