"""A user of Codex, and what a run of it has to show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.portkey import ANSWER
from harness.sandbox import Sandbox

from guard.agents.codex.facts import native

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.sandbox import Network, Outcome

PROVIDER = "@openai-prod"
MODEL = "gpt-4o"
EVIL = "http://evil.invalid/v1"
"""Where a hostile setting leads; the recording proxy is asked for it."""


class CodexUser(Sandbox):
    """A home, a project, canary keys and the real Codex on PATH, by npm's script."""

    agent = "codex"

    def __init__(self, root: Path, network: Network) -> None:
        super().__init__(root, network)
        self.settings_home = self.home / ".codex"
        self.settings_home.mkdir()
        self.program.parent.mkdir()
        self.program.symlink_to(network.parts.codex)

    @property
    def program(self) -> Path:
        """The link that npm makes."""
        return self.root / "bin" / "codex"

    def bare(
        self,
        *argv: str | bytes,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        stdin: bytes = b"",
        until: Path | None = None,
    ) -> Outcome:
        """Run the native program without the guard: without npm's script it is quicker.

        It is told not to ask without end where it is refused. What it started and did not wait for
        is ended only once `until` is there.
        """
        words = [native(str(self.program)), "--disable=unbounded_connection_retries", *argv]
        if until is not None:
            words = lingering(until, words)
        return self.run(words, self.environ(env), cwd, stdin)

    def write_policy(self, more: str = "", *, way: str = "", front: str = "") -> Path:
        """A policy that names the provider behind the gateway, plus `more`."""
        route = f'[agents.codex]\nprovider = "{PROVIDER}"\nmodel = "{MODEL}"\n'
        return super().write_policy(route + more, way=way, front=front)

    def settings(self, text: str, place: Path | None = None) -> Path:
        """Write `text` as the settings file of `place`, by default the user's."""
        return self.write((place / ".codex" if place else self.settings_home) / "config.toml", text)

    def login(self, plan: str) -> Path:
        """A stored login of ChatGPT with the subscription `plan`, as 0.171.0 writes it."""
        claims = {
            "email": "ada@example.com",
            "exp": 4102444800,
            "https://api.openai.com/auth": {
                "chatgpt_plan_type": plan,
                "chatgpt_account_id": "acc-1",
                "chatgpt_user_id": "user-1",
            },
        }
        token = ".".join(_base64(part) for part in ({"alg": "none"}, claims, {}))
        tokens = {
            "id_token": token,
            "access_token": token,
            "refresh_token": "refresh-canary",
            "account_id": "acc-1",
        }
        content = {"OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": "2099-01-01T00:00:00Z"}
        return self.write(self.settings_home / "auth.json", content, mode=0o600)


def lingering(sign: Path, words: list[str | bytes]) -> list[str | bytes]:
    """A command line that ends like `words`, but only once `sign` is there.

    What a program starts in passing is ended with it otherwise.
    """
    wait = '"$@"; status=$?; until [ -e "$0" ]; do sleep 0.05; done; exit $status'
    return ["sh", "-c", wait, str(sign), *words]


def _base64(part: object) -> str:
    import base64

    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def through_gateway(
    user: CodexUser, done: Outcome, model: str = MODEL, planted: tuple[Path, ...] = ()
) -> None:
    """The answer came through the gateway, and nobody else was asked or told."""
    assert (done.status, done.out.strip()) == (0, ANSWER), done
    assert done.models == {model}, done
    for call in done.calls:
        assert call.path == "/v1/responses", done
        assert call.header("x-portkey-api-key") == user.gateway_key, call.headers
        assert call.header("authorization") == "", call.headers
        wanted = "" if model.startswith("@") else PROVIDER
        assert call.header("x-portkey-provider") == wanted, call.headers
    assert done.asked == [], done
    assert user.leaks(*planted) == []
