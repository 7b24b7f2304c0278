"""A policy of a user's own with comments, and what a sync makes of a policy."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from guard.policy.compile import compile_files
from guard.policy.values import CompiledPolicy
from guard.portkey import policy_edit, wishes
from guard.portkey.account import Account as Shown

COMMENTED = """\
# my policy
schema = 1

[gateway]  # where calls go
base_url = "https://gateway.example/v1"

# the cheap one
[gateway.providers.cheap]
slug = "openrouter-main"   # do not touch
key = { env = "CHEAP_KEY" }
models = ["old/model"]

[keys]
action = "scrub"
"""


def entries() -> str:
    """That policy with its default model."""
    return COMMENTED.replace("[gateway]", '[gateway]\ndefault = "cheap/old/model"')


def compiled(text: str, tmp_path: Path) -> CompiledPolicy:
    path = tmp_path / "before.toml"
    path.write_text(text)
    return compile_files("/nonexistent/policy.toml", str(path), ())[0]


def result(
    text: str, seen: Shown, tmp_path: Path, layout: wishes.Layout = "each", **more: Any
) -> tuple[str, wishes.Wish]:
    """The policy after a sync, and what was wished."""
    policy = compiled(text, tmp_path)
    wished = wishes.wish(seen, policy, layout=layout, **more)
    after = policy_edit.edited(text, wished, policy)
    policy_edit.tried(after, str(tmp_path / "policy.toml"), wished)
    return after, wished


def providers(text: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(text)["gateway"]["providers"]
    return found
