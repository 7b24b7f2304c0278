"""What one policy file may say: the tables its TOML is checked against.

Every field has the value that holds when no layer sets it; whether a file set it is
`model_fields_set`. Values of a `Literal` stand from the loosest to the strictest: the merge
reads the order from here. Descriptions and defaults go into the JSON Schema and docs/policy.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from guard.catalog import agents as known_agents
from guard.policy.accepted import (
    OTHERS,
    Argument,
    BaseUrl,
    CaFile,
    ConfigSlug,
    HookEvent,
    ModelId,
    ModelRef,
    Moment,
    Port,
    ProviderName,
    ProxyUrl,
    Reason,
    RemovableName,
    ServerName,
    Sha256,
    Slug,
    SourceProvider,
    Subject,
    Title,
    Until,
    VariableName,
    refuse,
)
from guard.policy.values import BASE_URL, DEFAULT_MODEL, KEY_ENV, KEY_TIMEOUT

MAX_ITEMS: Final = 1000
"""Items in one list or table: a file from somebody else cannot make every launch slow."""


class Section(BaseModel):
    """A table of the policy: no other keys, no coercion, no change after reading."""

    # built when first used: `Policy` alone is, with all others in it
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class KeySource(Section):
    """Where the gateway key comes from: a variable, or a command that prints it."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["env"]}, {"required": ["command"]}]}
    )

    env: VariableName = Field(default="", description="the environment variable that holds it")
    command: list[Argument] = Field(
        default=[],
        min_length=1,
        max_length=100,
        description="the command that prints it, one word an item; no shell is involved",
    )
    timeout: float = Field(
        default=KEY_TIMEOUT, gt=0, le=300, description="seconds the command may take"
    )

    @model_validator(mode="before")
    @classmethod
    def _literal(cls, value: object) -> object:
        if isinstance(value, str):
            raise PydanticCustomError(
                "literal_key",
                "accepted: {accepted}",
                {
                    "accepted": "a table that says where the key comes from",
                    "fix": f'key = {{ env = "{KEY_ENV}" }}, or key = {{ command = ["op", "read",'
                    ' "op://vault/portkey/key"] }; if it is a key, it has been on disk: rotate it',
                },
            )
        return value

    @model_validator(mode="after")
    def _one(self) -> KeySource:
        named = self.model_fields_set & {"env", "command"}
        if len(named) != 1:
            raise refuse("exactly one of env and command")
        if "timeout" in self.model_fields_set and "env" in named:
            raise refuse("timeout only beside command")
        return self


class Provider(Section):
    """One entry of gateway.providers: one way into the gateway."""

    name: Title = Field(default="", description="what the agent shows; default: the entry's name")
    slug: Slug = Field(
        default="", description="the Portkey provider to use: x-portkey-provider: @slug"
    )
    config: ConfigSlug = Field(default="", description="the Portkey config: x-portkey-config")
    key: KeySource = Field(
        default_factory=lambda: KeySource.model_construct(),
        description="its own key; default: gateway.key",
    )
    models: list[ModelId] = Field(
        default=[], max_length=MAX_ITEMS, description="the models the agent may choose"
    )


class Gateway(Section):
    """The only permitted destination."""

    base_url: BaseUrl = Field(default=BASE_URL, description="where every call goes")
    ca: CaFile = Field(
        default="",
        description="the PEM file of a certificate authority that is trusted as well, for the"
        " agent and the gateway: a company's TLS inspection",
    )
    proxy: ProxyUrl = Field(
        default="",
        description="the HTTP proxy through which the agent and routeguard reach the network",
    )
    key: KeySource = Field(
        default=KeySource.model_construct(_fields_set={"env"}, env=KEY_ENV),
        description="where the gateway key comes from",
        json_schema_extra={"default": {"env": KEY_ENV}},
    )
    default: ModelRef = Field(
        default=DEFAULT_MODEL, description="the model of a launch that names none"
    )
    small: ModelRef = Field(
        default="", description="the model for titles and summaries; default: gateway.default"
    )
    providers: dict[ProviderName, Provider] = Field(
        default={}, max_length=100, description="the providers the agent gets; default: portkey"
    )


class Keys(Section):
    """Keys that reach a model provider directly."""

    action: Literal["flag", "scrub"] = Field(
        default="scrub", description="what happens to them: report or remove"
    )
    extra: list[RemovableName] = Field(
        default=[], max_length=MAX_ITEMS, description="more variables that count as such keys"
    )
    unknown: Literal["ignore", "flag"] = Field(
        default="flag", description="names that look like an API key of an unknown service"
    )


class Proxies(Section):
    """Local proxies: what listens on this machine, or is named as HTTP proxy, but the gateway."""

    action: Literal["flag", "refuse", "stop"] = Field(
        default="refuse",
        description="one that listens, or that HTTP_PROXY names: report, refuse the launch,"
        " or stop the listener; one that cannot be stopped refuses",
    )
    prompt: Literal["off", "flag", "refuse"] = Field(
        default="refuse",
        description="a command typed in a hooked shell that starts one: run, report or refuse",
    )
    fence: Literal["off", "try", "require"] = Field(
        default="off",
        description="cut an agent off from the ports of local proxies (Linux 6.7 or later):"
        " `try` continues where the kernel cannot, `require` refuses",
    )
    hold: list[Port] = Field(
        default=[],
        max_length=MAX_ITEMS,
        description="more ports that `ports hold` and the fence take, beside the catalogue's own",
    )


class Provable(Section):
    """When an agent has to prove its route on this machine before it starts."""

    prove: Literal["off", "first-use", "always"] = Field(
        default="first-use",
        description="before the first launch of a release that was never tried, before each "
        "launch, or (in the system policy alone) never",
    )


class AgentRules(Provable):
    """What one agent may do."""

    foreign_provider: Literal["reroute", "refuse"] = Field(
        default="refuse", description="a model of another provider on the command line"
    )
    reroute: dict[SourceProvider, Slug] = Field(
        default={},
        max_length=MAX_ITEMS,
        description="the Portkey slug that replaces a provider",
    )
    servers: Literal["allow", "refuse"] = Field(
        default="refuse", description="subcommands that serve other programs: serve, web, acp"
    )
    project_config: Literal["read", "ignore"] = Field(
        default="read", description="the agent's own config files in a repository"
    )


class AgentRouting(Provable):
    """Where the calls of one agent go behind the gateway."""

    provider: Slug = Field(
        default="", description="the Portkey provider that answers, such as @anthropic-prod"
    )
    model: ModelId = Field(default="", description="the model of a call that names none")


class TwoModels(AgentRouting):
    """The same, for an agent with a second model."""

    small: ModelId = Field(default="", description="the model of small tasks such as titles")


class OwnServers(AgentRouting):
    """The same, for an agent that can be given some of the user's own MCP servers."""

    mcp: list[ServerName] = Field(
        default=[],
        max_length=MAX_ITEMS,
        description="the MCP servers of your own settings that a guarded launch starts",
    )


class OwnCode(TwoModels, OwnServers):
    """The same, for an agent with both, that can be held to some models, and that can be given
    some of the user's own hooks."""

    models: list[ModelId] = Field(
        default=[],
        max_length=MAX_ITEMS,
        description="the only models that it may ask for; without it, any",
    )

    hooks: list[HookEvent] = Field(
        default=[],
        max_length=MAX_ITEMS,
        description="the events at which hooks of your own settings run in a guarded launch",
    )


GuardedAgent = Literal["opencode", "claude-code", "codex"]
GUARDED: Final = get_args(GuardedAgent)
"""The ids of the agents that can be guarded."""


class OtherAgent(Section):
    """What the hook does with an agent that cannot be guarded."""

    launch: Literal["leave", "clean", "refuse"] = Field(
        default="leave",
        description="a start of it: as it is, without keys and unguarded, or not at all",
    )


class RefusedAgent(Section):
    """The same, for an agent that is refused by default."""

    launch: Literal["clean", "refuse"] = Field(
        default="refuse", description="a start of it: without keys and unguarded, or not at all"
    )


class NamedAgents(Section):
    """The tables of agents that can be guarded."""

    guard: list[GuardedAgent] = Field(
        default=list(GUARDED),
        max_length=len(GUARDED),
        description="the agents that are guarded; the others are left as they are",
    )
    opencode: AgentRules = Field(default_factory=AgentRules)
    claude_code: OwnCode = Field(default_factory=OwnCode, alias="claude-code")
    codex: OwnServers = Field(default_factory=OwnServers)


def _table(agent: known_agents.Agent) -> tuple[type[Section], Any]:
    kind = RefusedAgent if agent.launch == "refuse" else OtherAgent
    return kind, Field(default_factory=kind, alias=agent.id)


if TYPE_CHECKING:
    Agents = NamedAgents
else:
    Agents = create_model(
        "Agents",
        __base__=NamedAgents,
        __doc__="Which agents are guarded, and what each may do: a table for each, by its id.",
        **{name.replace("-", "_"): _table(agent) for name, agent in OTHERS.items()},
    )


def _tables(kind: type[Section]) -> dict[str, tuple[str, ...]]:
    return {
        info.alias or name: tuple(
            key for key in info.annotation.model_fields if key not in Provable.model_fields
        )
        for name, info in Agents.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, kind)
    }


AGENT_TABLES: Final = tuple(_tables(AgentRules))
"""The agents that have a table [agents.ID] with rules."""

ROUTED_TABLES: Final = _tables(AgentRouting)
"""The agents that have a table [agents.ID] with a route of their own, and its keys."""

PROVED_TABLES: Final = tuple(_tables(Provable))
"""The agents that can be told when to prove their route."""

FORMER_TABLES: Final = AGENT_TABLES[:1]
"""Agents whose table was called [ID] before there was [agents]; that name is still read."""


class Audit(Section):
    """The log of launches, refusals and exceptions."""

    required: Literal[False, True] = Field(
        default=False, description="refuse a launch that cannot be written to the audit log"
    )


class Environment(Section):
    """The environment of a launched agent."""

    remove: list[RemovableName] = Field(
        default=[], max_length=MAX_ITEMS, description="more variables to remove from it"
    )


class Exemption(Section):
    """One [[exception]]: a reasoned, expiring allowance."""

    subject: Subject = Field(description="what is allowed")
    reason: Reason = Field(description="why")
    until: Until = Field(description="the last day, or moment, on which it holds")
    sha256: Sha256 = Field(default="", description="of the file; required for file: subjects")
    added: Moment = Field(default=None, description="when; `routeguard allow` writes it")

    @model_validator(mode="after")
    def _digest(self) -> Exemption:
        if self.subject.startswith("file:") != ("sha256" in self.model_fields_set):
            raise refuse(
                "sha256 beside every file: subject, and only there",
                "so that another file in the same place is not allowed: sha256sum FILE",
            )
        return self


def _whole(value: object) -> object:
    if isinstance(value, bool):
        raise refuse("1")
    return value


class Policy(Section):
    """A routeguard policy file."""

    model_config = ConfigDict(title="routeguard policy")

    schema_: Annotated[Literal[1], BeforeValidator(_whole)] = Field(
        default=1, alias="schema", description="the version of this format"
    )
    user_exceptions: Literal["accept", "refuse"] = Field(
        default="accept", description="whether [[exception]] in the user's own policy counts"
    )
    gateway: Gateway = Field(default_factory=Gateway)
    keys: Keys = Field(default_factory=Keys)
    proxies: Proxies = Field(default_factory=Proxies)
    agents: Agents = Field(default_factory=Agents)
    audit: Audit = Field(default_factory=Audit)
    environment: Environment = Field(default_factory=Environment)
    exception: list[Exemption] = Field(
        default=[], max_length=MAX_ITEMS, description="reasoned, expiring allowances"
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a policy file, for editors that complete and check TOML."""
    schema = _tidy(Policy.model_json_schema(by_alias=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "routeguard policy",
        **schema,
    }


def _tidy(schema: Any) -> Any:
    """`schema` without what pydantic adds for Python's sake: titles, and defaults for "not set"."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "patternProperties"):
            out[key] = {name: _tidy(item) for name, item in value.items()}
        elif key == "title" or (key == "default" and value in ("", [], {}, None)):
            continue
        else:
            out[key] = value if key == "default" else _tidy(value)
    if "patternProperties" in out:
        out["additionalProperties"] = False
    return out
