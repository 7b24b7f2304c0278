"""The real agent, the real gateway, and a user's machine around them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

# at the end: other folders have a conftest of their own that is imported by this name
sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "portkey")]

from harness.claude import ClaudeUser
from harness.codex import CodexUser
from harness.parts import MissingPartError, Parts, find_parts, running_gateway
from harness.portkey import PortkeyFront, Upstream
from harness.sandbox import Network, Sandbox

from guard.launch.recorder import RecordingProxy


@pytest.fixture(scope="session")
def parts(missing_part: Callable[[str], NoReturn]) -> Parts:
    """The real programs, or a reason not to run."""
    try:
        return find_parts()
    except MissingPartError as error:
        missing_part(str(error))


@pytest.fixture(scope="session")
def gateway(parts: Parts) -> Iterator[str]:
    """The address of the real gateway, once for all tests of a worker."""
    with running_gateway(parts) as url:
        yield url


@pytest.fixture
def network(parts: Parts, gateway: str) -> Iterator[Network]:
    """Provider, control plane and proxy of one test: what comes late of another finds no one."""
    with (
        Upstream() as upstream,
        RecordingProxy() as proxy,
        PortkeyFront(gateway, upstream.url) as front,
    ):
        yield Network(front, upstream, proxy, parts)


@pytest.fixture
def claude_user(network: Network, tmp_path: Path) -> Iterator[ClaudeUser]:
    """The same with Claude Code."""
    user = ClaudeUser(tmp_path, network)
    yield user
    assert user.left_running() == []


@pytest.fixture
def codex_user(network: Network, tmp_path: Path) -> Iterator[CodexUser]:
    """The same with Codex."""
    user = CodexUser(tmp_path, network)
    yield user
    assert user.left_running() == []


@pytest.fixture
def user(network: Network, tmp_path: Path) -> Iterator[Sandbox]:
    """A fresh home and project with the four direct keys and the gateway key in the environment."""
    user = Sandbox(tmp_path, network)
    yield user
    assert user.left_running() == []
