"""What people call a local proxy, whatever the catalogue calls it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from guard.catalog import local_proxies
from guard.proxies.found import PROXY, Found


def of(found: Found) -> set[str]:
    """What `found` is called: what its catalogue entry is, and its program. In lower case.

    What is no proxy answers to its program's name only, so that it can be refused by name.
    """
    names = {found.process.program.casefold()} if found.process is not None else set()
    if found.verdict == PROXY:
        names |= _called(found.proxy, found.name)
    return names - {""}


def is_known(name: str) -> bool:
    """Whether a proxy of the catalogue is called `name`, in lower case."""
    return any(name in _called(proxy.id, proxy.name) for proxy in local_proxies.proxies())


def _called(proxy: str, name: str) -> set[str]:
    """Id, name, the first word of the name, and the other names that it has in parentheses.

    "some-long-name (sln)" is called `sln`, "Portkey's open-source gateway" `portkey`, too.
    """
    plain, _, aliases = name.partition(" (")
    first = plain.partition(" ")[0].removesuffix("'s")
    names = {proxy, name, plain, first, *aliases.rstrip(")").split(", ")}
    return {one.casefold() for one in names if one}


def near(name: str, here: Iterable[Found]) -> str:
    """What is probably meant by `name`: a name of those `here`, else of the catalogue; or ""."""
    listening = {word for found in here for word in of(found)}
    known = {word for proxy in local_proxies.proxies() for word in _called(proxy.id, proxy.name)}
    meant = get_close_matches(name, sorted(listening), n=1) or get_close_matches(
        name, sorted(known), n=1, cutoff=0.7
    )
    return meant[0] if meant else ""
