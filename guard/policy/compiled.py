"""The compiled policy: the few plain values a launch needs, and the cache they come from.

Hot-path module: a cached load reads one file and compares `stat` results. What it was compiled
from is recorded beside the values; anything that differs, or that looks touched, is compiled
again from the layers. The cache holds names of variables and key commands, never a key.
"""

from __future__ import annotations

import os
import time

from guard.errors import PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

BASE_URL = "https://api.portkey.ai/v1"
KEY_ENV = "PORTKEY_API_KEY"
DEFAULT_MODEL = "portkey/gpt-4o"
KEY_TIMEOUT = 10.0
"""Seconds a key command may take."""


class GatewayProvider:
    """One way into the gateway: what the agent sees as a provider.

    `name` is the id in `name/model`; `title` is what people see; `slug` (no `@`) and `config`
    are empty or go into `x-portkey-provider` and `x-portkey-config`. The key comes from the
    variable `key_env`, or, if that is empty, from `key_command` within `key_timeout` seconds.
    """

    __slots__ = (
        "config",
        "key_command",
        "key_env",
        "key_timeout",
        "models",
        "name",
        "slug",
        "title",
    )

    def __init__(
        self,
        *,
        name: str = "portkey",
        title: str = "Portkey",
        slug: str = "",
        config: str = "",
        key_env: str = KEY_ENV,
        key_command: tuple[str, ...] = (),
        key_timeout: float = KEY_TIMEOUT,
        models: tuple[str, ...] = ("gpt-4o",),
    ) -> None:
        self.name = name
        self.title = title
        self.slug = slug
        self.config = config
        self.key_env = key_env
        self.key_command = key_command
        self.key_timeout = key_timeout
        self.models = models

    def __repr__(self) -> str:
        return f"GatewayProvider({self.name!r})"


class PolicyException:
    """A reasoned, expiring allowance. `until` is in Unix seconds, inclusive."""

    __slots__ = ("reason", "sha256", "subject", "until")

    def __init__(
        self, *, subject: str, reason: str = "", until: float = 0.0, sha256: str = ""
    ) -> None:
        self.subject = subject
        self.reason = reason
        self.until = until
        self.sha256 = sha256

    def __repr__(self) -> str:
        return f"PolicyException({self.subject!r}, until={self.until!r})"


class CompiledPolicy:
    """What is allowed, as plain values. The defaults are the policy of a machine with no file.

    `default_model` and `small_model` are `provider/model`; `reroute` maps a provider id to a
    slug without `@`; `variables` maps a name to its (kind, owner); `layers` are the (layer name,
    path) pairs that exist; `notes` say what a layer asked for and was not given.
    """

    __slots__ = (
        "base_url",
        "default_model",
        "exceptions",
        "foreign_provider",
        "keys_action",
        "keys_extra",
        "keys_unknown",
        "layers",
        "notes",
        "project_config",
        "providers",
        "proxies_action",
        "remove",
        "reroute",
        "servers",
        "small_model",
        "variables",
    )

    def __init__(
        self,
        *,
        base_url: str = BASE_URL,
        providers: tuple[GatewayProvider, ...] | None = None,
        default_model: str = DEFAULT_MODEL,
        small_model: str = "",
        keys_action: str = "scrub",
        keys_extra: tuple[str, ...] = (),
        keys_unknown: str = "flag",
        proxies_action: str = "refuse",
        foreign_provider: str = "refuse",
        reroute: Mapping[str, str] | None = None,
        servers: str = "refuse",
        project_config: str = "read",
        remove: tuple[str, ...] = (),
        exceptions: tuple[PolicyException, ...] = (),
        variables: Mapping[str, tuple[str, str]] | None = None,
        layers: tuple[tuple[str, str], ...] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        self.base_url = base_url
        self.providers = (GatewayProvider(),) if providers is None else providers
        self.default_model = default_model
        self.small_model = small_model or default_model
        self.keys_action = keys_action
        self.keys_extra = keys_extra
        self.keys_unknown = keys_unknown
        self.proxies_action = proxies_action
        self.foreign_provider = foreign_provider
        self.reroute = dict(reroute or {})
        self.servers = servers
        self.project_config = project_config
        self.remove = remove
        self.exceptions = exceptions
        self.variables = dict(variables or {})
        self.layers = layers
        self.notes = notes

    def excepted(self, subject: str, now: float | None = None) -> PolicyException | None:
        """The exception that allows `subject` at `now` (Unix seconds, by default the clock).

        For a `file:` subject the caller still has to compare the file's SHA-256.
        """
        if not self.exceptions:
            return None
        wanted = normal_subject(subject)
        moment = time.time() if now is None else now
        for exception in self.exceptions:
            if exception.until >= moment and normal_subject(exception.subject) == wanted:
                return exception
        return None

    def provider(self, name: str) -> GatewayProvider | None:
        """The gateway provider called `name`, or None: then `name` does not lead to the gateway."""
        for provider in self.providers:
            if provider.name == name:
                return provider
        return None

    @property
    def default_provider(self) -> GatewayProvider:
        """The provider of `default_model`.

        Raises PolicyError if the policy names none of that id: a policy made by hand in code,
        since compiling checks it.
        """
        name = self.default_model.partition("/")[0]
        provider = self.provider(name)
        if provider is None:
            raise PolicyError(
                f"the default model names a provider the policy does not have: {name}",
                fix="name one of gateway.providers in gateway.default",
            )
        return provider


def normal_subject(subject: str) -> str:
    """`subject` in the form in which two spellings of the same thing are equal.

    A server's URL does not depend on a trailing slash, a host not on case.
    """
    kind, _, rest = subject.partition(":")
    if kind == "server":
        return "server:" + rest.rstrip("/")
    if kind == "proxy":
        return "proxy:" + rest.lower()
    return subject
