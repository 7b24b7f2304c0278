"""A company's policy, as the system's."""

from __future__ import annotations

from pathlib import Path

from guard.policy.compile import compile_layers
from guard.policy.layers import Candidate, read_layer
from guard.policy.values import CompiledPolicy

POLICY = """
[gateway]
base_url = "https://gateway.example.com/v1"
key = { env = "COMPANY_KEY" }
default = "portkey/gpt-4o"
[gateway.providers.portkey]
models = ["gpt-4o"]
[agents.codex]
provider = "@openai-prod"
model = "gpt-5.5"
[agents.claude-code]
provider = "@anthropic-prod"
model = "claude-sonnet-4-5"
"""


def compiled(folder: Path, text: str) -> CompiledPolicy:
    """The policy `text`, written into `folder` as policy.toml."""
    path = folder / "policy.toml"
    path.write_text(text)
    path.chmod(0o644)
    layer = read_layer(Candidate("system", str(path)))
    assert layer is not None
    return compile_layers([layer])
