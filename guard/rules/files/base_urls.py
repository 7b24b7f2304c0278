"""A base URL or a call that leaves the gateway (RG103), in code, configuration and CI.

Two things are looked for: URLs of a model provider's API, and base URLs on this machine, where a
local proxy answers. A URL in a comment, in prose or in a page for people is neither.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from guard import net, variables
from guard.agents.registry import names as agent_names
from guard.catalog import local_proxies
from guard.catalog.endpoints import is_gateway_host, is_provider_url
from guard.late import late
from guard.rules.files import calls_in_code, catalogues, file_names
from guard.rules.files.scope import Placed, Scope, Span
from guard.rules.files.secrets import catalogued_variables
from guard.sources import code_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_URL = late(r"http(?:s?)://(?P<rest>[^\s\"'`<>\\)\]}|,;]*+)", re.IGNORECASE)
_LONGEST = 2000

# `OLLAMA_HOST=127.0.0.1:11434`: an address without a scheme
_ADDRESS = late(
    r"(?P<name>OLLAMA_HOST|OPENAI_HOST|ANTHROPIC_HOST|OLLAMA_API_BASE|OPENAI_API_BASE)"
    r"[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?(?P<value>[A-Za-z0-9.\[\]:-]{3,80}+)(?![/\w])"
)

# what is given the URL: base_url="…", baseURL: "…", OPENAI_BASE_URL=…, ("OPENAI_BASE_URL", "…"),
# os.environ["X"] = "…", a fallback after || ?? or :-
_KEY = late(
    r"(?P<key>[A-Za-z_][A-Za-z0-9_.-]{0,60})[\"'`]?[\])]{0,2}[ \t]{0,4}"
    r"(?:=>|[:?]?=|:-|:|\|\||\?\?|,|\bor\b)[ \t]{0,4}[frbu]{0,2}[\"'`]?\Z"
)
_BEFORE = 120

_BASE_NAMES = frozenset(
    (
        "baseurl", "uribase", "baseuri", "baseaddress", "apibase", "apibaseurl", "baseapiurl",
        "apiurl", "apihost", "basepath",
        "endpoint", "apiendpoint", "azureendpoint", "baseendpoint", "serverurl", "endpointurl",
        "url", "host", "apiroot", "upstream", "target", "base",
    )
)  # fmt: skip
_MODEL_WORDS = (
    "openai", "anthropic", "gemini", "ollama", "litellm", "llm", "openrouter", "lmstudio", "vllm",
    "deepseek", "mistral", "groq", "goose", "copilot", "completion", *agent_names(),
)  # fmt: skip
_ENDINGS = ("url", "base", "host", "endpoint", "api", "server", "proxy")

_COMMENT = late(r"\s*(?:#(?!define|include)|//|/\*|\*|--|;|<!--|%|REM\b|rem\b)")
_TRAILING_COMMENTS = (" # ", "\t# ", " ## ", " ### ", " // ", "\t// ")
_LINE = 300
"""Characters before a URL in which a comment has to begin to be seen."""

# the description of an API that somebody else serves
_API_DESCRIPTION = late(r"\A\s*(?:\{\s*)?[\"']?(?:openapi|swagger)[\"']?\s*:\s*[\"']?[23]\.")

# `${OPENAI_BASE_URL:-…}`, `${OPENAI_API_BASE:…}`: the variable may say otherwise
_DEFAULT = late(r"\$\{[A-Za-z_]\w*:[-=]?\Z")

_TABLE = 4
"""Providers whose addresses one file holds from which it is a table of them."""

_LISTED = "listed"
"""The use of an address that data only lists."""

_DATA = (".json", ".jsonc", ".json5", ".yml", ".yaml", ".toml")

_ADAPTERS = frozenset(
    (
        "provider", "llm", "model", "adapter", "vendor", "backend", "integration", "embedding",
        "chatmodel", "chat_model", "plugin", "connector", "engine", "client", "model_provider",
        "component", "credential", "reranker", "api",
    )
)  # fmt: skip
"""Folders, without the plural's s, that hold a module for each provider."""

_NEARBY = 400
_SAMPLE_HOST = late(r"(?:.*\.)?example(?:\.\w+)?|.*\.(?:example|invalid|test)|.*your.*|.*-xxx+.*")

_SAMPLE_TENANT = late(
    r"(?:.*-)?(?:your?|example|xxx+|placeholder|my-?resource|resource-?name|<\w+>|xyz)\b"
)
"""How the host begins that stands for a customer's own: `your-endpoint.openai.azure.com`."""

_TESTS = late(r"test|spec|mock|fixture|e2e", re.IGNORECASE)

_API_PATHS = ("/v1", "/api", "/anthropic", "/openai", "/chat", "/completions")


@lru_cache(4096)  # the same few addresses in most files, the gateway's at each of them
def address_of(url: str) -> net.Url | None:
    """Where an http(s) URL leads, without the root's dot behind the host.

    The scheme may be missing. None if there is no host that could be read, as in a template.
    """
    found = net.read_url(url)
    if found is None:
        return None
    host = found.host.rstrip(".")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.:-]*|::1?", host):
        return None
    return net.Url(found.scheme, host, max(found.port, 0), found.path)


def is_gateway(address: net.Url, policy: CompiledPolicy) -> bool:
    """Whether the address is the policy's gateway, or one of Portkey's own hosts."""
    gateway = address_of(policy.base_url)
    if (
        gateway is not None
        and (address.host, address.port) == (gateway.host, gateway.port)
        and net.is_path_within(address.path, gateway.path)
    ):
        return True
    return is_gateway_host(address.host)


def leaves_gateway(name: str, address: net.Url) -> bool:
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
    message = f"{name} {verdict.words}{local}"
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
        """A finding for each URL that a call goes to, or may go to, at the URL.

        What a program keeps (a constant, a default) is a warning, an address among many (the table
        of a gateway, a module for one provider among others) a note.
        """
        if _API_DESCRIPTION.match(file.text):
            return
        scope = Scope(file, policy)
        found = list(_candidates(scope))
        code = file_names.is_code(file.name) and not file_names.is_script(file.name)
        judged = _in_code(file, found) if code else _in_configuration(file, found)
        # code keeps an address for somebody, data lists it
        of_table = calls_in_code.KEPT if code else _LISTED
        table = [one for one, use in judged if use == of_table]
        hosts = _hosts(table)
        if hosts >= _TABLE:
            yield _of_table(scope, table, hosts)
        for one, use in judged:
            if hosts >= _TABLE and use == of_table:
                continue
            finding = _finding(scope, one, use)
            if finding is not None:
                yield finding
        yield from _addresses(scope)


class _Candidate(NamedTuple):
    """An address in a file that is not the gateway's: its place, the name that it is given to.

    `named` tells that the name is that of a variable whose value is judged as at a launch, `local`
    that the address is on this machine.
    """

    start: int
    end: int
    url: str
    address: net.Url
    key: str
    named: bool
    local: bool


def _candidates(scope: Scope) -> Iterator[_Candidate]:
    text = scope.file.text
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
        if not named and is_gateway(address, scope.policy):
            continue
        local = net.is_this_machine(address.host)
        if local:
            if not _is_model_base(text, start, key, address):
                continue
        else:
            sample = _SAMPLE_TENANT.match(address.host) and not scope.in_use
            known = is_provider_url(address.host, address.path) or leaves_gateway(key, address)
            if sample or not known:
                continue
        yield _Candidate(start, end, match.group(), address, key, named, local)


def _in_code(file: SourceFile, found: list[_Candidate]) -> list[tuple[_Candidate, str]]:
    """Those of `found` that code calls or keeps, each with which."""
    quoted = code_text.strings(file.text, file.name, [one.start for one in found])
    # requests of a test are answered by a mock
    test = _TESTS.search(file_names.context(file.path)) is not None
    judged = []
    for one in found:
        if one.start not in quoted or (test and not one.key and not one.local):
            continue
        use = calls_in_code.use_of(file.text, quoted[one.start], one.start, _is_base)
        if use.kind:
            judged.append((one, use.kind))
    return judged


def _in_configuration(file: SourceFile, found: list[_Candidate]) -> list[tuple[_Candidate, str]]:
    """The same for configuration, data and scripts."""
    data = file.name.lower().endswith((".json", ".jsonc", ".json5"))
    listed = _listed(file, found)
    judged = []
    for one in found:
        if in_comment(file, one.start):
            continue
        before = file.text[max(0, one.start - _BEFORE) : one.start].rpartition("\n")[2]
        use = calls_in_code.KEPT if _DEFAULT.search(before) else calls_in_code.CALLED
        if data:
            # a JSON list of services is data, a base URL in JSON has a name that says so
            string = before.rpartition('"')[2]
            if not one.key or (
                before[-1:] not in ("'", '"', "`") and ("\\n" in string or not string)
            ):
                continue
        if one.start in listed:
            use = _LISTED
        judged.append((one, use))
    return judged


def _listed(file: SourceFile, found: list[_Candidate]) -> set[int]:
    """Where those of `found` begin that are entries of a table of many providers."""
    if not file.name.lower().endswith(_DATA) or _hosts(found) < _TABLE:
        return set()
    places = sorted((place.start, place.end) for place in catalogues.places(file))
    starts = [start for start, _ in places]
    listed = []
    for one in found:
        number = bisect_right(starts, one.start) - 1
        if number >= 0 and one.start < places[number][1] and not one.named:
            listed.append(one)
    return {one.start for one in listed} if _hosts(listed) >= _TABLE else set()


def _hosts(found: list[_Candidate]) -> int:
    return len({one.address.host for one in found if not one.local})


def _finding(scope: Scope, one: _Candidate, use: str) -> Finding | None:
    severity = ""
    if use == calls_in_code.KEPT:
        severity = "note" if _is_adapter(scope.file.path, one.address.host) else "warning"
    place = Span(one.start, one.end)
    if one.named:
        return of_variable(scope, one.key, one.url, place, severity=severity)
    where = ", a server on this machine" if one.local else ", not to the gateway"
    what = one.key or "a call"
    goes = "may go to" if severity else "goes to"
    return scope.finding(
        "RG103",
        place,
        one.key or variables.shown(one.url),
        f"{what} {goes} {variables.shown(one.url)}{where}",
        fix=fix_for(scope.policy),
        severity=severity,
    )


def _of_table(scope: Scope, table: list[_Candidate], hosts: int) -> Finding:
    """The note about a file that lists the addresses of many providers."""
    first = next(one for one in table if not one.local)
    return scope.finding(
        "RG103",
        Span(first.start, first.end),
        scope.file.path,
        f"a table of {hosts} providers' addresses; which of them is called is not in this file",
        fix=f"make sure that requests go to the gateway: {scope.policy.base_url}",
        severity="note",
    )


def _is_adapter(path: str, host: str) -> bool:
    """Whether the file is one provider's among those of others: `providers/ai21/api.ts`."""
    *folders, name = (part.lower() for part in path.split("/"))
    parts = [*folders, name.partition(".")[0]]
    for at, folder in enumerate(folders):
        if folder.replace("-", "_").rstrip("s") in _ADAPTERS:
            whole = host.replace(".", "").replace("-", "")
            inner = [re.sub(r"[^a-z0-9]", "", part) for part in parts[at + 1 :]]
            if any(len(part) > 2 and (part in whole or _owner(host) in part) for part in inner):
                return True
    return False


def _owner(host: str) -> str:
    """The name of the company in `host`: "openai" for api.openai.com."""
    labels = host.split(".")
    return labels[-2] if len(labels) > 1 and len(labels[-2]) > 2 else host


def _addresses(scope: Scope) -> Iterable[Finding]:
    file = scope.file
    if "_HOST" not in file.text and "_API_BASE" not in file.text:
        return  # sooner told than by the regex
    for match in _ADDRESS.finditer(file.text):
        address = address_of(match["value"])
        if address is None or in_comment(file, match.start()):
            continue
        if match["value"].lower() in ("http", "https") or not (
            net.is_this_machine(address.host) or is_provider_url(address.host, "")
        ):
            continue
        finding = of_variable(scope, match["name"], match["value"], Span(*match.span("value")))
        if finding is not None:
            yield finding


def in_comment(file: SourceFile, start: int) -> bool:
    """Whether the offset `start` is in a comment, as far as its line tells."""
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


def _is_model_base(text: str, start: int, key: str, address: net.Url) -> bool:
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
