"""The harness can see what the other tests say is not there: the agent without the guard."""

from __future__ import annotations

import pytest
from harness.portkey import ANSWER, PROVIDER_CREDENTIAL
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


def test_the_way_through_the_real_gateway(user: Sandbox) -> None:
    """An agent pinned by hand: front, real gateway, provider and back, streamed."""
    done = user.bare("run", "hi", env=user.pinned_by_hand())
    assert (done.status, done.out.strip()) == (0, ANSWER), done
    assert done.models == {"gpt-4o", "gpt-4o-mini"}
    assert {call.header("x-portkey-api-key") for call in done.calls} == {user.gateway_key}
    assert {call.header("authorization") for call in done.served} == {
        f"Bearer {PROVIDER_CREDENTIAL}"
    }
    assert done.environ_seen["OPENAI_API_KEY"] == user.direct["OPENAI_API_KEY"]
    assert "OPENAI_API_KEY in the agent's environment" in user.leaks()
