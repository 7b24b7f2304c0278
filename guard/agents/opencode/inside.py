"""Whether the environment of a running opencode is that of a guarded launch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard import net
from guard.agents.managed import installed
from guard.agents.opencode import planner
from guard.agents.opencode.directories import Directories, suffix
from guard.agents.opencode.variables import SWITCHES
from guard.files import jsonc
from guard.paths import REAL_CONFIG_HOME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.policy.values import CompiledPolicy

UNDOING = frozenset(
    (
        *("OPENCODE_CONFIG", "OPENCODE_CONFIG_DIR", "OPENCODE_PLUGIN_META_FILE"),
        *("OPENCODE_TEST_MANAGED_CONFIG_DIR", "BUN_OPTIONS", "BUN_INSPECT_PRELOAD", "BUN_BE_BUN"),
        *("LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES"),
    )
)
"""What a launch removes because it brings code or configuration of its own into opencode, past
the pinned one. Of the rest that a launch removes, a wrapper script or opencode itself may set some
for its children (`NODE_PATH` by pnpm, `OPENCODE_PID`): that undoes nothing."""


def unpinned(environ: Mapping[str, str], policy: CompiledPolicy) -> str:
    """Why `environ` does not pin opencode to the gateway of `policy`, "" if it does.

    What a guarded launch sets is written in `guard.agents.opencode.planner` and `.config`.
    """
    try:
        content = jsonc.parse(environ.get("OPENCODE_CONFIG_CONTENT", ""))
        enabled = content["enabled_providers"]
        addresses = {content["provider"][name]["options"]["baseURL"] for name in enabled}
        plugins, disabled = content["plugin"], set(content["disabled_providers"])
    except (jsonc.UnreadableError, KeyError, TypeError):
        return "its inline config is not pinned by routeguard"
    own = dict(environ)
    if REAL_CONFIG_HOME in own:
        planner.restore(own)
    # of the user's own launches, or of the file that routeguard wrote for the administrator
    known = (suffix(own, create=False), installed().suffix)
    marks = tuple(f"-{one}" for one in known if one)
    if not enabled or not all(str(name).endswith(marks) for name in enabled):
        return "its inline config names providers that are not the gateway's"
    if plugins or not disabled.isdisjoint(enabled):
        return "its inline config is not pinned by routeguard"
    if addresses != {policy.base_url}:
        hosts = sorted(net.host_of(str(address)) for address in addresses)
        return f"it is pinned to {', '.join(hosts)}, which is not the gateway of the policy"
    places = Directories(own)
    if REAL_CONFIG_HOME not in environ or environ.get("XDG_CONFIG_HOME") != places.config:
        return "its config home is not the private one of a guarded launch"
    if environ.get("OPENCODE_TEST_HOME") != places.home:
        return "its ~/.opencode is not the private one of a guarded launch"
    for name, value in SWITCHES.items():
        if environ.get(name) != value:
            return f"{name} is not set"
    return ""
