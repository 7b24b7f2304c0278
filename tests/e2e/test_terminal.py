"""In a terminal the guarded agent is the agent: signals, job control, status, pipes, size."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pexpect
import pytest
from harness.portkey import ANSWER, STALL, Upstream
from harness.sandbox import Sandbox
from harness.terminal import screen
from harness.waiting import PATIENCE, await_true

from guard.agents.opencode.adapter import AGENT
from guard.launch.verify import guarded_launch

pytestmark = pytest.mark.e2e


@pytest.fixture
def upstream(user: Sandbox) -> Iterator[Upstream]:
    """The provider, which does not answer a stalling prompt until told so."""
    found = user.network.upstream
    found.go_on.clear()
    yield found
    found.go_on.set()


def await_call(upstream: Upstream, prompt: str) -> None:
    """Wait until `prompt` has arrived, so that the agent waits for its answer."""
    await_true(
        lambda: any(prompt.encode() in request.body for request in tuple(upstream.requests)),
        lambda: "the prompt did not arrive",
    )


@pytest.fixture
def prompt(tmp_path: Path) -> str:
    """A stalling prompt that no other test sends."""
    return f"{STALL} {tmp_path.name}"


@contextlib.contextmanager
def terminal(argv: list[str], user: Sandbox, **more: str) -> Iterator[pexpect.spawn]:
    """A pseudo-terminal that runs `argv`; closed, and what ran in it ended, afterwards."""
    child = pexpect.spawn(
        argv[0], argv[1:], env=user.environ(more), cwd=str(user.project), timeout=PATIENCE
    )
    try:
        yield child
    finally:
        child.close(force=True)


def test_ctrl_c_ends_the_agent_by_the_signal(
    user: Sandbox, upstream: Upstream, prompt: str
) -> None:
    with terminal([*guarded_launch(), "run", prompt], user) as agent:
        await_call(upstream, prompt)
        agent.sendintr()
        agent.expect(pexpect.EOF)
        agent.close()
        # the signal, not a status: a shell loop around the agent ends too
        assert (agent.exitstatus, agent.signalstatus) == (None, signal.SIGINT)


def test_ctrl_z_stops_it_and_fg_goes_on(user: Sandbox, upstream: Upstream, prompt: str) -> None:
    command = shlex.join([*guarded_launch(), "run", prompt])
    with terminal(["/bin/bash", "--norc", "--noprofile", "-i"], user, PS1="READY> ") as shell:
        shell.expect_exact("READY> ")
        shell.sendline(command)
        await_call(upstream, prompt)
        shell.send("\x1a")
        shell.expect_exact("Stopped")
        shell.expect_exact("READY> ")
        shell.sendline("fg; echo status=$?")
        upstream.go_on.set()
        shell.expect_exact(ANSWER)
        shell.expect(r"status=(\d+)")
        assert shell.match.group(1) == b"0"


def test_the_exit_status_and_output_are_the_agents_own(user: Sandbox) -> None:
    argv = ("run", "--no-such-option", "hi")
    bare, done = user.bare(*argv), user.guarded(*argv, env={"ROUTEGUARD_QUIET": "1"})
    assert bare.status != 0
    assert (done.status, done.out, done.err) == (bare.status, bare.out, bare.err)


def test_an_error_of_the_gateway_is_the_agents_to_report(user: Sandbox) -> None:
    del user.network.front.workspace.keys[user.gateway_key]
    done = user.guarded("run", "hi")
    assert done.status == 1, done
    assert "Invalid API Key" in done.err, done


def test_the_tui_fills_the_terminal_and_follows_its_size(
    user: Sandbox, tmp_path: Path, missing_part: Callable[[str], NoReturn]
) -> None:
    tmux = shutil.which("tmux")
    if tmux is None:
        missing_part("tmux is not on PATH: apt-get install tmux")
    with screen(tmux, tmp_path / "socket", guarded_launch(), user.environ()) as run:

        def from_corner(columns: int, rows: int) -> tuple[int, int]:
            """How far left and above the lower right corner the TUI shows its version."""
            for row, line in enumerate(run("capture-pane", "-p").splitlines()):
                if (column := line.find(AGENT.tested)) >= 0:
                    return columns - column, rows - row
            return columns, rows

        await_true(lambda: max(from_corner(101, 31)) < 15, lambda: run("capture-pane", "-p"))
        place = from_corner(101, 31)
        run("resize-window", "-x", "120", "-y", "40")
        await_true(lambda: from_corner(120, 40) == place, lambda: run("capture-pane", "-p"))
    assert user.network.proxy.asked() == []
