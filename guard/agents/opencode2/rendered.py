"""A user's own global configuration of opencode 2, rendered from the user's policy. Cold. Pure.

opencode 2 reads no administrator's file. The policies of its global file outrank those of every
repository (run on a build of July 2026), for starts past routeguard as well: the background
service, the desktop app. It is the file that pins a launch, for the same reasons without anything
else in it, and without a word of where it comes from: a build drops a document whole whose keys
it does not know.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from guard import paths
from guard.agents.binary import NO_VERSION
from guard.agents.managed import Managed
from guard.agents.opencode.config import provider_ids
from guard.agents.opencode.provider_keys import key_variables
from guard.agents.opencode.rendered import KEY_FROM_COMMAND
from guard.agents.opencode.route import Router
from guard.agents.opencode2 import config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.policy.values import CompiledPolicy


def render(policy: CompiledPolicy, environ: Mapping[str, str], suffix: str) -> Managed:
    """The file of the user of `environ`, whose provider ids end in `suffix`, those of launches."""
    ids = provider_ids(policy, suffix)
    default = Router(policy, ids, frozenset()).default()
    pinned = config.pinned(policy, ids, key_variables(policy), default, [])
    texts = config.render(pinned, {}, config.routes_only(ids), [])
    text = json.dumps(json.loads(texts.route), indent=2) + "\n"
    notes = [KEY_FROM_COMMAND] if policy.default_provider.key_command else []
    if environ.get("OPENCODE_CONFIG_DIR"):
        notes.append(
            "OPENCODE_CONFIG_DIR is set: opencode 2 reads that directory, and not this file"
        )
    return Managed([(path(environ), text)], [], notes)


def path(environ: Mapping[str, str]) -> str:
    """Where the file lies."""
    return os.path.join(paths.config_home(environ), "opencode", "opencode.json")


def unfit(version: tuple[int, int, int]) -> tuple[str, str]:
    """Why the file must not be where an opencode of `version` is, and the fix; two "" for 2.x.

    1.18.33 takes the file without a word and reads over `providers` and `policies` in it: with
    `-m anthropic/…` it called that provider. The default model is one that it does not have then,
    and a start that names none ends with "Unexpected server error" (run).
    """
    if version >= (2, 0, 0):
        return "", ""
    shown = ".".join(map(str, version)) if version != NO_VERSION else "of an unknown version"
    return (
        f"this opencode is {shown}: opencode 1 reads the same file, but not its policies, and "
        "does not find the default model",
        "for opencode 1 there is an administrator's file:\nsudo routeguard managed install",
    )
