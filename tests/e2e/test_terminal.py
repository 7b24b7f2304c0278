"""In a terminal the guarded agent is the agent: signals, job control, status, pipes, size."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pexpect
import pytest
from harness.portkey import ANSWER, STALL, Upstream
from harness.sandbox import Sandbox
from harness.terminal import PATIENCE, screen

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
    until = time.monotonic() + PATIENCE
    while not any(prompt.encode() in request.body for request in tuple(upstream.requests)):
        assert time.monotonic() < until, "the prompt did not arrive"
        time.sleep(0.05)


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
    places = []
    # the guarded one first: the bare one asks the registry, also while it is being ended
    for name, argv, more in (
        ("guarded", guarded_launch(), {}),
        ("bare", ["opencode"], user.pinned_by_hand()),
    ):
        with screen(tmux, tmp_path / f"{name}.socket", argv, user.environ(more)) as run:
            before = place_of_version(run)
            run("resize-window", "-x", "120", "-y", "40")
            places.append((before, place_of_version(run, not_at=before)))
            if name == "guarded":
                assert user.network.proxy.asked() == []
    assert places[0] == places[1]


def place_of_version(
    run: Callable[..., str], not_at: tuple[int, int] | None = None
) -> tuple[int, int]:
    """(row, column) of the version the TUI shows in its lower right corner, once it does."""
    until = time.monotonic() + PATIENCE
    shown = ""
    while time.monotonic() < until:
        shown = run("capture-pane", "-p")
        for row, line in enumerate(shown.splitlines()):
            place = (row, line.find("1.18.33"))
            if place[1] >= 0 and place != not_at:
                return place
        time.sleep(0.1)
    raise AssertionError(f"the TUI did not come up:\n{shown}")
