"""`routeguard agents` on the real opencode: guarded, below a guarded one, by its path, renamed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from harness.waiting import await_true

from guard.launch.verify import guarded_launch

if TYPE_CHECKING:
    from harness.sandbox import Sandbox

pytestmark = pytest.mark.e2e

SERVE = ("serve", "--port", "0", "--hostname", "127.0.0.1")
AGENTS = """
import sys
from guard.commands.agents import agents
from guard.proxies import find, fingerprint
find._ask = lambda targets: [fingerprint.HttpAnswer(definite=False) for _ in targets]
sys.exit(agents.main(args=["--json"], standalone_mode=False))
"""
"""`agents` sees those of the other workers, and would ask the gateways that they talk to."""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(user: Sandbox) -> Iterator[Start]:
    """Start a program of the user's that stays; it listens when this returns.

    `frozen` is the file of a program that it comes to be or to start, which is stopped there and
    then: who it is can be seen as well, and starting costs seconds of the processor.
    """
    begun: list[subprocess.Popen[bytes]] = []

    def run(
        *argv: str, env: Mapping[str, str | None] | None = None, frozen: Path | None = None
    ) -> subprocess.Popen[bytes]:
        log = user.root / f"log{len(begun)}"
        with log.open("wb") as out:
            process = subprocess.Popen(
                argv,
                env=user.environ(env),
                cwd=user.project,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        begun.append(process)
        if frozen is not None:
            own = psutil.Process(process.pid)
            await_true(lambda: stop(frozen, [own, *own.children(recursive=True)]))
            return process

        def listens() -> bool:
            assert process.poll() is None, log.read_text(errors="replace")
            return b"listening on http" in log.read_bytes()

        await_true(listens, lambda: log.read_text(errors="replace"))
        return process

    yield run
    for process in begun:
        os.killpg(process.pid, 9)
        process.wait()


def stop(program: Path, processes: list[psutil.Process]) -> bool:
    """Stop the one of `processes` that is `program`, if there is one."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.exe() == str(program):
                process.suspend()
                return True
    return False


def agents(user: Sandbox) -> dict[int, dict[str, Any]]:
    """What `routeguard agents --json` says, by process id. No secret is in it."""
    done = subprocess.run(
        [sys.executable, "-c", AGENTS],
        env=user.environ(),
        cwd=user.project,
        capture_output=True,
        text=True,
        timeout=180,
    )
    for secret in (user.gateway_key, *user.direct.values()):
        assert secret not in done.stdout + done.stderr
    assert done.stdout, (done.returncode, done.stderr)
    output = json.loads(done.stdout)
    assert done.returncode == (1 if output["unguarded"] else 0), done.stderr
    return {one["pid"]: one for one in output["agents"]}


def real(user: Sandbox) -> Path:
    return user.network.parts.opencode.resolve()


def test_by_its_full_path_renamed_and_below_exec(user: Sandbox, start: Start) -> None:
    plain = start(str(real(user)), *SERVE, frozen=real(user))
    copy = user.root / "innocent"
    try:
        os.link(real(user), copy)
    except OSError:
        shutil.copy2(real(user), copy)
    renamed = start(str(copy), *SERVE, frozen=copy)
    # `exec -- bash` guards by name only: the full path walks past the plan
    command = f"'{real(user)}' {' '.join(SERVE)}; true"
    below = start(*guarded_launch()[:-1], "bash", "-c", command, frozen=real(user))
    running = agents(user)
    found = running[plain.pid]
    assert (found["state"], found["rule"]) == ("unguarded", "RG405")
    assert set(user.direct) <= {key["name"] for key in found["keys"]}
    assert found["program"] == str(real(user))
    found = running[renamed.pid]
    assert (found["agent"], found["state"]) == ("opencode", "unguarded")
    assert found["recognised"] == "innocent is a copy of it under another name"
    (found,) = [one for one in running.values() if one["launch"] == below.pid]
    assert found["state"] == "unguarded"
    assert "was not planned: nothing is pinned" in found["how"]
    assert found["keys"] == []


def test_through_the_guard_and_by_its_path_below_that(user: Sandbox, start: Start) -> None:
    user.write_policy('[agents.opencode]\nservers = "allow"')
    outer = start(*guarded_launch(), *SERVE)
    found = agents(user)[outer.pid]
    assert (found["agent"], found["state"], found["guarded"]) == ("opencode", "guarded", True)
    assert found["how"] == (
        f"its environment holds the pinned configuration of its own launch ({outer.pid})"
    )
    assert found["keys"] == []
    assert found["launch"] == outer.pid
    assert found["listens"]
    with open(f"/proc/{outer.pid}/environ", "rb") as block:
        entries = (entry.partition("=") for entry in os.fsdecode(block.read()).split("\0") if entry)
        environ = {name: value for name, _, value in entries}
    # what a shell of the outer agent has, started by something that is not above it any more
    everything: dict[str, str | None] = dict.fromkeys(user.environ())
    program = real(user)
    inner = start(str(program), *SERVE, env={**everything, **environ}, frozen=program)
    # one more key in its environment, and it is past the guard
    key = next(iter(user.direct))
    environ[key] = user.direct[key]
    other = start(str(program), *SERVE, env={**everything, **environ}, frozen=program)
    running = agents(user)
    found = running[inner.pid]
    assert (found["state"], found["launch"]) == ("inherited", outer.pid)
    assert "no longer above it" in found["how"]
    found = running[other.pid]
    assert found["state"] == "unguarded"
    assert key in found["how"]
