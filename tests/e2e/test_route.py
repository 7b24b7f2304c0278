"""Whatever is typed, the call arrives at the gateway, for the model that was asked for."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import NoReturn

import pytest
from harness.expect import refused, through_gateway
from harness.sandbox import Sandbox
from harness.trace import traced

from guard.launch.verify import guarded_launch

pytestmark = pytest.mark.e2e


def test_another_provider_is_rerouted_where_the_policy_says_so(user: Sandbox) -> None:
    user.write_policy(
        '[agents.opencode]\nforeign_provider = "reroute"\n'
        'reroute = { anthropic = "@anthropic-prod" }'
    )
    # that there is no direct key at all is no reason for a hosted model (see test_harness)
    keyless = dict.fromkeys(user.direct)
    done = user.guarded("run", "-m", "anthropic/claude-sonnet-4-5", "hi", env=keyless)
    through_gateway(user, done, "@anthropic-prod/claude-sonnet-4-5")
    assert "claude-sonnet-4-5" in {call.model for call in done.served}
    refused_too = user.guarded("run", "-m", "openai/gpt-4o", "hi")
    assert (refused_too.status, refused_too.calls) == (126, [])


def test_version_and_help_pass_through_whatever_is_missing(user: Sandbox) -> None:
    bare = user.bare("--version")
    done = user.guarded("--version", env={"PORTKEY_API_KEY": None})
    assert (done.status, done.out, done.err) == (bare.status, bare.out, bare.err)
    assert done.asked == [], done


def test_the_command_in_the_refusal_connects_to_the_gateway_and_to_nothing_else(
    user: Sandbox, tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]
) -> None:
    """Not by what the recorders saw, but by every address the process and its children used."""
    # with its own catalogue, which it would fetch anew
    user.with_every_provider()
    done = user.guarded("run", "-m", "anthropic/claude-sonnet-4-5", "say hi")
    refused(user, done, "RG201", "portkey/")
    (line,) = (line for line in done.err.splitlines() if "opencode run " in line)
    command = shlex.split(line[line.index("opencode run ") :])
    log = tmp_path_factory.mktemp("strace") / "log"
    done = user.run([*traced(log, missing_part), *guarded_launch(), *command[1:]], user.environ())
    done.environ_seen.clear()  # of strace
    through_gateway(user, done, "claude-sonnet-4-5")
    reached = [
        line for line in log.read_text(errors="replace").splitlines() if "sa_family=AF_INET" in line
    ]
    gateway = f"htons({user.network.front.port})"
    assert reached, "strace saw no connection at all"
    assert [line for line in reached if gateway not in line] == []
