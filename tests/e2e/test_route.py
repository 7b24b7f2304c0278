"""Whatever is typed, the call arrives at the gateway, for the model that was asked for."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import NoReturn

import pytest
from harness.expect import refused, through_gateway
from harness.parts import LEAN
from harness.sandbox import Sandbox
from harness.trace import only_reached, traced

from guard.agents.opencode.adapter import AGENT
from guard.launch.verify import guarded_launch

pytestmark = pytest.mark.e2e


def test_version_and_help_pass_through_whatever_is_missing(user: Sandbox) -> None:
    done = user.guarded("--version", env={"PORTKEY_API_KEY": None})
    assert (done.status, done.out, done.err) == (0, f"{AGENT.tested}\n", "")
    assert done.asked == [], done


def test_the_command_in_the_refusal_connects_to_the_gateway_and_to_nothing_else(
    user: Sandbox, tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]
) -> None:
    """Not by what the recorders saw, but by every address the process and its children used."""
    # with its own catalogue, which it would fetch anew, and nothing to start sooner with
    user.with_every_provider()
    usual = dict.fromkeys(LEAN)
    done = user.guarded("run", "-m", "anthropic/claude-sonnet-4-5", "say hi", env=usual)
    refused(user, done, "RG201", "portkey/")
    (line,) = (line for line in done.err.splitlines() if "opencode run " in line)
    command = shlex.split(line[line.index("opencode run ") :])
    log = tmp_path_factory.mktemp("strace") / "log"
    done = user.run(
        [*traced(log, missing_part), *guarded_launch(), *command[1:]], user.environ(usual)
    )
    done.environ_seen.clear()  # of strace
    through_gateway(user, done, "claude-sonnet-4-5")
    only_reached(log, user.network.front.port)
