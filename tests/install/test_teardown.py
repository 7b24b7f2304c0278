"""What is left behind in shells that are open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard import paths
from guard.install import blocks, teardown


@pytest.mark.parametrize("dry_run", [True, False])
def test_whether_a_shell_may_have_the_hook(tmp_path: Path, dry_run: bool) -> None:
    environ = {"HOME": str(tmp_path), "PATH": os.defpath}
    said: list[str] = []

    def say(word: str, what: str) -> None:
        said.append(f"{word} {what}")

    assert not teardown.run(environ, say, purge=False, dry_run=dry_run)
    by_hand = {**environ, paths.HOOK: "live:bash"}
    assert teardown.run(by_hand, say, purge=False, dry_run=dry_run)
    assert said == []
    (tmp_path / ".bashrc").write_bytes(blocks.block("bash", blocks.Loads("/x", "/y", "z")))
    assert teardown.run(environ, say, purge=False, dry_run=dry_run)
    assert said == [f"block {tmp_path}/.bashrc"]


def test_only_shells_whose_wrapper_finds_nothing_are_said_to_block() -> None:
    assert teardown.ended(hooked=False, stays=False) == ["Done."]
    assert "block" not in "".join(teardown.ended(hooked=True, stays=True))
    *words, command = teardown.ended(hooked=True, stays=False)
    assert "block coding agents" in words[0]
    assert command == 'exec "$SHELL"'
