"""opencode 1's file for administrators, rendered from the system policy. Cold. Pure.

It outranks every other file and `OPENCODE_CONFIG_CONTENT`; objects merge deeply, arrays are
replaced, comments are read over (run on 1.18.33, see docs/managed.md). The providers have ids that
no repository knows, as those of a launch have.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from guard.agents.managed import MACOS, NOTE, Managed
from guard.agents.opencode import config, surroundings
from guard.agents.opencode.provider_keys import key_variables
from guard.agents.opencode.route import Router

if TYPE_CHECKING:
    from guard.agents.managed import Machine
    from guard.policy.values import CompiledPolicy

KEY_FROM_COMMAND = (
    "opencode takes the key from a variable, and the policy names a command: a start past "
    "routeguard has no key, and the gateway refuses it"
)


def render(policy: CompiledPolicy, machine: Machine) -> Managed:
    """The file for `machine`."""
    content = values(policy, machine.suffix)
    text = f"// {NOTE}\n" + json.dumps(content, indent=2) + "\n"
    folder = surroundings.MANAGED_OF["darwin" if machine.platform == MACOS else "linux"]
    notes = [KEY_FROM_COMMAND] if policy.default_provider.key_command else []
    return Managed(
        [(f"{folder}/opencode.json", text)], [(surroundings.MANAGED_DOMAIN, content)], notes
    )


def values(policy: CompiledPolicy, suffix: str) -> dict[str, Any]:
    """The config: what pins a launch, with ids that are the same for every user."""
    ids = config.provider_ids(policy, suffix)
    default = Router(policy, ids, frozenset()).default()
    pinned = config.pinned(policy, ids, key_variables(policy), default, [])
    # a launch has its own, longer one, and an empty array would replace it; nobody but those that
    # are enabled is there in any case
    del pinned["disabled_providers"]
    return {"$schema": "https://opencode.ai/config.json", **pinned}
