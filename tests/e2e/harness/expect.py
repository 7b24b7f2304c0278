"""What every guarded run has to show, and what every refused one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.portkey import ANSWER

if TYPE_CHECKING:
    from pathlib import Path

    from harness.sandbox import Outcome, Sandbox

SMALL = "gpt-4o-mini"


def through_gateway(
    user: Sandbox,
    done: Outcome,
    model: str = "gpt-4o",
    planted: tuple[Path, ...] = (),
) -> None:
    """The answer came from `model` through the gateway, and nobody else was asked or told."""
    assert (done.status, done.out.strip()) == (0, ANSWER), done
    assert model in done.models, done
    assert done.models <= {model, SMALL}, done
    for call in done.calls:
        assert call.target == "/v1/chat/completions", done
        assert call.header("x-portkey-api-key") == user.gateway_key, call.headers
        assert call.header("authorization") == "", call.headers
        assert call.header("x-portkey-provider") == "", call.headers
    assert done.asked == [], done
    assert user.leaks(*planted) == []


def refused(user: Sandbox, done: Outcome, rule: str, *words: str, status: int = 126) -> None:
    """Nothing was started; one message names the rule and `words`."""
    assert done.status == status, done
    assert (done.calls, done.asked, done.out) == ([], [], ""), done
    assert f"[{rule}]" in done.err or f" {rule} " in done.err, done
    for word in words:
        assert word in done.err, done
    assert "Traceback" not in done.err, done
    assert not (user.data / "opencode").exists(), "the agent was started"
