"""A base URL or a call that leaves the gateway (RG103), in code, configuration and CI.

Two things are looked for: URLs of a model provider's API, and base URLs on this machine, where a
local proxy answers. A URL in a comment, in prose or in a page for people is neither.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from guard import net, variables
from guard.catalog import local_proxies
from guard.catalog.endpoints import is_gateway_host, is_provider_url
from guard.rules.files import file_names
from guard.rules.files.scope import Placed, Scope, Span
from guard.rules.files.secrets import catalogued_variables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_URL = re.compile(r"http(?:s?)://(?P<rest>[^\s\"'`<>\\)\]}|,;]*+)", re.IGNORECASE)
_LONGEST = 2000

# `OLLAMA_HOST=127.0.0.1:11434`: an address without a scheme
_ADDRESS = re.compile(
    r"(?P<name>OLLAMA_HOST|OPENAI_HOST|ANTHROPIC_HOST|OLLAMA_API_BASE|OPENAI_API_BASE)"
    r"[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?(?P<value>[A-Za-z0-9.\[\]:-]{3,80}+)(?![/\w])"
)

# what is given the URL: base_url="…", baseURL: "…", OPENAI_BASE_URL=…, ("OPENAI_BASE_URL", "…"),
# os.environ["X"] = "…", a fallback after || ?? or :-
_KEY = re.compile(
    r"(?P<key>[A-Za-z_][A-Za-z0-9_.-]{0,60})[\"'`]?[\])]{0,2}[ \t]{0,4}"
    r"(?:=>|[:?]?=|:-|:|\|\||\?\?|,|\bor\b)[ \t]{0,4}[frbu]{0,2}[\"'`]?\Z"
)
_BEFORE = 120

_BASE_NAMES = frozenset(
    (
        "baseurl", "apibase", "apibaseurl", "baseapiurl", "apiurl", "apihost", "basepath",
        "endpoint", "apiendpoint", "azureendpoint", "baseendpoint", "serverurl", "endpointurl",
        "url", "host", "apiroot", "upstream", "target", "base",
    )
)  # fmt: skip
_MODEL_WORDS = (
    "openai", "anthropic", "claude", "gemini", "ollama", "litellm", "llm", "openrouter",
    "lmstudio", "vllm", "deepseek", "mistral", "groq", "codex", "opencode", "goose", "copilot",
    "completion",
)  # fmt: skip
_ENDINGS = ("url", "base", "host", "endpoint", "api", "server", "proxy")

_COMMENT = re.compile(r"\s*(?:#(?!define|include)|//|/\*|\*|--|;|<!--|%|REM\b|rem\b)")
_TRAILING_COMMENTS = (" # ", "\t# ", " // ", "\t// ")
_LINE = 300
"""Characters before a URL in which a comment has to begin to be seen."""

# what is compared with a URL does not go to it
_COMPARED = re.compile(
    r"(?:[!=]==?|\b(?:starts_?with|has_?prefix|includes|contains)\s{0,3}\()\s{0,3}[\"'`]\Z",
    re.IGNORECASE,
)
# the description of an API that somebody else serves
_API_DESCRIPTION = re.compile(r"\A\s*(?:\{\s*)?[\"']?(?:openapi|swagger)[\"']?\s*:\s*[\"']?[23]\.")

# Python's comments and strings, in order
_PYTHON_STRING = re.compile(
    r"#[^\n]*+"
    r"|(?P<triple>\"\"\"(?:[^\\\"]|\\.|\"(?!\"\"))*+(?:\"\"\"|\Z)"
    r"|'''(?:[^\\']|\\.|'(?!''))*+(?:'''|\Z))"
    r"|\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?",
    re.DOTALL,
)

_NEARBY = 400
_SAMPLE_HOST = re.compile(
    r"(?:.*\.)?example(?:\.\w+)?|.*\.(?:example|invalid|test)|.*your.*|.*-xxx+.*"
)

_API_PATHS = ("/v1", "/api", "/anthropic", "/openai", "/chat", "/completions")


class _Address:
    """What a URL says about where it goes."""

    __slots__ = ("host", "path", "port")

    def __init__(self, host: str, port: int, path: str) -> None:
        self.host = host
        self.port = port
        self.path = path

    @property
    def shown(self) -> str:
        """The host, with the port if it is given, as a message may show it."""
        return variables.shown(net.authority(self.host, self.port) if self.port else self.host)


def address_of(url: str) -> _Address | None:
    """Host (lower case, no brackets), port (0 if not given) and path of an http(s) URL.

    The scheme may be missing. None if there is no host that could be read, as in a template.
    User information is left out.
    """
    found = net.read_url(url)
    if found is None:
        return None
    host = found.host.rstrip(".")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.:-]*|::1?", host):
        return None
    return _Address(host, max(found.port, 0), found.path)


def is_gateway(address: _Address, policy: CompiledPolicy) -> bool:
    """Whether the address is the policy's gateway, or one of Portkey's own hosts."""
    gateway = address_of(policy.base_url)
    if (
        gateway is not None
        and (address.host, address.port) == (gateway.host, gateway.port)
        and net.is_path_within(address.path, gateway.path)
    ):
        return True
    return is_gateway_host(address.host)


def leaves_gateway(name: str, address: _Address) -> bool:
    """Whether the variable `name` is a model's base URL, so that any host but ours is foreign.

    A GitLab instance's address says nothing about models, and a sample's host nothing at all.
    """
    kind, owner = catalogued_variables().get(name, ("", ""))
    return kind == "base_url" and owner != "GitLab Duo" and not _SAMPLE_HOST.fullmatch(address.host)


def of_variable(
    scope: Scope, name: str, url: str, place: Placed, *, severity: str = ""
) -> Finding | None:
    """The finding for the variable `name` that is given the address `url`, None if it is ours.

    A sample's host goes nowhere, and one in a template is not known. The address of a GitLab says
    nothing about models; only a launch takes it away.
    """
    address = address_of(url)
    _, owner = catalogued_variables().get(name, ("base_url", ""))
    if address is None or owner == "GitLab Duo":
        return None
    if not scope.in_use and _SAMPLE_HOST.fullmatch(address.host):
        return None
    verdict = variables.judge(name, "base_url", owner, url, scope.policy, text=True)
    if not verdict.rule:
        return None
    local = ", a server on this machine" if net.is_this_machine(address.host) else ""
    message = f"{name} {verdict.words}, to {verdict.place}{local}"
    fix = fix_for(scope.policy)
    return scope.finding(verdict.rule, place, name, message, fix=fix, severity=severity)


def fix_for(policy: CompiledPolicy) -> str:
    """What to do about a base URL that is not the gateway's."""
    return f"use the gateway: {policy.base_url}"


class BaseURLs:
    """RG103 in code, configuration and CI files."""

    name = "base-urls"
    needles: tuple[bytes, ...] = (
        b"http://",
        b"https://",
        b"ollama_host",
        b"openai_host",
        b"anthropic_host",
    )

    def wants(self, path: str, name: str) -> bool:
        """Code, configuration, scripts and CI; not prose, lock files, snapshots, translations.

        The agents' own configuration has a rule of its own (RG302), dotenv files are read as such.
        """
        return (
            file_names.is_code(name) or file_names.is_configuration(name)
        ) and not file_names.is_generated(path, name)

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterable[Finding]:
        """A finding for each URL, at the URL."""
        scope = Scope(file, policy)
        text = file.text
        code = file_names.is_code(file.name) and not file_names.is_script(file.name)
        data = file.name.lower().endswith((".json", ".jsonc", ".json5"))
        test = bool(file_names.context(file.path))
        if _API_DESCRIPTION.match(text):
            return
        prose: list[tuple[int, int]] | None = None
        for match in _URL.finditer(text):
            start, end = match.span()
            if end - start > _LONGEST:
                continue
            address = address_of(match.group())
            if address is None:
                continue
            before = text[max(0, start - _BEFORE) : start].rpartition("\n")[2]
            found = _KEY.search(before)
            key = found["key"] if found and _is_base(found["key"]) else ""
            # a variable's own address is judged as at a launch, which knows one gateway
            named = catalogued_variables().get(key, ("", ""))[0] == "base_url"
            if not named and is_gateway(address, policy):
                continue
            local = net.is_this_machine(address.host)
            provider = not local and is_provider_url(address.host, address.path)
            if not (local or provider or leaves_gateway(key, address)):
                continue
            if _in_comment(file, start) or (code and _COMPARED.search(before)):
                continue
            if file.name.endswith((".py", ".pyi")):
                prose = _docstrings(text) if prose is None else prose
                at_or_before = bisect_right(prose, (start, len(text))) - 1
                if at_or_before >= 0 and start < prose[at_or_before][1]:
                    continue
            quoted = before[-1:] in ("'", '"', "`")
            if local:
                if not _is_model_base(text, start, key, address):
                    continue
                message = f"{key or 'a call'} goes to {address.shown}, a server on this machine"
            # a JSON list of services is data, a base URL in JSON has a name that says so
            elif (not key and (test or data)) or ((code or data) and not quoted):
                continue
            else:
                message = f"{key or 'a call'} goes to {address.shown}, not to the gateway"
            place = Span(start, end)
            if named:
                finding = of_variable(scope, key, match.group(), place)
            else:
                subject = key or address.shown
                finding = scope.finding("RG103", place, subject, message, fix=fix_for(policy))
            if finding is not None:
                yield finding
        yield from _addresses(scope)


def _docstrings(text: str) -> list[tuple[int, int]]:
    """Where Python strings stand that are statements of their own: docstrings."""
    found = []
    for match in _PYTHON_STRING.finditer(text):
        if match["triple"] is None or match.group()[-3:] not in ('"""', "'''"):
            continue
        line = text.rfind("\n", max(0, match.start() - _LINE), match.start()) + 1
        if (not line and match.start() > _LINE) or text[
            line : match.start()
        ].strip().lower() not in ("", "r", "u"):
            continue
        before = text[max(0, line - _LINE) : line].rstrip()
        if not before.endswith(("(", "[", "{", ",", "=", "+", "\\", "%", "|")):
            found.append(match.span())
    return found


def _addresses(scope: Scope) -> Iterable[Finding]:
    file = scope.file
    for match in _ADDRESS.finditer(file.text):
        address = address_of(match["value"])
        if address is None or _in_comment(file, match.start()):
            continue
        if match["value"].lower() in ("http", "https") or not (
            net.is_this_machine(address.host) or is_provider_url(address.host, "")
        ):
            continue
        finding = of_variable(scope, match["name"], match["value"], Span(*match.span("value")))
        if finding is not None:
            yield finding


def _in_comment(file: SourceFile, start: int) -> bool:
    text = file.text
    line = text.rfind("\n", max(0, start - _LINE), start) + 1
    before = text[line or max(0, start - _LINE) : start]
    if (line or start <= _LINE) and _COMMENT.match(before):
        return True
    return any(mark in before for mark in _TRAILING_COMMENTS)


def _plain(key: str) -> str:
    return key.rpartition(".")[2].replace("_", "").replace("-", "").lower()


def _is_base(key: str) -> bool:
    """Whether `key` names a base URL, of anything."""
    plain = _plain(key)
    return plain in _BASE_NAMES or _names_model(key)


def _names_model(key: str) -> bool:
    """Whether `key` names the place of a model service: OPENAI_BASE_URL, ollamaHost, llm_url."""
    if not key:
        return False
    if catalogued_variables().get(key, ("", ""))[0] == "base_url":
        return True
    plain = _plain(key)
    return plain.endswith(_ENDINGS) and any(word in plain for word in _MODEL_WORDS)


def _is_model_base(text: str, start: int, key: str, address: _Address) -> bool:
    """Whether a URL on this machine is where a program looks for models.

    By the name it is given to; else by a port that only model proxies use; else, for a name like
    `baseURL`, by a port that they share with others, an API path, and talk of models around it.
    """
    if _names_model(key):
        return True
    if address.port in local_proxies.distinctive():
        return bool(key) or address.path.startswith(_API_PATHS)
    if address.port not in local_proxies.default_ports() or not key:
        return False
    if not address.path.rstrip("/").endswith(("/v1", "/anthropic", "/openai")):
        return False
    around = text[max(0, start - _NEARBY) : start + _NEARBY].lower()
    return any(word in around for word in _MODEL_WORDS)


DETECTOR = BaseURLs()
