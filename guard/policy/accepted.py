"""What one value of a policy file may be: its pattern or check, and the words that say so.

The tables that hold these values are in `guard.policy.model`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, core_schema

from guard.catalog import agents as known_agents
from guard.catalog.classify import PREFIXES
from guard.catalog.key_shapes import looks_like_key
from guard.net import host_of, is_loopback, is_plain_loopback
from guard.policy.spans import end_of, soon
from guard.policy.values import BASE_URL

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
SLUG = r"[A-Za-z0-9][A-Za-z0-9._\-]{0,127}"
"""A name of Portkey's, without the `@` in front of a provider's."""

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
Slug = Annotated[
    str, Matching(f"@?{SLUG}", "the slug of a Portkey provider, such as openrouter-main")
]
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
    str,
    Matching(
        rf"{_PROVIDER}/{_MODEL}",
        "PROVIDER/MODEL with a provider of gateway.providers, such as portkey/gpt-4o",
    ),
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
    return parts.scheme + value[len(parts.scheme) :].rstrip("/")


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


def _until(value: object) -> date | datetime:
    if isinstance(value, str):
        raise refuse(f"a date without quotes, such as {soon()}")
    if not isinstance(value, date):
        raise refuse(f"a date such as {soon()}, or a date with a time")
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
        raise refuse(f"a date with a time, such as {soon()}T10:00:00Z")
    return value


Moment = Annotated[
    datetime | None,
    PlainValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
