"""The harness can see what the other tests say is not there: the agent without the guard."""

from __future__ import annotations

import pytest
from harness.sandbox import Sandbox

pytestmark = pytest.mark.e2e


def test_a_bare_agent_leaks_and_every_recorder_sees_it(user: Sandbox) -> None:
    elsewhere = {"ANTHROPIC_BASE_URL": "http://api.anthropic.invalid/v1"}
    done = user.bare("run", "hi", env=elsewhere)
    assert done.calls == [], done
    assert "api.anthropic.invalid:80" in done.asked, done
    assert "ANTHROPIC_API_KEY at the proxy" in user.leaks()


def test_a_bare_agent_without_keys_uses_a_hosted_model(user: Sandbox) -> None:
    done = user.bare("run", "hi", env=dict.fromkeys(user.direct))
    assert done.calls == [], done
    assert "opencode.ai:443" in done.asked, done
