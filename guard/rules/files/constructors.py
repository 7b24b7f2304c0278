"""Clients without an address in Go, Java, Kotlin, C#, Ruby, PHP and Rust, by the table of them.

An address is given there by an option that is a call (`option.WithBaseURL(…)`), in the chain behind
the call (`.baseUrl(…)`), in the braces behind it, or by a name (`uri_base:`). An argument that the
table does not know may hold one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from guard.catalog.clients import Constructor, address_arguments, constructors
from guard.late import late

_LANGUAGES = {
    "go": "go",
    "java": "java",
    "kt": "java",
    "kts": "java",
    "cs": "csharp",
    "rb": "ruby",
    "rake": "ruby",
    "php": "php",
    "rs": "rust",
}
LANGUAGES = frozenset(_LANGUAGES)
"""The endings of files that are looked at."""

WORDS = (
    *(b"openai-go", b"go-openai", b"anthropic-sdk-go", b"com.openai.client.okhttp"),
    *(b"com.anthropic.client.okhttp", b"dev.langchain4j.model", b"using openai", b"async_openai"),
    *(b"openai::client", b"openai::factory", b"anthropic::client", b"anthropic::factory"),
)
"""One of them stands in every file with a finding, in any case."""

_MOST = 6000
"""Characters of a call and the chain behind it."""

_QUOTED = r"\"(?:[^\"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+'|`[^`]*+`"
_COMMENT = r"//[^\n]*+|/\*.*?\*/"
_TOKEN = late(rf"{_QUOTED}|(?P<open>[(\[{{])|(?P<close>[)\]}}])|(?P<comma>,)")
_STRING = late(rf"{_QUOTED}|{_COMMENT}", re.DOTALL)
_STEP = late(rf"(?:\s|{_COMMENT})*+(?:\??\.|->)\s*(?P<name>\w+)\s*(?P<call>\()?", re.DOTALL)
_BRACES = late(r"\s*\{")
_NAMED = late(r"(?P<name>[A-Za-z_]\w*)\s*(?:\(|=(?![=>])|=>|:(?!:))")
_ENVIRONMENT = late(r"\b(?:ENV|env)\.fetch\b|\bvalue\s*:")
_PREFIX = late(r"(?:with|set)(?=[A-Z_])|^_+", re.IGNORECASE)


class Call(NamedTuple):
    """A client that is made: where the call begins, where its bracket opens, what is called."""

    start: int
    bracket: int
    what: str
    made: Constructor


def calls(name: str, text: str) -> Iterator[Call]:
    """Where a client is made in `text`, the content of a file called `name`, by its name alone."""
    language = language_of(name)
    for made in constructors():
        if made.language != language:
            continue
        for lead, call in _written(made, text):
            pattern = _compiled(rf"(?<![\w$.\"'`]){re.escape(lead + call)}\s*\(")
            for match in pattern.finditer(text):
                before = text[max(0, match.start() - 3) : match.start()]
                if re.search(r"\w(?:::|\\)\Z", before):
                    continue  # of somebody else's module
                yield Call(match.start(), match.end() - 1, lead + call, made)


def language_of(name: str) -> str:
    """The language of the table that a file called `name` is written in, "" for none."""
    return _LANGUAGES.get(name.lower().rpartition(".")[2], "")


def may_be_addressed(text: str, call: Call, end: int) -> bool:
    """Whether an address may be given to what `call` makes, whose bracket closes before `end`."""
    arguments = text[call.bracket + 1 : end - 1]
    behind, steps = _behind(text, end)
    if len(arguments) > _MOST or re.search(r"\.\.\.|\*\*", arguments):
        return True
    given = list(_split(arguments))
    allowed, needed = (
        _compiled(regex, re.IGNORECASE | re.DOTALL)
        for regex in (call.made.arguments, call.made.needs)
    )
    if not all(allowed.fullmatch(one) for one in given):
        return True
    if call.made.needs and not any(needed.fullmatch(one) for one in given):
        return True
    if call.made.ends and call.made.ends not in steps:
        return True
    said = _ENVIRONMENT.sub("", _STRING.sub('""', arguments + "\n" + behind))
    names = {_PREFIX.sub("", match["name"]) for match in _NAMED.finditer(said)}
    plain = {re.sub(r"[^a-z]", "", name.lower()) for name in names}
    return not plain.isdisjoint(address_arguments())


def whole(text: str, call: Call, end: int) -> str:
    """The arguments of `call` with what stands behind it."""
    return text[call.bracket + 1 : end - 1] + _behind(text, end)[0]


def _written(made: Constructor, text: str) -> Iterator[tuple[str, str]]:
    """(what stands before it, call) for each way in which `text` can name the calls of `made`."""
    if not made.modules:
        # another OpenAI of PHP
        owner = made.calls[0].partition("::")[0]
        if not re.search(rf"\buse\s+[\w\\]+\\{owner}\s*;", text):
            yield from (("", call) for call in made.calls)
        return
    for module in made.modules:
        for call in made.calls:
            yield from ((lead, name) for lead, name in _imported(made, module, call, text))


def _imported(made: Constructor, module: str, call: str, text: str) -> Iterator[tuple[str, str]]:
    quoted = re.escape(module)
    if made.language == "go":
        found = re.search(rf"(?:^|[\s(])(?:(?P<as>[\w.]+)[ \t]+)?\"{quoted}(?:/v\d+)?\"", text)
        if found is not None:
            alias = made.package if found["as"] in (None, "import") else found["as"]
            yield "" if alias == "." else f"{alias}.", call
    elif made.language == "java":
        owner = call.partition(".")[0]
        if re.search(rf"^\s*import\s+{quoted}\.(?:{owner}\b|\*)", text, re.MULTILINE):
            yield "", call
    elif made.language == "csharp":
        if re.search(rf"^\s*(?:global\s+)?using\s+{quoted}\s*;", text, re.MULTILINE):
            yield "", call
    elif made.language == "rust":
        owner, _, method = call.partition("::")
        yield f"{module}::", call
        for use in re.finditer(rf"\buse\s+{quoted}::([^;]{{1,2000}});", text):
            for name in re.finditer(rf"(?<![\w:])(?:{owner})\b(?:\s+as\s+(\w+))?", use[1]):
                yield "", f"{name[1] or owner}::{method}"


def _behind(text: str, end: int) -> tuple[str, list[str]]:
    """The chain of calls, or the braces, behind the offset `end`, and what is called in it."""
    at, names = end, []
    while at - end < _MOST:
        step = _STEP.match(text, at)
        if step is None:
            break
        names.append(step["name"])
        at = _closed(text, step.start("call")) if step["call"] else step.end()
    braces = None if names else _BRACES.match(text, end)
    if braces is not None:
        at = _closed(text, braces.end() - 1)
    return text[end:at], names


def _closed(text: str, at: int) -> int:
    """The offset behind the bracket that closes the one at `at`; where to give up for none."""
    depth = 0
    last = min(len(text), at + _MOST)
    for token in _TOKEN.finditer(text, at, last):
        depth += (token["open"] is not None) - (token["close"] is not None)
        if depth == 0 and token["close"]:
            return token.end()
    return last


def _split(arguments: str) -> Iterator[str]:
    """The arguments of a call, without comments that stand before or behind one."""
    depth, start = 0, 0
    for token in _TOKEN.finditer(arguments):
        depth += (token["open"] is not None) - (token["close"] is not None)
        if token["comma"] and depth == 0:
            yield _plain(arguments[start : token.start()])
            start = token.end()
    if last := _plain(arguments[start:]):
        yield last


def _plain(argument: str) -> str:
    return re.sub(r"\A(?:\s|//[^\n]*\n|#[^\n]*\n)+|\s+//[^\n]*\Z", "", argument).strip()


@cache
def _compiled(regex: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(regex, flags)
