"""Whether a local proxy listens, asked at every launch.

Hot-path module. One question to the kernel; sockets that were judged harmless in the last ten
minutes, and whose owners are still the same processes that run the same programs, are not judged
again: only what is new is looked at by `guard.proxies.find`. What systemd holds for a service and
what did not answer is not remembered.
"""

from __future__ import annotations

import sys

from guard.sources import sockets
from guard.sources.listener import SocketsUnreadableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guard.policy.values import CompiledPolicy
    from guard.proxies.found import Found
    from guard.sources.listener import Listener


def glance(
    policy: CompiledPolicy,
    environ: Mapping[str, str],
    now: float,
    *,
    write: bool = True,
    listening: Callable[[], list[Listener]] | None = None,
) -> list[Found]:
    """The local proxies that listen and that no exception `port:N` allows, by port.

    `now` is in Unix seconds. `write` False leaves no trace on disk. `listening` reads the sockets.

    Raises SocketsUnreadableError if what listens cannot be read, unless a proxy was met by
    connecting to the catalogue's ports.
    """
    try:
        listeners = (listening or sockets.listening)()
    except SocketsUnreadableError:
        met = _judged(policy, _met(frozenset()), now, [])
        if not met:
            raise
        return met
    if sys.platform == "linux" and sockets.mirrored():
        # listeners of Windows are seen by connecting alone
        listeners = listeners + _met(frozenset(one.port for one in listeners))
    listeners = [one for one in listeners if not _allowed(one, policy, now)]
    if not listeners:
        return []
    from guard.proxies.harmless import (  # not for a launch where nothing listens
        HarmlessListeners,
        owners,
    )

    known = HarmlessListeners(environ)
    known.read(now)
    # before they are judged: what becomes another program meanwhile is judged again
    owner = owners(listeners)
    new = [one for one in listeners if not known.harmless(one, owner.get(one))]
    if not new:
        return []
    settled: list[Listener] = []
    found = _judged(policy, new, now, settled)
    remembered = {one: owner[one] for one in settled if one in owner and known.key(one)}
    if write and remembered:
        known.write(remembered, listeners, now)
    return found


def _allowed(listener: Listener, policy: CompiledPolicy, now: float) -> bool:
    from guard.proxies.gateway import is_gateway

    if policy.excepted(f"port:{listener.port}", now) is not None:
        return True
    return any(
        is_gateway(listener.port, (listener,), url)
        for url in (policy.base_url, policy.gateway_proxy)
    )


def _judged(
    policy: CompiledPolicy, listeners: Iterable[Listener], now: float, settled: list[Listener]
) -> list[Found]:
    """The forbidden ones; `settled` gets the listeners that need no second look for a while."""
    listeners = [one for one in listeners if not _allowed(one, policy, now)]
    if not listeners:
        return []
    from guard.packages import make_importable

    make_importable()  # psutil, on macOS
    from guard.proxies.find import judge_listeners

    forbidden = []
    for judgement in judge_listeners(listeners, gateway=policy.base_url, strangers=False):
        if judgement.found.forbidden:
            forbidden.append(judgement.found)
        elif judgement.settled:
            settled.extend(judgement.found.listeners)
    return forbidden


def _met(seen: frozenset[int]) -> list[Listener]:
    from guard.catalog.local_proxies import default_ports

    return sockets.accepting(default_ports() - seen)
