"""The prompt arrives byte for byte as a bare opencode sends it for the same words."""

from __future__ import annotations

import pytest
from harness.expect import through_gateway
from harness.portkey import ANSWER, PROVIDER_CREDENTIAL
from harness.sandbox import Outcome, Sandbox

pytestmark = pytest.mark.e2e

LOOKS_LIKE_OPTIONS = [
    "--model openai/gpt-4o",
    "-m",
    "--provider",
    "anthropic",
    "",
    "two\nlines\tand a tab",
    'it\'s "quoted", $HOME `id` {env:PATH} {file:/etc/passwd} \\',
    "naïve 語 🦘",
    "--",
]


def prompts(done: Outcome, model: str) -> list[object]:
    """The user's messages of the call for the answer, as they arrived at the gateway."""
    assert (done.status, done.out.strip()) == (0, ANSWER), done
    (call,) = (call for call in done.calls if call.model == model)
    return [m["content"] for m in call.json()["messages"] if m["role"] == "user"]


def test_words_arrive_as_a_bare_agent_sends_them(user: Sandbox) -> None:
    """Quoted words, what looks like options, bytes that are no UTF-8, 100 KiB, and a piped text.

    The guarded one is asked for another provider, which the policy reroutes. The bare one, pinned
    by hand, also shows the whole way and that the recorders see it: front, real gateway, provider
    and back, streamed.
    """
    user.write_policy(
        '[agents.opencode]\nforeign_provider = "reroute"\n'
        'reroute = { anthropic = "@anthropic-prod" }'
    )
    refused_too = user.guarded("run", "-m", "openai/gpt-4o", "hi")
    assert (refused_too.status, refused_too.calls) == (126, [])
    words: list[str | bytes] = [
        "say --model openai/x please", "--title=-m x", "", "and\n--provider y",
        b"caf\xe9 \xff\xfe", "0123456789abcde\n" * 6400, "--", *LOOKS_LIKE_OPTIONS, b"-m \x80",
    ]  # fmt: skip
    piped = b"from a pipe: --model x\n" * 100
    # that there is no direct key at all is no reason for a hosted model (see test_harness)
    foreign = ("-m", "anthropic/claude-sonnet-4-5")
    done = user.guarded("run", *foreign, *words, env=dict.fromkeys(user.direct), stdin=piped)
    through_gateway(user, done, "@anthropic-prod/claude-sonnet-4-5")
    assert "claude-sonnet-4-5" in {call.model for call in done.served}
    guarded = prompts(done, "@anthropic-prod/claude-sonnet-4-5")
    done = user.bare("run", *words, env=user.pinned_by_hand(), stdin=piped)
    bare = prompts(done, "gpt-4o")
    for part in ("say --model openai/x please", "two\nlines", "0123456789abcde", "from a pipe"):
        assert part in "".join(map(str, bare)), bare
    assert {call.header("x-portkey-api-key") for call in done.calls} == {user.gateway_key}
    assert {call.header("authorization") for call in done.served} == {
        f"Bearer {PROVIDER_CREDENTIAL}"
    }
    assert done.environ_seen["OPENAI_API_KEY"] == user.direct["OPENAI_API_KEY"]
    assert "OPENAI_API_KEY in the agent's environment" in user.leaks()
    assert guarded == bare
