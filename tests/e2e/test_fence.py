"""The real agent behind a fence: it works, and what it starts reaches no local proxy."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from harness.portkey import ANSWER
from harness.sandbox import Sandbox

from guard.launch import fence
from guard.launch.verify import guarded_launch

pytestmark = pytest.mark.e2e

ASK = "use-the-shell"
"""A prompt with this word makes the model call the agent's bash tool."""

TRY = """
import errno, socket, sys
for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
    for way in ("connect", "bind"):
        for port in sys.argv[2:]:
            with socket.socket(family) as made:
                try:
                    getattr(made, way)((host, int(port)))
                    said = "ok"
                except OSError as error:
                    said = errno.errorcode[error.errno]
            print(way, port, said, file=open(sys.argv[1], "a"))
"""


@pytest.fixture(autouse=True)
def kernel(missing_part: Callable[[str], NoReturn]) -> None:
    """A kernel that can fence."""
    why = fence.unavailable()
    if why:
        missing_part(f"this machine cannot fence: {why}")


@pytest.fixture
def listener() -> Iterator[int]:
    """A port on which something listens that the policy does not want reached."""
    with socket.socket(socket.AF_INET6) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", 0))
        server.listen(20)
        yield server.getsockname()[1]


def test_a_fenced_agents_shell_reaches_no_fenced_port_and_starts_another_agent(
    user: Sandbox, listener: int
) -> None:
    user.write_policy(
        f'[proxies]\nfence = "require"\nhold = [{listener}]\naction = "flag"\n'
        '[agents.codex]\nprovider = "@openai-prod"\nmodel = "gpt-4o"'
    )
    tried, below = user.project / "tried", user.project / "below"
    script = user.write(user.project / "try.py", TRY)
    connect_and_bind = [sys.executable, "-I", str(script), str(tried), str(listener)]
    # Codex, which needs a tenth of the time
    codex = user.root / "codex" / "codex"
    codex.parent.mkdir()
    codex.symlink_to(user.network.parts.codex)
    path = f"{codex.parent}:{user.environ()['PATH']}"
    other = f"{shlex.join(guarded_launch('codex'))} exec --skip-git-repo-check hi"
    agent = f"{other} > {shlex.quote(str(below))} 2>&1; echo done"
    user.network.upstream.runs[ASK] = f"{shlex.join(connect_and_bind)}; {agent}"
    done = user.guarded("run", ASK, env={"PATH": path})
    # only the model behind the gateway says this
    assert (done.status, done.out.strip()) == (0, ANSWER), done
    # the control, over IPv4 and IPv6
    subprocess.run(connect_and_bind, check=True)
    said = [line.split()[2] for line in tried.read_text().splitlines()]
    assert said == ["EACCES"] * 4 + ["ok", "EADDRINUSE"] * 2
    assert ANSWER in below.read_text()
    told = [line for line in below.read_text().splitlines() if line.startswith("routeguard:")]
    assert not any("fence" in line for line in told), told
