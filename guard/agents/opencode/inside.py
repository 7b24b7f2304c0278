"""Whether the environment of a running opencode is that of a guarded launch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.agents.inside import elsewhere, unset
from guard.agents.managed import installed
from guard.agents.opencode import planner
from guard.agents.opencode.directories import Directories, suffix
from guard.agents.opencode.variables import SWITCHES
from guard.files import jsonc
from guard.paths import REAL_CONFIG_HOME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.policy.values import CompiledPolicy


def unpinned(environ: Mapping[str, str], policy: CompiledPolicy, argv: Sequence[str] = ()) -> str:
    """Why `environ` does not pin opencode to the gateway of `policy`, "" if it does; `argv` is not
    asked.

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
    wrong = elsewhere(addresses, policy)
    if wrong:
        return wrong
    places = Directories(own)
    if REAL_CONFIG_HOME not in environ or environ.get("XDG_CONFIG_HOME") != places.config:
        return "its config home is not the private one of a guarded launch"
    if environ.get("OPENCODE_TEST_HOME") != places.home:
        return "its ~/.opencode is not the private one of a guarded launch"
    return unset(environ, SWITCHES)
