"""Which URLs are calls to a model: hosts, their paths, the ports of local proxies. Cold path."""

from __future__ import annotations

from functools import cache

from guard.catalog import entries

# parts of an API's host name, in front of the last two; a host without one may be a website
_API_WORDS = frozenset(
    (
        "api", "apis", "apihub", "inference", "infer", "gateway", "router", "llm", "aiplatform",
        "generativelanguage", "dashscope", "models", "endpoints", "token", "coding", "tokenhub",
        "maas", "routellm",
    )
)  # fmt: skip

_API_ROOTS = ("v1", "api")


def is_provider_url(host: str, path: str) -> bool:
    """Whether a request to `path` (begins with "/", or empty) at `host` reaches a model provider.

    `host` is lower case without port. Hosts that also serve a website count only below the path
    of their API.
    """
    first = path.lstrip("/").partition("/")[0].partition("?")[0]
    if first in entries.data("endpoints.toml")["pages"]["first"]:
        return False
    known = _paths().get(host)
    if known is not None:
        labels = host.split(".")[:-2]
        words = [word for label in labels for word in label.split("-")]
        if "" in known or not _API_WORDS.isdisjoint(words):
            return True
        return first in _API_ROOTS or any(
            path == start or path.startswith(start + "/") for start in known
        )
    api = entries.data("endpoints.toml")["api"]
    if host in api["hosts"] or host.endswith(tuple(api["suffixes"])):
        return True
    bedrock = entries.data("endpoints.toml")["bedrock"]
    return host.startswith(tuple(bedrock["prefixes"])) and host.endswith(tuple(bedrock["suffixes"]))


def is_gateway_host(host: str) -> bool:
    """Whether `host` (lower case) is one of Portkey's own."""
    suffixes: list[str] = entries.data("endpoints.toml")["gateway"]["suffixes"]
    return host.endswith(tuple(suffixes)) or any(host == end[1:] for end in suffixes)


@cache
def _paths() -> dict[str, frozenset[str]]:
    """The hosts that serve models, each with the paths below which it does; "" is everywhere."""
    found: dict[str, set[str]] = {host: set() for host in entries.hosts()}
    for provider in entries.providers().values():
        if provider.host in found:
            _, _, rest = provider.api.partition("://")
            path = "/" + rest.partition("/")[2] if "/" in rest else ""
            start = path.partition("$")[0].rstrip("/")
            found[provider.host].add(start)
    return {host: frozenset(paths) for host, paths in found.items()}
