"""The prompt arrives byte for byte as a bare opencode sends it for the same words."""

from __future__ import annotations

import pytest
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
    assert done.status == 0, done
    (call,) = (call for call in done.calls if call.model == "gpt-4o")
    return [m["content"] for m in call.json()["messages"] if m["role"] == "user"]


def test_words_arrive_as_a_bare_agent_sends_them(user: Sandbox) -> None:
    """Quoted words, what looks like options, bytes that are no UTF-8, and a piped text."""
    words: list[str | bytes] = [
        "say --model openai/x please", "--title=-m x", "", "and\n--provider y",
        b"caf\xe9 \xff\xfe", "--", *LOOKS_LIKE_OPTIONS, b"-m \x80",
    ]  # fmt: skip
    piped = b"from a pipe: --model x\n" * 100
    bare = prompts(user.bare("run", *words, env=user.pinned_by_hand(), stdin=piped))
    for part in ("say --model openai/x please", "two\nlines", "from a pipe"):
        assert part in "".join(map(str, bare)), bare
    assert prompts(user.guarded("run", *words, stdin=piped)) == bare


def test_100_kib_arrive_as_a_bare_agent_sends_them(user: Sandbox) -> None:
    prompt = "0123456789abcde\n" * 6400
    bare = prompts(user.bare("run", prompt, env=user.pinned_by_hand()))
    assert "0123456789abcde" in str(bare)
    assert prompts(user.guarded("run", prompt)) == bare
