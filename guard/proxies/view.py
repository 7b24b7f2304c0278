"""What listens on this machine, and what the policy says of each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guard.catalog import local_proxies
from guard.proxies.find import find_listeners
from guard.proxies.found import UNKNOWN, Found
from guard.sources import sockets
from guard.sources.listener import Listener, SocketsUnreadableError

if TYPE_CHECKING:
    from guard.policy.values import CompiledPolicy, PolicyException

ORDER = ("forbidden", "unknown", "allowed", "other")
"""The states, what matters most first."""


@dataclass(frozen=True, slots=True)
class Listening:
    """One listening program, and the exception that allows it, if there is one."""

    found: Found
    exception: PolicyException | None = None

    @property
    def state(self) -> str:
        """What the policy says: forbidden, allowed, unknown (on a catalogue port) or other."""
        if self.found.forbidden:
            return "allowed" if self.exception is not None else "forbidden"
        known_port = self.found.port in local_proxies.default_ports()
        return "unknown" if self.found.verdict == UNKNOWN and known_port else "other"


@dataclass(frozen=True, slots=True)
class View:
    """Everything that listens, forbidden first; `remark` says what could not be looked at."""

    seen: tuple[Listening, ...]
    remark: str = ""

    def rows(self, everything: bool) -> list[Listening]:
        return [one for one in self.seen if everything or one.state != "other"]

    @property
    def forbidden(self) -> list[Listening]:
        return [one for one in self.seen if one.state == "forbidden"]


def view_listeners(policy: CompiledPolicy, *, containers: bool = True) -> View:
    """What listens now, under `policy`; without `containers` no container engine is asked."""
    listeners, remark = _listeners()
    now = time.time()
    seen = [
        Listening(one, policy.excepted(f"port:{one.port}", now))
        for one in find_listeners(
            listeners, gateway=policy.base_url, proxy=policy.gateway_proxy, containers=containers
        )
    ]
    seen.sort(key=lambda one: (ORDER.index(one.state), one.found.port))
    return View(tuple(seen), remark)


def _listeners() -> tuple[list[Listener], str]:
    try:
        listeners = sockets.listening()
    except SocketsUnreadableError as error:
        tried = sockets.accepting(sorted(local_proxies.default_ports()))
        return tried, f"only the default ports of known proxies were checked: {error}"
    if sockets.mirrored():
        # Windows' own listeners answer here and are in no table of this kernel
        known = {listener.port for listener in listeners}
        others = sorted(local_proxies.default_ports() - known)
        listeners = [*listeners, *sockets.accepting(others)]
    return listeners, ""
