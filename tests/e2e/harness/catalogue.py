"""A catalogue of providers and models as opencode keeps it, with those that the tests are about.

The one that opencode brings has some 200 providers and thousands of models; reading it takes a
third of the processor time of a short run. This one has every provider that a direct key of the
tests opens, the hosted one that needs none, and the two whose stored logins are renewed at a start.
"""

from __future__ import annotations

_PROVIDERS = {
    # provider: (the variable that opens it, its package, models)
    "anthropic": ("ANTHROPIC_API_KEY", "@ai-sdk/anthropic", ("claude-sonnet-4-5",)),
    "github-copilot": ("GITHUB_TOKEN", "@ai-sdk/github-copilot", ("gpt-4o",)),
    "gitlab": ("GITLAB_TOKEN", "gitlab-ai-provider", ("duo-chat-sonnet-4-5",)),
    "google": ("GEMINI_API_KEY", "@ai-sdk/google", ("gemini-2.5-pro",)),
    "openai": ("OPENAI_API_KEY", "@ai-sdk/openai", ("gpt-4", "gpt-4o", "gpt-4o-mini")),
    "opencode": ("OPENCODE_API_KEY", "@ai-sdk/openai-compatible", ("big-pickle",)),
    "openrouter": (
        "OPENROUTER_API_KEY",
        "@openrouter/ai-sdk-provider",
        ("mistralai/mistral-7b-instruct",),
    ),
}


def _model(name: str) -> dict[str, object]:
    return {
        "id": name,
        "name": name,
        "release_date": "2025-01-01",
        "attachment": False,
        "reasoning": False,
        "temperature": True,
        "tool_call": True,
        "cost": {"input": 0, "output": 0},
        "limit": {"context": 128000, "output": 16384},
        "modalities": {"input": ["text"], "output": ["text"]},
    }


CATALOGUE: dict[str, object] = {
    provider: {
        "id": provider,
        "name": provider,
        "env": [variable],
        "npm": package,
        "models": {name: _model(name) for name in models},
        **({"api": "https://opencode.ai/zen/v1"} if provider == "opencode" else {}),
    }
    for provider, (variable, package, models) in _PROVIDERS.items()
}
"""What a user's `~/.cache/opencode/models.json` holds (1.18.33: read where it is there, run)."""
