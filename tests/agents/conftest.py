"""A policy with two ways into the gateway, as most tests of the launch want it."""

from __future__ import annotations

import pytest

from guard.agents.opencode.config import provider_ids
from guard.agents.opencode.route import Router
from guard.catalog import entries
from guard.policy.values import CompiledPolicy, GatewayProvider

SUFFIX = "abcdefghij"
MISTRAL = "mistralai/mistral-7b-instruct"


@pytest.fixture(scope="session")
def variables() -> dict[str, tuple[str, str]]:
    """The catalogue's names, as a compiled policy holds them."""
    return {name: (v.kind, v.owner) for name, v in entries.variables().items()}


@pytest.fixture
def policy(variables: dict[str, tuple[str, str]]) -> CompiledPolicy:
    return CompiledPolicy(
        providers=(
            GatewayProvider(models=("gpt-4o", "gpt-4o-mini")),
            GatewayProvider(
                name="portkey-openrouter",
                title="OpenRouter",
                slug="openrouter-main",
                config="pc-1",
                key_env="OPENROUTER_GATEWAY_KEY",
                models=(MISTRAL,),
            ),
        ),
        small_model="portkey/gpt-4o-mini",
        variables=variables,
    )


@pytest.fixture
def ids(policy: CompiledPolicy) -> dict[str, str]:
    return provider_ids(policy, SUFFIX)


@pytest.fixture
def router(policy: CompiledPolicy, ids: dict[str, str]) -> Router:
    return Router(policy, ids, frozenset(("anthropic", "openai", "openrouter", "opencode")))
