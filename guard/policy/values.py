"""The compiled policy: the few plain values a launch needs.

Hot-path module.
"""

from __future__ import annotations

import time

from guard.errors import PolicyError
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

BASE_URL = "https://api.portkey.ai/v1"

KEY_ENV = "PORTKEY_API_KEY"

DEFAULT_MODEL = "portkey/gpt-4o"

KEY_TIMEOUT = 10.0
"""Seconds a key command may take."""


class GatewayProvider(Record):
    """One way into the gateway: what the agent sees as a provider.

    `name` is the id in `name/model`; `title` is what people see; `slug` (no `@`) and `config`
    are empty or go into `x-portkey-provider` and `x-portkey-config`. The key comes from the
    variable `key_env`, or, if that is empty, from `key_command` within `key_timeout` seconds.
    """

    name: str = "portkey"
    title: str = "Portkey"
    slug: str = ""
    config: str = ""
    key_env: str = KEY_ENV
    key_command: tuple[str, ...] = ()
    key_timeout: float = KEY_TIMEOUT
    models: tuple[str, ...] = ("gpt-4o",)

    def lacks_key(self, environ: Mapping[str, str]) -> bool:
        """Whether the variable that holds the key is not set, or blank; a command is not run."""
        return bool(self.key_env) and not environ.get(self.key_env, "").strip()


class AgentRoute(Record):
    """Where the calls of `agent` (an id) go behind the gateway, if not to the default model.

    `provider` is a slug without `@`, `model` and `small` are model names; "" for none. `models` are
    the only ones that may be asked for, any if there are none. `mcp` are
    the names of the user's own MCP servers that a launch starts, `hooks` the events at which hooks
    of the user's own run.
    """

    agent: str
    provider: str = ""
    model: str = ""
    small: str = ""
    models: tuple[str, ...] = ()
    mcp: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()


class OtherAgent(Record):
    """An agent that cannot be guarded, and whose launches are cleaned or refused.

    `launch` is "clean" or "refuse", `layer` the one that says so ("default" for none). `names` are
    all that one types for it; those among `scripts` count where they are one, those among
    `commands` where one of `paths` (regular expressions) is what they start. The other fields are
    those of guard/catalog/agents.toml.
    """

    agent: str
    title: str = ""
    launch: str = "refuse"
    layer: str = "default"
    names: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    unpinned: str = ""
    vendor: str = ""
    sets: dict[str, str] = {}  # noqa: RUF012 - Record copies it
    still: str = ""


class PolicyException(Record):
    """A reasoned, expiring allowance. `until` is in Unix seconds, inclusive."""

    subject: str
    reason: str = ""
    until: float = 0.0
    sha256: str = ""


class CompiledPolicy(Record):
    """What is allowed, as plain values. The defaults are the policy of a machine with no file.

    `gateway_ca` is the path of a PEM file and `gateway_proxy` a URL, "" for none. `default_model`
    and `small_model` are `provider/model`; `reroute` maps a provider id to a slug without `@`;
    `exceptions_refused_by` is the layer that accepts none of users, "" if they count; `routes` are
    those of agents that have their own; `unguarded` are the ids of agents that are left alone,
    `others` the agents that cannot be guarded and are not left alone;
    `prove` maps the id of an agent to when it has to prove its route, where that is not
    "first-use"; `variables` maps a name to its (kind, owner), `harmless` are those that are no
    finding where they are set; `layers` are the (layer name, path) pairs that exist; `notes` say
    what a layer asked for and was not given; `proxies_hold` are TCP ports, sorted; `proxy_ports`
    are those of the catalogue that only local proxies use, empty for a policy that was not
    compiled, as are `proxy_programs`, `proxy_images` and `proxy_names`, which hooks look for in a
    typed line (`local_proxies.needles`).
    """

    base_url: str = BASE_URL
    gateway_ca: str = ""
    gateway_proxy: str = ""
    providers: tuple[GatewayProvider, ...] = (GatewayProvider(),)
    default_model: str = DEFAULT_MODEL
    small_model: str = ""
    keys_action: str = "scrub"
    keys_extra: tuple[str, ...] = ()
    keys_unknown: str = "flag"
    proxies_action: str = "refuse"
    proxies_prompt: str = "refuse"
    proxies_fence: str = "off"
    proxies_hold: tuple[int, ...] = ()
    proxy_ports: tuple[int, ...] = ()
    proxy_programs: tuple[str, ...] = ()
    proxy_images: tuple[str, ...] = ()
    proxy_names: tuple[str, ...] = ()
    foreign_provider: str = "refuse"
    reroute: dict[str, str] = {}  # noqa: RUF012 - Record copies it
    servers: str = "refuse"
    routes: tuple[AgentRoute, ...] = ()
    unguarded: tuple[str, ...] = ()
    others: tuple[OtherAgent, ...] = ()
    project_config: str = "read"
    prove: dict[str, str] = {}  # noqa: RUF012
    audit_required: bool = False
    remove: tuple[str, ...] = ()
    exceptions: tuple[PolicyException, ...] = ()
    exceptions_refused_by: str = ""
    variables: dict[str, tuple[str, str]] = {}  # noqa: RUF012
    harmless: frozenset[str] = frozenset()
    layers: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def _complete(self) -> None:
        self.small_model = self.small_model or self.default_model

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

    def refuses(self, agent: OtherAgent, now: float | None = None) -> bool:
        """Whether a start of `agent` is refused at `now`, as in `excepted`."""
        return agent.launch == "refuse" and self.excepted(f"agent:{agent.agent}", now) is None

    def route_of(self, agent: str) -> AgentRoute:
        """The route of the agent with this id, an empty one if it has none of its own."""
        for route in self.routes:
            if route.agent == agent:
                return route
        return AgentRoute(agent=agent)

    def provider(self, name: str) -> GatewayProvider | None:
        """The gateway provider called `name`, or None: then `name` does not lead to the gateway."""
        for provider in self.providers:
            if provider.name == name:
                return provider
        return None

    @property
    def gateway_keys(self) -> frozenset[str]:
        """The variables that hold a key of the gateway."""
        return frozenset(provider.key_env for provider in self.providers if provider.key_env)

    @property
    def default_provider(self) -> GatewayProvider:
        """The provider of `default_model`.

        Raises PolicyError if the policy has none of that name; compiling checks it, so only a
        policy built in code can.
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

    A server's URL does not depend on a trailing slash, a host not on case or on the brackets of an
    IPv6 address, a port not on leading zeros.
    """
    kind, _, rest = subject.partition(":")
    if kind == "server":
        return "server:" + rest.rstrip("/")
    if kind == "proxy":
        host, _, port = rest.lower().rpartition(":")
        if host[:1] == "[" and host[-1:] == "]":
            host = host[1:-1]
        return f"proxy:{host}:{port.lstrip('0')}"
    if kind == "port":
        return "port:" + rest.lstrip("0")
    return subject
