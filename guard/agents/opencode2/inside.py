"""Whether the environment of a running opencode 2 is that of a guarded launch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.agents.inside import elsewhere, unset
from guard.agents.opencode.directories import suffix
from guard.agents.opencode2 import planner
from guard.agents.opencode2.directories import Places
from guard.agents.opencode2.variables import SWITCHES
from guard.files import jsonc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.policy.values import CompiledPolicy


def unpinned(environ: Mapping[str, str], policy: CompiledPolicy, argv: Sequence[str] = ()) -> str:
    """Why `environ` does not pin opencode to the gateway of `policy`, "" if it does; `argv` is not
    asked."""
    try:
        content = jsonc.parse(environ.get("OPENCODE_CONFIG_CONTENT", ""))
        providers = content["providers"]
        addresses = {entry["settings"]["baseURL"] for entry in providers.values()}
        said = [(s["effect"], s["action"], s["resource"]) for s in content["policies"]]
    except (jsonc.UnreadableError, KeyError, TypeError, AttributeError):
        return "its inline config is not pinned by routeguard"
    own = dict(environ)
    planner.restore(own)
    mark = "-" + suffix(own, create=False)
    if not providers or not all(str(name).endswith(mark) for name in providers):
        return "its inline config names providers that are not the gateway's"
    if ("deny", "provider.use", "*") not in said:
        return "its inline config is not pinned by routeguard"
    wrong = elsewhere(addresses, policy)
    if wrong:
        return wrong
    if not planner.is_private(environ, Places(own)):
        return "its config and state homes are not the private ones of a guarded launch"
    return unset(environ, SWITCHES)
