"""The checks of the gateway: the key, the way there, who signed its certificate."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from guard import net, shells
from guard.doctor.result import Diagnosis, broken, of_error, ok, skipped, warning
from guard.errors import GuardError

if TYPE_CHECKING:
    from guard.doctor.context import Context
    from guard.portkey.answer import GatewayError

_UNREACHED = "the gateway was not reached"


def key(context: Context) -> Iterator[Diagnosis]:
    """Is the gateway key there, and could it be one of Portkey's?"""
    if isinstance(context.key, GuardError):
        yield of_error(context.key)
        return
    yield ok(f"there, from {context.key.source}")
    for entry in context.policy.providers:
        if entry.lacks_key(context.environ):
            yield warning(
                f"{entry.key_env} is not set: models of the entry {entry.name} are refused",
                shells.export(entry.key_env),
                "RG106",
            )


def reachable(context: Context) -> Iterator[Diagnosis]:
    """Does the gateway's name resolve, and can its port be reached?"""
    host, port, variable, proxy = _way(context)
    place = net.authority(host, port)
    through = f" through the proxy {net.authority(*net.address(proxy))} ({variable})" * bool(proxy)
    try:
        _connection(context)().close()
    except socket.gaierror:
        name = net.host_of(proxy) if proxy else host
        yield broken(f"cannot resolve {name} (offline?)", "check the network and DNS")
    except OSError as error:
        reason = error.strerror or str(error) or "no answer"
        yield broken(f"cannot reach {place}{through}: {reason}", "check the network and the proxy")
    else:
        yield ok(f"{place} can be reached{through}")


def tls(context: Context) -> Iterator[Diagnosis]:
    """Which CA signed the gateway's certificate?"""
    from guard.portkey import network
    from guard.portkey import tls as handshake

    host, _, _, _ = _way(context)
    if not context.policy.base_url.startswith("https:"):
        yield skipped(f"{context.policy.base_url} is plain HTTP")
        return
    connect = _connection(context)
    fix = network.inspected_fix(context.environ, context.policy)
    try:
        found = handshake.chain(connect, host, network.certificates(context.policy))
        by_policy = found.trusted and not found.public and _by_policy(context, connect, host)
    except ssl.SSLError as error:
        yield broken(f"no TLS handshake: {error.reason or 'it failed'}", "try another network")
        return
    except OSError:
        yield skipped(_UNREACHED)
        return
    told = (
        f"TLS inspection? The certificate of {host} is signed by {found.issuer}, which is no "
        "public CA"
    )
    if found.public:
        yield ok(f"signed by {found.issuer}, a public CA")
    elif by_policy:
        yield ok(f"signed by {found.issuer}, no public CA; trusted by gateway.ca of your policy")
    elif found.trusted:
        yield warning(f"{told}. This system trusts it; an agent may not", fix)
    elif found.unknown_ca:
        yield broken(network.inspected(found.issuer), fix)
    else:
        yield broken(f"the certificate of {host} is refused: {found.reason}", "try another network")


def _by_policy(context: Context, connect: Callable[[], socket.socket], host: str) -> bool:
    """Whether the certificates of the policy verify the connection by themselves."""
    from guard.portkey import tls as handshake

    file = context.policy.gateway_ca
    return bool(file) and handshake.is_trusted(
        connect, host, ssl.create_default_context(cafile=file)
    )


def accepted(context: Context) -> Iterator[Diagnosis]:
    """Does the gateway know the key?"""
    if isinstance(context.key, GuardError):
        yield skipped("there is no key to ask with")
        return
    from guard.portkey.answer import GatewayError, require
    from guard.portkey.client import Timeouts
    from guard.portkey.session import open_client

    timeouts = Timeouts(connect=3.0, read=6.0, whole=7.0)
    nobody: Callable[[str], None] = lambda _: None  # noqa: E731
    try:
        with open_client(
            context.policy, context.environ, context.key, progress=nobody, timeouts=timeouts
        ) as client:
            require(client.get("/models"))
    except GatewayError as error:
        yield _refusal(error)
    else:
        yield ok("the gateway knows the key")


def _refusal(error: GatewayError) -> Diagnosis:
    if error.kind in ("dns", "offline", "tls"):
        return skipped(_UNREACHED)  # a check of its own says why
    if error.kind == "open-source-gateway":
        return ok("an open-source gateway: it hands calls on and knows no keys of its own")
    if error.kind == "missing-scope":
        return ok("the gateway knows the key, which may not list models")
    return of_error(error)


def _way(context: Context) -> tuple[str, int, str, str]:
    """Host and port of the gateway; the variable and the URL of the proxy, "" without one.

    Raises GuardError (RG104) for a proxy that the policy does not allow.
    """
    from guard.portkey import network

    host, port = net.address(context.policy.base_url)
    variable, proxy = network.proxy(context.policy.base_url, context.environ, context.policy)
    return host, port, variable, proxy


def _connection(context: Context) -> Callable[[], socket.socket]:
    from guard.portkey import tls as handshake

    host, port, _, proxy = _way(context)
    return lambda: handshake.connection(host, port, proxy)
