"""The harness can see what the other tests say is not there: the agent without the guard."""

from __future__ import annotations

import pytest
from harness.sandbox import Sandbox

pytestmark = pytest.mark.e2e


def test_a_bare_agent_without_keys_uses_a_hosted_model(user: Sandbox) -> None:
    theirs, asked = "opencode.ai:443", user.network.proxy.asked
    done = user.bare("run", "hi", env=dict.fromkeys(user.direct), enough=lambda: theirs in asked())
    assert done.calls == [], done
    assert theirs in done.asked, done
