"""An account behind a stand-in of the hosted control plane, and keys of three strengths."""

from __future__ import annotations

import functools
import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import control_plane as plane

from guard.policy.values import CompiledPolicy
from guard.portkey.account import Account as Seen
from guard.portkey.account import gather
from guard.portkey.client import Client

ADMIN_KEY = "aD+canary/0000000000000000admin="
WORKSPACE_KEY = "wS+canary/00000000000workspace1="
WEAK_KEY = "wK+canary/0000000000000000weak1="

FALLBACK = {
    "strategy": {"mode": "fallback", "on_status_codes": [429, 503]},
    "targets": [
        {"provider": "@openai-prod", "override_params": {"model": "gpt-4o"}},
        {"name": "second", "provider": "@anthropic-prod", "api_key": "sk-ant-canary-in-a-config"},
    ],
    "retry": {"attempts": 2},
    "cache": {"mode": "simple", "max_age": 60},
}


@dataclass
class Account:
    """The stand-in and how to ask it."""

    server: plane.ControlPlane
    policy: CompiledPolicy

    @property
    def space(self) -> plane.Workspace:
        return self.server.workspace

    def client(self, key: str, **more: object) -> Client:
        waits: Callable[[float], None] = lambda _: None  # noqa: E731
        return Client(
            self.server.base_url,
            key,
            environ={},
            policy=self.policy,
            sleep=waits,
            **more,  # type: ignore[arg-type]
        )

    def seen(self, key: str) -> Seen:
        """What `key` shows of the account."""
        with self.client(key) as client:
            return gather(client, key)


@pytest.fixture(scope="session", autouse=True)
def certificates_are_read_once() -> Iterator[None]:
    """httpx reads every certificate for every client, also where the gateway speaks plain HTTP."""
    make, file = ssl.create_default_context, certifi.where()
    once = functools.cache(lambda: make(cafile=file))

    def context(*words: Any, **more: Any) -> ssl.SSLContext:
        return once() if not words and more == {"cafile": file} else make(*words, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", context)
        yield


@pytest.fixture
def account() -> Iterator[Account]:
    """Three providers, two configs, the fallback one attached to the admin key."""
    space = plane.Workspace(
        keys={ADMIN_KEY: plane.ADMIN, WORKSPACE_KEY: plane.WORKSPACE, WEAK_KEY: plane.WEAK},
        providers=[
            plane.provider("openai-prod"),
            plane.provider("anthropic-prod", "anthropic", status="exhausted"),
            plane.provider("openrouter-main", None),
        ],
        configs=[plane.config_row("pc-fall-000001"), plane.config_row("pc-empty-00002")],
        details={"pc-fall-000001": FALLBACK, "pc-empty-00002": {"retry": {"attempts": 1}}},
        models=[
            plane.model("openai-prod", "gpt-4o"),
            plane.model("openai-prod", "gpt-4o-mini"),
            plane.model("openrouter-main", "mistralai/mistral-7b-instruct"),
        ],
    )
    space.api_keys = [
        plane.key_row(
            ADMIN_KEY,
            plane.ADMIN,
            defaults={"config_id": space.configs[0]["id"], "allow_config_override": False},
        ),
        plane.key_row(WEAK_KEY, plane.WEAK),
    ]
    with plane.ControlPlane(space) as server:
        yield Account(server, CompiledPolicy(base_url=server.base_url))


@pytest.fixture
def seen(account: Account) -> Seen:
    return account.seen(WORKSPACE_KEY)
