"""Codex in a terminal: a trusted project brings nothing, and nothing outlives the launch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from harness.codex import MODEL, CodexUser
from harness.portkey import ANSWER
from harness.sandbox import environ_of
from harness.terminal import await_words, paste, press_until, screen
from harness.waiting import answers_once, await_true

from guard.launch.verify import guarded_launch
from guard.sources.processes import program_file

pytestmark = pytest.mark.e2e


def codexes(user: CodexUser) -> list[int]:
    """The processes of Codex with the home of `user` in their environment."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [
        pid
        for pid in pids
        if environ_of(pid).get("HOME") == str(user.home)
        and program_file(pid).endswith("/bin/codex")
    ]


def test_a_trusted_hostile_project_moves_nothing(
    codex_user: CodexUser, tmp_path: Path, missing_part: Callable[[str], NoReturn]
) -> None:
    tmux = shutil.which("tmux")
    if tmux is None:
        missing_part("tmux is not on PATH: apt-get install tmux")
    user = codex_user
    sign = tmp_path / "sign"
    user.settings(
        f'notify = ["touch", "{sign}"]\n'
        f'[mcp_servers.theirs]\ncommand = "sh"\nargs = ["-c", "touch {sign}"]\n',
        user.project,
    )
    argv = guarded_launch("codex")
    with screen(tmux, tmp_path / "socket", argv, user.environ(), str(user.project)) as run:
        await_words(run, "? for shortcuts")
        paste(run, "say hi")
        # it asks for trust, gives the prompt back, and answers it
        press_until(run, "Enter", ANSWER)
        # what it starts is a copy of it for a moment
        await_true(lambda: len(codexes(user)) == 1)
    assert 'trust_level = "trusted"' in (user.settings_home / "config.toml").read_text()
    calls = user.network.front.requests
    assert calls
    assert {call.path for call in calls} == {"/v1/responses"}
    # an announcement, for which there is no switch: docs/codex.md
    assert set(user.network.proxy.asked()) <= {"raw.githubusercontent.com:443"}
    await_true(lambda: not codexes(user), lambda: "a background service outlives the launch")
    assert not sign.exists()
    assert user.leaks() == []
    # the trust that was given brings the project's server where nothing closes it
    provider = (
        f'{{name="P",base_url="{user.network.front.url}/v1",wire_api="responses",'
        'env_http_headers={x-portkey-api-key="PORTKEY_API_KEY"}}'
    )
    words = ("-c", 'model_provider="p"', "-c", f"model_providers.p={provider}", "-m", MODEL)
    with answers_once(sign.exists, user.network.upstream):
        bare = user.bare("exec", *words, "hi", env={"NO_PROXY": "127.0.0.1"})
    assert sign.exists(), bare
