"""Whose the addresses are that an agent is connected to."""

from __future__ import annotations

import concurrent.futures
import socket

from guard import net
from guard.agents.connected import GATEWAY, PROVIDER
from guard.catalog import entries
from guard.policy.values import CompiledPolicy
from guard.proxies.find import find_listeners
from guard.sources.listener import SocketsUnreadableError
from guard.sources.sockets import listening

RESOLVE_SECONDS = 3.0
"""How long all name lookups together may take."""


def resolve_hosts(base_url: str, limit: float = RESOLVE_SECONDS) -> dict[str, tuple[str, str]]:
    """Addresses of the gateway and of the providers in the catalogue, as they resolve now.

    One forward lookup per name, all within `limit` seconds; a name that has no answer by then is
    left out. An address that several share is the gateway's first.
    """
    gateway = net.host_of(base_url)
    providers = sorted(
        provider.host
        for provider in entries.providers().values()
        if provider.host and not provider.api
    )
    wanted = dict.fromkeys([gateway, *providers])
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=16)
    asked = {pool.submit(_addresses, host): host for host in wanted}
    done, _ = concurrent.futures.wait(asked, timeout=limit)
    # a lookup that hangs must not keep us: its thread ends with the process
    pool.shutdown(wait=False, cancel_futures=True)
    answers = {asked[future]: future.result() for future in done}
    found: dict[str, tuple[str, str]] = {}
    for host in wanted:
        kind = GATEWAY if host == gateway else PROVIDER
        for address in answers.get(host, ()):
            found.setdefault(address, (kind, host))
    return found


def programs_behind(ports: set[int], policy: CompiledPolicy) -> dict[int, str]:
    """The names of what listens on these ports of this machine, as far as they can be known."""
    try:
        listeners = [one for one in listening() if one.port in ports]
    except SocketsUnreadableError:
        return {}
    return {
        found.port: found.name or (found.process.program if found.process else "")
        for found in find_listeners(listeners, gateway=policy.base_url, proxy=policy.gateway_proxy)
    }


def _addresses(host: str) -> list[str]:
    try:
        answers = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(answer[4][0]).partition("%")[0] for answer in answers]
