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


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["run", "first", "--", *LOOKS_LIKE_OPTIONS], id="after the separator"),
        pytest.param(
            ["run", "say --model openai/x please", "--title=-m x", "", "and\n--provider y"],
            id="quoted words",
        ),
        pytest.param(["run", b"caf\xe9 \xff\xfe", "--", b"-m \x80"], id="bytes that are no UTF-8"),
        pytest.param(["run", "0123456789abcde\n" * 6400], id="100 KiB"),
    ],
)
def test_arrives_as_a_bare_agent_sends_it(user: Sandbox, argv: list[str | bytes]) -> None:
    bare = prompts(user.bare(*argv, env=user.pinned_by_hand()))
    assert bare
    assert prompts(user.guarded(*argv)) == bare


def test_stdin_joins_the_prompt_as_in_a_bare_agent(user: Sandbox) -> None:
    piped = b"from a pipe: --model x\n" * 100
    bare = prompts(user.bare("run", "read", "this", env=user.pinned_by_hand(), stdin=piped))
    assert "from a pipe" in str(bare)
    assert prompts(user.guarded("run", "read", "this", stdin=piped)) == bare
