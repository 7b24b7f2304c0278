"""A user of Claude Code, and what a run of it has to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.portkey import ANSWER
from harness.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from harness.sandbox import Outcome

PROVIDER = "@anthropic-prod"
MODEL = "claude-sonnet-4-5"
EVIL = "http://evil.invalid"
"""Where a hostile setting leads; the recording proxy is asked for it."""


class ClaudeUser(Sandbox):
    """A home, a project, canary keys and the real Claude Code on PATH."""

    agent = "claude"

    @property
    def program(self) -> Path:
        """The real agent."""
        return self.network.parts.claude

    def write_policy(self, more: str = "", *, way: str = "", front: str = "") -> Path:
        """A policy that names the provider behind the gateway, plus `more`."""
        route = f'[agents.claude-code]\nprovider = "{PROVIDER}"\nmodel = "{MODEL}"\n'
        route += f'small = "{MODEL}"\n{more}'
        return super().write_policy(route, way=way, front=front)

    def settings(self, place: Path, **content: object) -> Path:
        """Write `content` as a settings file into the `.claude` folder of `place`."""
        return self.write(place / ".claude" / "settings.json", content)


def through_gateway(
    user: ClaudeUser, done: Outcome, model: str = MODEL, planted: tuple[Path, ...] = ()
) -> None:
    """The answer came through the gateway, and nobody else was asked or told."""
    assert (done.status, done.out.strip()) == (0, ANSWER), done
    assert done.models == {model}, done
    for call in done.calls:
        assert call.path == "/v1/messages", done
        assert call.header("x-portkey-api-key") == user.gateway_key, call.headers
        assert call.header("authorization") == "Bearer portkey", call.headers
        assert call.header("x-api-key") == "", call.headers
        wanted = "" if model.startswith("@") else PROVIDER
        assert call.header("x-portkey-provider") == wanted, call.headers
    assert done.asked == [], done
    assert user.leaks(*planted) == []
