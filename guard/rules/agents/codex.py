"""Calls of Codex in files, read with the launch's own grammar."""

from __future__ import annotations

from guard.agents.codex.adapter import AGENT
from guard.rules.agents.addressed import AddressedCalls

CALLS = AddressedCalls(
    AGENT,
    vendor="api.openai.com",
    # OPENAI_BASE_URL is not read by 0.171.0 (facts: Codex, section 3)
    addresses=("model_provider", "openai_base_url", "responses-api-endpoint"),
    # github.com/openai/codex-action
    actions=r"openai/codex-action@",
    fix='name it: -c \'model_provider="portkey"\' -c \'model_providers.portkey={{name="Portkey", '
    'base_url="{}/v1", env_key="PORTKEY_API_KEY", wire_api="responses"}}\'',
    routes=("model_provider", "model_providers", "openai_base_url"),
    inline={"-c": ".codex/config.toml", "--config": ".codex/config.toml"},
)
