"""A user's machine for one test: a fresh home and project, the real agent, everything recorded."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import control_plane as plane
import forked
import psutil
from harness.catalogue import CATALOGUE
from harness.parts import GATEWAY_PORTS, LEAN
from harness.waiting import PATIENCE

from guard.agents.registry import agent_of
from guard.launch.proof import child
from guard.launch.proof.canary import DIRECT_KEYS, CanarySearch, plant
from guard.launch.proof.stage import without_key
from guard.launch.verify import guarded_launch
from guard.policy import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from harness.parts import Parts
    from harness.portkey import PortkeyFront, Upstream

    from guard.launch.recorder import RecordingProxy, Request

ROUTEGUARD = [sys.executable, "-m", "guard"]

LIMIT = 300.0
"""Seconds after which an agent is ended: it retries some failures for ever."""


def excepted(subjects: Iterable[str], reason: str) -> str:
    """Exceptions for `subjects`, for the end of a policy."""
    return "".join(
        f"""
[[exception]]
subject = "{subject}"
reason = "{reason}"
until = 2099-12-31
"""
        for subject in subjects
    )


GATEWAYS_EXCEPTED = excepted(
    (f"port:{port}" for port in GATEWAY_PORTS),
    "the gateway behind the front of the end-to-end tests",
)
"""For the end of every policy: the gateways of all workers are local proxies to a launch."""

LEAN_EXCEPTED = excepted(
    (f"env:{name}" for name in LEAN), "an agent that starts sooner in the end-to-end tests"
)
"""For the end of the user's policy: each is a setting of the runtime that says nothing of a route,
and a launch takes it away otherwise."""

POLICY = """
[gateway]
base_url = "{front}/v1"
{way}
key = {{ env = "PORTKEY_API_KEY" }}
default = "portkey/gpt-4o"
small = "portkey/gpt-4o-mini"

[gateway.providers.portkey]
name = "Portkey"
models = ["gpt-4o", "gpt-4o-mini"]

[gateway.providers.portkey-openrouter]
name = "OpenRouter through Portkey"
slug = "openrouter-main"
models = ["mistralai/mistral-7b-instruct"]
{more}
[[exception]]
subject = "proxy:127.0.0.1:{proxy}"
reason = "the recorder of the end-to-end tests"
until = 2099-12-31
"""


@dataclass(frozen=True)
class Network:
    """The servers of one test, all on loopback."""

    front: PortkeyFront
    upstream: Upstream
    proxy: RecordingProxy
    parts: Parts


@dataclass(frozen=True)
class Outcome:
    """What one run did: how it ended, what it said, whom it called."""

    ended: child.Ended
    calls: list[Request]
    served: list[Request]
    asked: list[str]
    environ_seen: dict[str, str] = field(repr=False)

    @property
    def status(self) -> int:
        return self.ended.status

    @property
    def out(self) -> str:
        return self.ended.out.decode(errors="replace")

    @property
    def err(self) -> str:
        return self.ended.err.decode(errors="replace")

    @property
    def models(self) -> set[str]:
        """The models asked for at the gateway."""
        return {call.model for call in self.calls}

    def __str__(self) -> str:
        calls = [(call.method, call.target, call.model) for call in self.calls]
        return (
            f"status {self.status}{' (time was up)' if self.ended.timed_out else ''}, "
            f"calls {calls}, proxy asked for {self.asked}\n"
            f"--- stdout\n{self.out}\n--- stderr\n{self.err}"
        )


class Sandbox:
    """One user with a home, a project under git, canary keys and the real agent on PATH."""

    agent = "opencode"
    """What is typed to start the agent."""

    def __init__(self, root: Path, network: Network) -> None:
        self.network = network
        self.root = root
        self.home = root / "home"
        self.config = self.home / ".config"
        self.data = self.home / ".local" / "share"
        self.state = self.home / ".local" / "state"
        self.cache = self.home / ".cache"
        self.project = root / "project"
        self.tmp = root / "tmp"
        for folder in (self.home, self.project, self.tmp):
            folder.mkdir()
        subprocess.run(["git", "init", "-q", self.project], check=True, env=self._base())
        self.gateway_key = plant(("PORTKEY_API_KEY",))["PORTKEY_API_KEY"]
        self.own_keys: dict[str, str] = {}
        network.front.workspace.keys[self.gateway_key] = plane.WEAK
        self.direct = plant(DIRECT_KEYS)
        self._outcomes: list[Outcome] = []
        self.write_policy()
        if self.agent == "opencode":
            # half of what a short run costs: neither says anything about its route
            self.write(self._catalogue, CATALOGUE)
            self.write(self.config / "opencode" / "opencode.json", {"snapshot": False})
        # compiled as by an earlier launch; the policy that a test writes is not
        cache.load(str(self.project), self.environ())

    @property
    def _catalogue(self) -> Path:
        return self.cache / "opencode" / "models.json"

    def with_every_provider(self) -> None:
        """Give opencode the catalogue that it brings itself, instead of the short one."""
        self._catalogue.unlink()

    @property
    def program(self) -> Path:
        """The real agent."""
        return self.network.parts.opencode

    def _base(self) -> dict[str, str]:
        return {
            "PATH": f"{self.program.parent}:{os.defpath}",
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.config),
            "XDG_DATA_HOME": str(self.data),
            "XDG_STATE_HOME": str(self.state),
            "XDG_CACHE_HOME": str(self.cache),
            "TMPDIR": str(self.tmp),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
        }

    def install(self, version: str, script: str) -> str:
        """The PATH with an npm package of the agent that says `version`, outside the project.

        Its program is the shell text `script`, which can start `$real`.
        """
        agent = agent_of(self.agent)
        assert agent is not None
        package = self.root / "lib" / self.agent
        self.write(package / "package.json", {"name": agent.packages[0], "version": version})
        program = package / "bin" / self.agent
        text = f"#!/bin/sh\nreal={self.program.resolve()}\n{script}\n"
        self.write(program, text, mode=0o755)
        return f"{program.parent}:{os.environ['PATH']}"

    def add_key(self, variable: str) -> str:
        """One more Portkey key of this account, as weak as the first, in `variable`."""
        self.own_keys |= plant((variable,))
        keys = self.network.front.workspace.keys
        keys[self.own_keys[variable]] = keys[self.gateway_key]
        return self.own_keys[variable]

    def environ(self, more: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """The user's environment; a value of None in `more` takes a variable away."""
        proxy = self.network.proxy.url
        environ: dict[str, str | None] = {
            **self._base(),
            **LEAN,
            "HTTP_PROXY": proxy,
            "HTTPS_PROXY": proxy,
            "PORTKEY_API_KEY": self.gateway_key,
            **self.own_keys,
            **self.direct,
            **(more or {}),
        }
        return {name: value for name, value in environ.items() if value is not None}

    def write_policy(self, more: str = "", *, way: str = "", front: str = "") -> Path:
        """Write the user's policy: the front as gateway, plus `more` before the exceptions.

        `way` are lines about the way to the gateway, `front` is another address for it.
        """
        text = POLICY.format(
            front=front or self.network.front.url,
            way=way,
            proxy=self.network.proxy.port,
            more=f"\n{more}\n",
        )
        text += GATEWAYS_EXCEPTED + LEAN_EXCEPTED
        return self.write(self.config / "routeguard" / "policy.toml", text, mode=0o600)

    def write(self, path: Path, content: str | dict[str, object], mode: int = 0o644) -> Path:
        """Write a file (a dict as JSON), making its folders."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        path.chmod(mode)
        return path

    def guarded(
        self,
        *argv: str | bytes,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        stdin: bytes = b"",
    ) -> Outcome:
        """Run the agent with ARGV the way the shell wrapper does."""
        return self.run([*guarded_launch(self.agent), *argv], self.environ(env), cwd, stdin)

    def bare(
        self,
        *argv: str | bytes,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        stdin: bytes = b"",
        enough: Callable[[], bool] | None = None,
    ) -> Outcome:
        """Run the real agent without the guard, in the same surroundings."""
        return self.run([self.agent, *argv], self.environ(env), cwd, stdin, enough)

    def routeguard(self, *words: str, env: Mapping[str, str | None] | None = None) -> Outcome:
        """Run `routeguard WORDS` in the project, without a terminal, as a fork."""

        def run(_: list[int]) -> child.Ended:
            begun = time.monotonic()
            done = forked.run(
                words,
                env=self.environ(env),
                cwd=self.project,
                errors="surrogateescape",
                timeout=LIMIT,
            )
            return child.Ended(
                status=done.returncode if done.returncode >= 0 else 128 - done.returncode,
                out=os.fsencode(done.stdout),
                err=os.fsencode(done.stderr),
                seconds=time.monotonic() - begun,
                timed_out=False,
            )

        return self._gathered(run)

    def pinned_by_hand(self) -> dict[str, str]:
        """Variables that take a bare agent to the gateway, for a comparison with a guarded one."""
        options = {
            "baseURL": f"{self.network.front.url}/v1",
            "headers": {"x-portkey-api-key": "{env:PORTKEY_API_KEY}"},
        }
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "options": options,
            "models": {"gpt-4o": {}, "gpt-4o-mini": {}},
        }
        content = {
            "enabled_providers": ["portkey"],
            "model": "portkey/gpt-4o",
            "small_model": "portkey/gpt-4o-mini",
            "provider": {"portkey": provider},
        }
        return {"OPENCODE_CONFIG_CONTENT": json.dumps(content), "NO_PROXY": "127.0.0.1"}

    def run(
        self,
        argv: Sequence[str | bytes],
        environ: dict[str, str],
        cwd: Path | None = None,
        stdin: bytes = b"",
        enough: Callable[[], bool] | None = None,
    ) -> Outcome:
        """Run `argv` to its end, or until it has done `enough`, and gather what it did."""
        return self._gathered(
            lambda pids: child.run(
                argv,
                environ=environ,
                cwd=str(cwd or self.project),
                timeout=LIMIT,
                stdin=stdin,
                started=pids.append,
                enough=enough,
            )
        )

    def _gathered(self, run: Callable[[list[int]], child.Ended]) -> Outcome:
        """What the network saw of `run`, which adds the process whose environment counts."""
        network = self.network
        front, upstream = len(network.front.requests), len(network.upstream.requests)
        asked = len(network.proxy.requests)
        pids: list[int] = []
        seen: dict[str, str] = {}

        def look(_: Request) -> None:
            if pids and not seen:
                seen.update(environ_of(pids[0]))

        network.front.watchers.append(look)
        try:
            ended = run(pids)
        finally:
            network.front.watchers.remove(look)
        # what it sent last is of this run, not of the next
        network.front.settle()
        network.proxy.settle()
        outcome = Outcome(
            ended,
            network.front.requests[front:],
            network.upstream.requests[upstream:],
            network.proxy.asked()[asked:],
            seen,
        )
        self._outcomes.append(outcome)
        return outcome

    def leaks(self, *planted: Path) -> list[str]:
        """Where a canary turned up that has no business there, over all runs so far.

        Direct keys may be nowhere but in the files `planted`; gateway keys only in
        `x-portkey-api-key` at the front.
        """
        network = self.network
        keys = {"PORTKEY_API_KEY": self.gateway_key, **self.own_keys}
        search = CanarySearch({**self.direct, **keys})
        found = []
        for call in network.front.requests:
            for form in call.forms():
                for key in keys.values():
                    form = without_key(form, key)
                found += [f"{name} at the gateway" for name in search.found(form)]
        for where, requests in (
            ("at the provider", network.upstream.requests),
            ("at the proxy", network.proxy.requests),
        ):
            found += [
                f"{name} {where}"
                for request in requests
                for form in request.forms()
                for name in search.found(form)
            ]
        for outcome in self._outcomes:
            found += [f"{name} on stdout" for name in search.found(outcome.ended.out)]
            found += [f"{name} on stderr" for name in search.found(outcome.ended.err)]
            found += [
                f"{name} in the agent's environment"
                for name in search.found(repr(outcome.environ_seen).encode())
                if name in self.direct
            ]
        found += [
            f"{name} in {path}"
            for name, path in search.found_under(str(self.root))
            if Path(path) not in planted
        ]
        return found

    def left_running(self) -> list[str]:
        """The command lines of what outlived the test; each is ended.

        Whatever the test started has this user's TMPDIR, which no launch takes away.
        """
        mark = str(self.tmp)
        left = [
            process
            for process in psutil.process_iter(["cmdline", "environ"])
            if (process.info["environ"] or {}).get("TMPDIR") == mark
        ]
        _, alive = psutil.wait_procs(left, timeout=PATIENCE)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return [" ".join(process.info["cmdline"] or ["?"]) for process in alive]


def start_agent(user: Sandbox, *argv: str) -> subprocess.Popen[bytes]:
    """Start the guarded agent of `user`, to be sent signals."""
    return subprocess.Popen(
        [*guarded_launch(user.agent), *argv],
        env=user.environ(),
        cwd=user.project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # whoever runs the tests in the background may ignore SIGINT, and that is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def environ_of(pid: int) -> dict[str, str]:
    """The environment that process `pid` was started with (Linux; empty elsewhere)."""
    try:
        block = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    entries = block.decode(errors="surrogateescape").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
