"""Agents that agents start: by their names they meet the guard, whatever is left of its variables.

As `routeguard setup` leaves a machine, with the shims on PATH; started by a hook and by the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.catalogue import CATALOGUE
from harness.codex import MODEL, PROVIDER, CodexUser
from harness.portkey import ANSWER
from harness.sandbox import Network, Sandbox

from guard.launch.verify import guarded_launch

pytestmark = pytest.mark.e2e

CLAUDE = "claude-sonnet-4-5"
EMPTY = 'env -i HOME="$HOME" PATH="$PATH" TMPDIR="$TMPDIR"'
"""Before a command: without the variables of the guard, and without the key."""


@pytest.fixture
def user(network: Network, tmp_path: Path) -> Iterator[Sandbox]:
    """A user with all three agents; the key is in a variable, of one provider from a command."""
    user = CodexUser(tmp_path, network)
    for program in (network.parts.opencode, network.parts.claude):
        (user.program.parent / program.name).symlink_to(program)
    user.write(user.cache / "opencode" / "models.json", CATALOGUE)
    user.write(user.config / "opencode" / "opencode.json", {"snapshot": False})
    key = user.write(user.home / "key", user.gateway_key, mode=0o600)
    Sandbox.write_policy(
        user,
        f'[gateway.providers.company]\nslug = "anthropic-prod"\nmodels = ["{CLAUDE}"]\n'
        f'key = {{ command = ["cat", "{key}"] }}\n'
        f'[agents.codex]\nprovider = "{PROVIDER}"\nmodel = "{MODEL}"\n'
        f'[agents.claude-code]\nprovider = "@anthropic-prod"\nmodel = "{CLAUDE}"\n'
        'hooks = ["SessionStart"]\n',
    )
    assert user.routeguard("shim", "install").status == 0
    yield user
    assert user.left_running() == []


def test_each_below_another(user: Sandbox) -> None:
    """Codex and opencode below Claude Code, and that below each of them."""

    def said(name: str, command: str) -> str:
        return f"{command} < /dev/null > {user.root}/{name} 2>&1"

    def read(name: str) -> str:
        return (user.root / name).read_text()

    freely = "--dangerously-bypass-approvals-and-sandbox --skip-git-repo-check"
    codex = said("codex", f"codex exec {freely} from-a-hook")
    # the ones below have the hook as well
    once = f"[ -e {user.root}/codex ] || {codex}"
    hook = {"hooks": [{"type": "command", "command": once}]}
    user.write(user.home / ".claude" / "settings.json", {"hooks": {"SessionStart": [hook]}})
    without_key = said("without-key", "claude -p never-sent")
    by_command = said("by-command", f"{EMPTY} claude -p --model=company/{CLAUDE} below-codex")
    emptied = said("emptied", f"{EMPTY} codex exec never-sent")
    user.network.upstream.runs = {
        "from-a-hook": f"{without_key}; {by_command}",
        "outermost": f"{emptied}; {said('opencode', 'opencode run below-claude')}",
        "below-claude": said("claude", "claude -p below-opencode"),
    }
    words = ("-p", "--allowedTools=Bash", "--", "outermost")
    done = user.run([*guarded_launch("claude"), *words], user.environ())
    assert (done.status, done.out.strip(), done.asked) == (0, ANSWER, []), done
    assert user.network.upstream.runs == {}
    for name in ("codex", "by-command", "opencode", "claude"):
        assert ANSWER in read(name), (name, read(name), done)
    for name in ("without-key", "emptied"):
        assert "PORTKEY_API_KEY is not set [RG106]" in read(name), (name, read(name))
    # a call that runs a command is followed by one with its output
    asked = Counter(call.path for call in done.calls)
    assert (asked["/v1/messages"], asked["/v1/responses"]) == (4, 2), done
    for path, word in (
        ("/v1/responses", b"from-a-hook"),
        ("/v1/messages", b"below-codex"),
        ("/v1/chat/completions", b"below-claude"),
        ("/v1/messages", b"below-opencode"),
    ):
        assert any(call.path == path and word in call.body for call in done.calls), (word, done)
    assert user.leaks(user.home / "key") == []
