"""A client that names no address (RG113): it calls its provider, and no gateway is in sight.

Python and JavaScript, by what a file imports: `OpenAI()`, `new Anthropic()`, `litellm.completion`.
Other languages by a table of their constructors (`constructors`).
Silent where an argument may hold the address or names the gateway, and where the client is given
one later, or code that reaches it names the variable by which this client finds its address. What a
file says of the gateway or of an address besides is about its other clients.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from guard.catalog.clients import ModelClient, address_arguments, clients
from guard.late import late
from guard.rules.files import constructors, file_names
from guard.rules.files.scope import Placed, Scope, Span
from guard.rules.files.secrets import catalogued_variables
from guard.rules.needles import Form, Needle
from guard.sources import code_text, reach

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_PYTHON = frozenset(("py", "pyi"))
_JAVASCRIPT = frozenset(("js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "vue", "svelte"))

_FROM = late(
    r"from[ \t]+(?P<module>[\w.]+)[ \t]+import[ \t]+"
    r"(?P<names>\([^()]{1,2000}\)|[^\n(]{1,500})"
)
_IMPORT = late(r"import[ \t]+(?P<names>[\w.]+(?:[ \t]+as[ \t]+\w+)?(?:,[ \t]*[\w.]+)*)")
_ES_IMPORT = late(
    # whitespace is taken once: each of its ends tried again would take the square of it
    r"\bimport\s++(?!type\b)(?P<what>[\w$*{},](?:[\w$*{},\s]{0,1998}?[\w$*{},])??)"
    r"\s++from\s++[\"'](?P<module>[^\"'\n]+)[\"']"
    r"|\b(?:const|let|var)\s++(?P<required>[\w$]+|\{[\w$,:\s]{1,500}\})\s*+=\s*+"
    r"(?:require|await\s++import)\s*+\(\s*+[\"'](?P<from>[^\"'\n]+)[\"']\s*+\)"
)
_NAME = late(r"(?P<name>[\w$.]+)(?:\s+as\s+(?P<alias>[\w$]+)|\s*:\s*(?P<renamed>[\w$]+))?")

_GATEWAY = late(r"[Pp]ort[Kk]ey|PORTKEY")
_ADDRESS_NAME = late(
    r"\b(?!PORTKEY)[A-Z][A-Z0-9_]*_(?:BASE_URL|API_BASE(?:_URL)?|API_URL|ENDPOINT)\b"
    r"|\b(?:openai|anthropic)\.baseUrl\b"
)
"""A variable, or a property of Java, that SDKs read their address from; none reads the gateway's
own."""

_ADDRESSED = late(
    r"(?<![\w$])(?P<what>[\w$]++)(?:\(\))?(?:\.|->)"
    r"(?:(?:_?base_url|api_base|uri_base|[bB]aseU(?:RL|rl|ri)|ApiUrlFormat)\s*=(?!=)"
    r"|with_(?:api_base|options)\s*\(|withOptions\s*\()"
)
"""An address that something is given after it was made."""

_GIVEN_TO = late(
    r"(?:^|[^\w$.])(?:[\w$]+\.)*(?P<name>[\w$]+)\s*(?::[^=\n]{1,80})?:?=\s*(?:await\s+)?(?:new\s+)?\Z"
)
_HANDED = late(r"&(?:mut[ \t]+)?(\w+)")
_WITH_OPTIONS = late(r"\s*\.with_?[Oo]ptions\s*\(")
_PREFIXES = {"Google": ("GOOGLE", "GEMINI"), "Azure OpenAI": ("AZURE", "OPENAI")}
"""How the variables of an owner's SDK begin, where it is not the first word of the owner."""

_CONFIGURED = "config"
"""What `OpenAI.configure do |config|` gives an address for all clients of Ruby."""

_SPREAD = late(r"\*\*|\.\.\.")
_ARGUMENT = late(
    r"(?P<name>[A-Za-z_][\w-]*)[\"']?\s*(?:=(?!=)|:)|(?<=[{,])\s*(?P<short>\w+)\s*(?=[,}])"
)
_KEY_NAME = late(r"\b[A-Z][A-Z0-9_]*_(?:API_)?KEY\b")
_DEFINED = late(r"(?:\bclass|\bdef|\bfunction|\binterface|\btype|\bextends)\s+\Z")
_OPTIONS = late(
    r"\s*(?![\w$.]*(?:key|env|token)\b)[A-Za-z_$][\w$.]*\s*(?:,|!|\bas\b|\Z)", re.IGNORECASE
)
"""The first argument is a name that may hold an object with options."""


_WORDS = (
    *(b"openai", b"anthropic", b"genai", b"generativeai", b"generative-ai", b"mistral", b"groq"),
    *(b"cohere", b"together", b"xai", b"litellm", b"langchain", b"crewai", b"dspy"),
    *(b"llama_index", b"ai-sdk"),
)
"""Every module of a client holds one."""

_IMPORTED = rb"(?:import|require|from)[\x00-\xff]*(?:" + rb"|".join(_WORDS) + rb")"


class _Called(NamedTuple):
    """A client as it is called in a file: the expression, and whose it is."""

    expression: str
    client: ModelClient


class Clients:
    """RG113 in code."""

    name = "clients"

    needles: tuple[Needle, ...] = (
        *(Form(word, _IMPORTED) for word in _WORDS),
        *constructors.WORDS,
    )

    def wants(self, path: str, name: str) -> bool:
        """Source code in a language whose clients are known."""
        known = _PYTHON | _JAVASCRIPT | constructors.LANGUAGES
        return _extension(name) in known and not file_names.is_generated(path, name)

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterable[Finding]:
        """A finding for each client that is made, or called, without an address."""
        if constructors.language_of(file.name):
            yield from _constructed(file, policy)
            return
        text = file.text
        if "import" not in text and "require" not in text:
            return
        called = _imports(file)
        if not called:
            return
        names = {one.expression: one.client for one in called}
        pattern = re.compile(
            r"(?<![\w$.\"'`])(?P<what>"
            + "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
            + r")(?P<method>\.(?:chat|responses|completion|embedding|textEmbedding|languageModel)"
            r"(?:\.completions\.create)?)?\s*(?:<[\w.]{1,60}>\s*)?\("
        )
        found = list(pattern.finditer(text))
        if not found:
            return
        ends = code_text.bare(text, file.name, [match.end() - 1 for match in found])
        scope = Scope(file, policy)
        elsewhere = _Elsewhere(file)
        javascript = _extension(file.name) in _JAVASCRIPT
        for match in found:
            end = ends.get(match.end() - 1)
            if end is None or _DEFINED.search(text, max(0, match.start() - 20), match.start()):
                continue
            arguments = text[match.end() : end - 1]
            last = match["what"].rpartition(".")[2]
            options = javascript and (last[:1].isupper() or last.startswith("create"))
            if (
                _may_be_addressed(arguments)
                or _GATEWAY.search(arguments)
                or (options and _OPTIONS.match(arguments))
            ):
                continue
            client = names[match["what"]]
            # the modules that it is from
            modules = (module.partition(".")[0] for module in client.python)
            if elsewhere.addresses(match.start(), end, {match["what"], *modules}, client.owner):
                continue
            what = match["what"] + (match["method"] or "")
            place = Span(match.start(), match.end() - 1)
            yield _finding(scope, place, what, client.owner, arguments)


def _constructed(file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
    text = file.text
    found = list(constructors.calls(file.name, text))
    if not found:
        return
    ends = code_text.bare(text, file.name, [call.bracket for call in found])
    scope = Scope(file, policy)
    elsewhere = _Elsewhere(file)
    for call in found:
        end = ends.get(call.bracket, 0)
        if text[call.bracket] != "(" and not _in_comment(text, call.start):
            end = constructors.end_without_bracket(text, call)
        if not end or constructors.may_be_addressed(text, call, end):
            continue
        if call.made.kept and not _GIVEN_TO.search(text[max(0, call.start - 200) : call.start]):
            continue
        whole = constructors.whole(text, call, end)
        if not _GATEWAY.search(whole) and not elsewhere.addresses(
            call.start, end, {call.what, _CONFIGURED}, call.made.owner
        ):
            place = Span(call.start, call.bracket)
            yield _finding(scope, place, call.what, call.made.owner, whole)


def _finding(scope: Scope, place: Placed, what: str, owner: str, arguments: str) -> Finding:
    own = _own_key(arguments)
    return scope.finding(
        "RG113",
        place,
        what,
        f"{what}() names no address: it calls {owner} itself" + (f", with {own}" if own else ""),
        fix=f"give it the gateway's address, {scope.policy.base_url}, and the gateway's key",
        severity="error" if own else "",
    )


class _Elsewhere:
    """What a file says of addresses outside of the calls of its clients."""

    def __init__(self, file: SourceFile) -> None:
        self._text = text = file.text
        self._parts = reach.parts(file.name, text)
        self._variables = [
            (match.group(), match.start())
            for match in _ADDRESS_NAME.finditer(text)
            if not _in_comment(text, match.start())
        ]
        # whoever gets one may write to it
        self._handed = set(_HANDED.findall(text))
        self._given = [(match["what"], match.start()) for match in _ADDRESSED.finditer(text)]

    def addresses(self, at: int, end: int, called: set[str], owner: str) -> bool:
        """Whether it gives an address to the client of `owner` whose call begins at `at` and ends
        before `end`, and which is reached by what is `called`."""
        text = self._text
        if _WITH_OPTIONS.match(text, end):
            return True
        # what it is kept as
        holder = _GIVEN_TO.search(text[max(0, at - 200) : at])
        names = {re.split(r"\W", name, maxsplit=1)[0] for name in called}
        if holder is not None:
            names.add(holder["name"])
            if holder["name"] in self._handed:
                return True
        return any(
            name in names and self._parts.covers(place, at) for name, place in self._given
        ) or any(
            _reads(owner, name) and self._parts.covers(place, at) for name, place in self._variables
        )


def _in_comment(text: str, at: int) -> bool:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line.lstrip().startswith(("#", "//", "*", "/*"))


def _reads(owner: str, variable: str) -> bool:
    """Whether an SDK for `owner` may read its address from `variable`."""
    if owner[:2] == "a ":
        return True  # of several providers
    first = owner.partition(" ")[0].upper()
    return variable.upper().startswith(_PREFIXES.get(owner, (first,)))


def _may_be_addressed(arguments: str) -> bool:
    """Whether the arguments of a call may hold an address that is not written here."""
    if len(arguments) > 4000 or _SPREAD.search(arguments):
        return True
    given = {
        re.sub(r"[^a-z]", "", (match["name"] or match["short"]).lower())
        for match in _ARGUMENT.finditer("{" + arguments.strip().lstrip("{").rstrip("}") + "}")
    }
    return not given.isdisjoint(address_arguments())


def _own_key(arguments: str) -> str:
    """The variable of a provider's key in `arguments`, "" for none."""
    for match in _KEY_NAME.finditer(arguments):
        if catalogued_variables().get(match.group(), ("", ""))[0] == "provider_key":
            return match.group()
    return ""


def _imports(file: SourceFile) -> list[_Called]:
    if _extension(file.name) in _PYTHON:
        return list(_of_python(file.text))
    return list(_of_javascript(file.text))


def _of_python(text: str) -> Iterator[_Called]:
    for match in _FROM.finditer(text):
        if match["module"].partition(".")[0] not in _python_roots() or not _begins(match):
            continue
        names = re.sub(r"#[^\n]*", "", match["names"]).strip("()\n ")
        for name, alias in _names(names):
            yield from _python_name(match["module"], name, alias)
    for match in filter(_begins, _IMPORT.finditer(text)):
        for module, alias in _names(match["names"]):
            for client in clients():
                if module in client.python:
                    for name in client.names:
                        yield _Called(f"{alias}.{name}", client)


def _begins(match: re.Match[str]) -> bool:
    """Whether a line begins with it. Asked afterwards: `^` would be tried at every character."""
    text, start = match.string, match.start()
    return not text[text.rfind("\n", 0, start) + 1 : start].strip(" \t")


@cache
def _python_roots() -> frozenset[str]:
    """The first parts of the modules' names."""
    return frozenset(module.partition(".")[0] for one in clients() for module in one.python)


def _python_name(module: str, name: str, alias: str) -> Iterator[_Called]:
    for client in clients():
        if name in client.names and any(
            module == known or module.startswith(known + ".") for known in client.python
        ):
            yield _Called(alias, client)
        # from google import genai
        elif f"{module}.{name}" in client.python:
            for inner in client.names:
                yield _Called(f"{alias}.{inner}", client)


def _of_javascript(text: str) -> Iterator[_Called]:
    for match in _ES_IMPORT.finditer(text):
        module = match["module"] or match["from"]
        what = match["what"] or match["required"]
        default, _, braced = what.partition("{")
        for client in clients():
            if not any(
                module == known or module.startswith(known + "/") for known in client.javascript
            ):
                continue
            for name, alias in _names(braced.partition("}")[0]):
                if name in client.names:
                    yield _Called(alias, client)
            # import OpenAI from "openai", import * as openai from "openai"
            for name, alias in _names(default.strip().rstrip(",")):
                if name == "*":
                    for member in client.names:
                        yield _Called(f"{alias}.{member}", client)
                elif _main(client, module):
                    yield _Called(alias, client)
                    for member in client.names:
                        yield _Called(f"{alias}.{member}", client)


def _main(client: ModelClient, module: str) -> bool:
    """Whether the default export of `module` is the client: a vendor's own SDK."""
    return module in ("openai", "@anthropic-ai/sdk", "groq-sdk", "together-ai") and (
        "AzureOpenAI" not in client.names
    )


def _names(text: str) -> Iterator[tuple[str, str]]:
    """(name, how it is called here) of `a, b as c` and `{a, b: c}`."""
    for part in text.split(","):
        star = re.match(r"\s*\*\s+as\s+([\w$]+)", part)
        if star:
            yield "*", star[1]
            continue
        match = _NAME.match(part.strip())
        if match and match["name"] != "type":
            yield match["name"], match["alias"] or match["renamed"] or match["name"]


def _extension(name: str) -> str:
    return name.lower().rpartition(".")[2]


DETECTOR = Clients()
