"""The prompt arrives byte for byte as a bare opencode sends it for the same words."""

from __future__ import annotations

import pytest
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


def prompts(done: Outcome) -> list[object]:
    """The user's messages of the call for the answer, as they arrived at the gateway."""
    assert (done.status, done.out.strip()) == (0, ANSWER), done
    (call,) = (call for call in done.calls if call.model == "gpt-4o")
    return [m["content"] for m in call.json()["messages"] if m["role"] == "user"]


def test_words_arrive_as_a_bare_agent_sends_them(user: Sandbox) -> None:
    """Quoted words, what looks like options, bytes that are no UTF-8, 100 KiB, and a piped text.

    The bare agent, pinned by hand, also shows the whole way and that the recorders see it: front,
    real gateway, provider and back, streamed.
    """
    words: list[str | bytes] = [
        "say --model openai/x please", "--title=-m x", "", "and\n--provider y",
        b"caf\xe9 \xff\xfe", "0123456789abcde\n" * 6400, "--", *LOOKS_LIKE_OPTIONS, b"-m \x80",
    ]  # fmt: skip
    piped = b"from a pipe: --model x\n" * 100
    done = user.bare("run", *words, env=user.pinned_by_hand(), stdin=piped)
    bare = prompts(done)
    for part in ("say --model openai/x please", "two\nlines", "0123456789abcde", "from a pipe"):
        assert part in "".join(map(str, bare)), bare
    assert {call.header("x-portkey-api-key") for call in done.calls} == {user.gateway_key}
    assert {call.header("authorization") for call in done.served} == {
        f"Bearer {PROVIDER_CREDENTIAL}"
    }
    assert done.environ_seen["OPENAI_API_KEY"] == user.direct["OPENAI_API_KEY"]
    assert "OPENAI_API_KEY in the agent's environment" in user.leaks()
    assert prompts(user.guarded("run", *words, stdin=piped)) == bare
