"""What one policy file may say: the models its TOML is checked against.

Every field has the value that holds when no layer sets it; whether a file set it is
`model_fields_set`. Values of a `Literal` stand from the loosest to the strictest: the merge
reads the order from here. Descriptions and defaults go into the JSON Schema and docs/policy.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from guard.catalog import agents as known_agents
from guard.catalog.classify import PREFIXES
from guard.catalog.key_shapes import looks_like_key
from guard.net import host_of, is_loopback, is_plain_loopback
from guard.policy.values import BASE_URL, DEFAULT_MODEL, KEY_ENV, KEY_TIMEOUT

MAX_ITEMS: Final = 1000
"""Items in one list or table: a file from somebody else cannot make every launch slow."""

_RESERVED = frozenset(
    (
        *("HOME", "LANG", "LOGNAME", "OLDPWD", "PATH", "PWD", "SHELL", "TERM", "TMPDIR", "USER"),
        *("NO_PROXY", "no_proxy"),
    )
)
_RESERVED_PREFIXES = (
    *("LC_", "ROUTEGUARD_", "XDG_"),
    *(prefix for prefix, kind, _ in PREFIXES if kind == "agent_redirect"),
)


def reserved(name: str) -> bool:
    """Whether an agent or routeguard itself needs the variable `name`."""
    return name in _RESERVED or name.startswith(_RESERVED_PREFIXES)


def refuse(accepted: str, fix: str = "") -> PydanticCustomError:
    """The error for a value that is not `accepted` (a phrase that completes "accepted: …")."""
    return PydanticCustomError(
        "refused", "accepted: {accepted}", {"accepted": accepted, "fix": fix}
    )


@dataclass(frozen=True)
class Matching:
    """Annotation of a string that must match `pattern` as a whole; `accepted` says it in words."""

    pattern: str
    accepted: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}

    def check(self, value: str) -> str:
        """`value`, if it matches."""
        if not re.fullmatch(self.pattern, value):
            raise refuse(self.accepted)
        return value


# An agent may replace {env:…} and {file:…} in the raw text of its config before it parses the JSON
# (guard.agents.keys), so nothing that goes there may hold a brace, a quote or a backslash.
_PLAIN = r"[^{}\"'\\`\u0000-\u001f\u007f-\u009f\u2028\u2029]"
_MODEL = rf"(?!\s){_PLAIN}{{1,200}}"
_SLUG = r"@?[A-Za-z0-9][A-Za-z0-9._\-]{0,127}"
_PROVIDER = r"[a-z0-9][a-z0-9\-]{0,63}"
_VARIABLE = r"[A-Za-z0-9_]{1,128}"

ProviderName = Annotated[
    str, Matching(_PROVIDER, "a name such as portkey-openrouter: lower-case letters, digits, -")
]
SourceProvider = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}",
        "the id of one of the agent's providers, such as anthropic",
    ),
]
Title = Annotated[
    str, Matching(rf"{_PLAIN}{{1,100}}", "up to 100 characters without { } \" ' ` \\")
]
Slug = Annotated[str, Matching(_SLUG, "the slug of a Portkey provider, such as openrouter-main")]
ConfigSlug = Annotated[
    str,
    Matching(r"pc-[A-Za-z0-9_\-]{1,125}", "the slug of a Portkey config, such as pc-prod-1a2b"),
]
ServerName = Annotated[str, Matching(_MODEL, "the name of an MCP server, without { } \" ' ` \\")]
HookEvent = Annotated[
    str, Matching(r"[A-Z][A-Za-z]{1,63}", "the event of a hook, such as PreToolUse")
]
ModelId = Annotated[str, Matching(_MODEL, "a model id, without { } \" ' ` \\")]
ModelRef = Annotated[
    str, Matching(rf"{_PROVIDER}/{_MODEL}", "PROVIDER/MODEL with a provider of gateway.providers")
]
Reason = Annotated[
    str,
    Matching(
        r"(?=[\s\S]*\S)[^\u0000-\u001f\u007f-\u009f]{1,500}",
        "why it is allowed, one line of text",
    ),
]
Sha256 = Annotated[str, Matching(r"[0-9A-Fa-f]{64}", "64 hexadecimal digits, as sha256sum prints")]


def _environment_name(value: str) -> str:
    if looks_like_key(value):
        raise refuse("the name of a variable, never a key itself")
    return value


VariableName = Annotated[
    str,
    Matching(_VARIABLE, "the name of an environment variable: letters, digits, _"),
    AfterValidator(_environment_name),
]


def _removable(value: str) -> str:
    if reserved(value):
        raise refuse("a variable that neither the agent nor routeguard needs to run")
    return value


RemovableName = Annotated[VariableName, AfterValidator(_removable)]

_MAX_PORT = 65535
NEEDED_PORTS: Final = {53: "DNS", 80: "HTTP", 443: "HTTPS"}
"""Ports that no policy can have held, and what uses them."""


def _port(value: int) -> int:
    if not 0 < value <= _MAX_PORT:
        raise refuse(f"a port from 1 to {_MAX_PORT}")
    if value in NEEDED_PORTS:
        raise refuse(
            "a port other than " + ", ".join(map(str, NEEDED_PORTS)),
            f"{value} is {NEEDED_PORTS[value]}: a fenced agent could not work without it",
        )
    return value


Port = Annotated[
    int,
    AfterValidator(_port),
    Field(
        json_schema_extra={
            "minimum": 1,
            "maximum": _MAX_PORT,
            "not": {"enum": list(NEEDED_PORTS)},
        }
    ),
]


def _argument(value: str) -> str:
    if "\0" in value:
        raise refuse("a word of a command, without a NUL character")
    if looks_like_key(value):
        raise refuse("a command that fetches the key, not one that holds it")
    return value


Argument = Annotated[str, AfterValidator(_argument)]


_BASE_URL_ACCEPTED = "an https URL such as " + BASE_URL
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")


def _base_url(value: str) -> str:
    if not re.fullmatch(rf"(?:(?!\s){_PLAIN})+", value) or not value.isascii():
        raise refuse(_BASE_URL_ACCEPTED + ", without spaces, quotes or { }")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise refuse(_BASE_URL_ACCEPTED) from None
    if "@" in parts.netloc:
        raise refuse(
            "a URL without user or password",
            'put the key into gateway.key: key = { env = "PORTKEY_API_KEY" }',
        )
    if parts.query or parts.fragment or "?" in value or "#" in value:
        raise refuse("a URL without ? and #")
    if not _HOST.fullmatch(host):
        raise refuse(_BASE_URL_ACCEPTED)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_plain_loopback(host)):
        raise refuse(
            "an https URL; http only for this machine itself (localhost, 127.0.0.1, [::1])",
            "without TLS, the key and every prompt can be read on the way",
        )
    return value.rstrip("/")


BaseUrl = Annotated[
    str,
    AfterValidator(_base_url),
    Field(json_schema_extra={"pattern": r"^https?://[^\s{}\"'\\`?#@]+$"}),
]

CaFile = Annotated[
    str,
    Matching(
        rf"/{_PLAIN}{{1,4000}}",
        "the absolute path of a PEM file, such as /etc/ssl/company-ca.pem",
    ),
]

LOCAL_PROXY: Final = "http://127.0.0.1:3128"
"""Where px and cntlm listen by default (github.com/genotrance/px, cntlm(1))."""

_PROXY_ACCEPTED = "the http or https URL of a proxy, with its port: http://proxy.example.com:8080"
_PROXY = r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}/?"


def _proxy_url(value: str) -> str:
    if "@" in value:
        raise refuse(
            "a URL without user or password",
            "a policy holds no password: let a proxy on this machine log in (px, cntlm), and name"
            f' that: proxy = "{LOCAL_PROXY}"',
        )
    if not re.fullmatch(_PROXY, value):
        raise refuse(_PROXY_ACCEPTED)
    value = value.rstrip("/")
    host, port = host_of(value), int(value.rpartition(":")[2])
    if not 0 < port <= _MAX_PORT or (is_loopback(host) and not is_plain_loopback(host)):
        raise refuse(_PROXY_ACCEPTED)
    return value


ProxyUrl = Annotated[
    str,
    AfterValidator(_proxy_url),
    Field(json_schema_extra={"pattern": f"^{_PROXY}$"}),
]

OTHERS: Final = {agent.id: agent for agent in known_agents.others()}
"""The agents that cannot be guarded, by their ids."""

_SUBJECTS = {
    "env": (rf"env:{_VARIABLE}", "env:NAME"),
    "server": (r"server:https?://[^\s{}\"'\\`?#@]+", "server:URL without user, password, ? and #"),
    "file": (r"file:/[^\u0000-\u001f\u007f]*", "file:/absolute/path"),
    "proxy": (r"proxy:(?:[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", "proxy:HOST:PORT"),
    "port": (r"port:[0-9]{1,5}", "port:NUMBER"),
    "agent": (r"agent:[a-z0-9\-]{1,64}", "agent:NAME"),
}


def _subject(value: str) -> str:
    kind, _, rest = value.partition(":")
    pattern, accepted = _SUBJECTS.get(kind, ("", ""))
    if not pattern:
        raise refuse("one of " + ", ".join(form for _, form in _SUBJECTS.values()))
    if not re.fullmatch(pattern, value):
        raise refuse(accepted)
    if kind == "env" and looks_like_key(value):
        raise refuse("env: and the name of a variable, never a key itself")
    if kind == "agent" and rest not in OTHERS:
        near = get_close_matches(rest, OTHERS, n=1)
        fix = f"did you mean {near[0]}?" if near else ""
        raise refuse("agent:NAME, where NAME is one of " + ", ".join(OTHERS), fix)
    if kind in ("port", "proxy") and not 0 < int(value.rpartition(":")[2]) <= _MAX_PORT:
        raise refuse(f"{accepted} with a port from 1 to {_MAX_PORT}")
    return value


Subject = Annotated[
    str,
    AfterValidator(_subject),
    Field(
        json_schema_extra={
            "pattern": "^(?:" + "|".join(pattern for pattern, _ in _SUBJECTS.values()) + ")$"
        }
    ),
]


def end_of(until: date | datetime) -> float:
    """The last moment of `until` in Unix seconds: of the day for a date.

    A date, or a time without an offset, is meant in this machine's own time zone. Raises
    ValueError or OverflowError for a moment the machine cannot represent.
    """
    if isinstance(until, datetime):
        return until.timestamp()
    # not time.max: as a float, its microseconds are rounded up into the next day
    return datetime.combine(until, time(23, 59, 59, 999_000)).timestamp()


def _until(value: object) -> date | datetime:
    if isinstance(value, str):
        raise refuse("a date without quotes, such as 2026-12-31")
    if not isinstance(value, date):
        raise refuse("a date such as 2026-12-31, or a date with a time")
    try:
        end_of(value)
    except (ValueError, OverflowError):
        raise refuse("a date that this machine can represent") from None
    return value


Until = Annotated[
    date | datetime,
    PlainValidator(_until),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}
    ),
]


def _moment(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise refuse("a date with a time, such as 2026-12-31T10:00:00Z")
    return value


Moment = Annotated[
    datetime | None,
    PlainValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


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
