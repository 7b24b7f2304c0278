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
    *(b"openai.configure", b"new openai.", b"langchaingo/llms", b"google.golang.org/genai"),
)
"""One of them stands in every file with a finding, in any case."""

_MOST = 6000
"""Characters of a call and the chain behind it."""

_QUOTED = r"\"(?:[^\"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+'|`[^`]*+`"
_COMMENT = r"//[^\n]*+|/\*.*?\*/"
_HASHED = late(rf"{_QUOTED}|#[^\n]*+")
_TOKEN = late(rf"{_QUOTED}|(?P<open>[(\[{{])|(?P<close>[)\]}}])|(?P<comma>,)")
_STRING = late(rf"{_QUOTED}|{_COMMENT}", re.DOTALL)
_STEP = late(rf"(?:\s|{_COMMENT})*+(?:\??\.|->)\s*(?P<name>\w+)\s*(?P<call>\()?", re.DOTALL)
_LINES = 60
"""Lines of a call without brackets, and of a block."""

_ENDS = late(r"\n[ \t]*+(?:end\b|\})")
_BRACES = late(r"\s*\{")
_SCOPES = ("apply", "also", "run", "let")
"""What a block stands behind in a chain of Kotlin."""
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
            for match in _pattern(language, lead + call).finditer(text):
                before = text[max(0, match.start() - 3) : match.start()]
                if re.search(r"\w(?:::|\\)\Z", before):
                    continue  # of somebody else's module
                yield Call(match.start(), match.end() - 1, lead + call, made)


def _pattern(language: str, what: str) -> re.Pattern[str]:
    """A call of `what`, which may stand on several lines, up to its bracket; or up to what it is
    given where it takes no bracket."""
    spaced = re.sub(r"\\\.|::", r"\\s*+\g<0>\\s*+", re.escape(what)).replace(r"\ ", r"\s++")
    opens = r"\s*+\("
    if language == "rust":
        at = spaced.rfind(r"\s*+::")
        spaced = rf"{spaced[:at]}(?:::<[^();]{{0,200}}>)?{spaced[at:]}"
    elif language == "csharp":
        kind = spaced.removeprefix(r"new\s++")
        held = r"\??\s++\w++\s*+(?:\{[^{}]{0,100}\}\s*+)?=>?\s*+new"
        spaced = rf"(?:{spaced}|(?<!new ){kind}{held})"
    elif what.endswith(".configure"):
        opens = r"\s*+(?:do|\{)\s*+\|"
    elif language == "ruby":
        opens = r"(?:\s*+\(|[ \t](?=[ \t]*+:?\w++(?::(?!:)|[ \t]*+=>)))"
    return _compiled(rf"(?<![\w$.\"'`]){spaced}{opens}")


def end_without_bracket(text: str, call: Call) -> int:
    """Where the arguments end of a call that takes no bracket, 0 for one that does."""
    if text[call.bracket] == "(":
        return 0
    block, at = text[call.bracket] == "|", call.bracket
    for _ in range(_LINES):
        at = text.find("\n", at + 1)
        if at < 0:
            return len(text) + 1
        if _ENDS.match(text, at) if block else not text[at - 2 : at].rstrip().endswith((",", "\\")):
            return at + 1
    return 0


def language_of(name: str) -> str:
    """The language of the table that a file called `name` is written in, "" for none."""
    return _LANGUAGES.get(name.lower().rpartition(".")[2], "")


def may_be_addressed(text: str, call: Call, end: int) -> bool:
    """Whether an address may be given to what `call` makes, whose bracket closes before `end`."""
    if end - call.bracket > _MOST:
        return True
    arguments = _without_comments(text[call.bracket + 1 : end - 1], call.made.language)
    behind, steps = _behind(text, end)
    if re.search(r"\.\.\.|\*\*", arguments):
        return True
    given = list(_split(arguments)) if text[call.bracket] != "|" else [arguments]
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
        owner, _, method = call.partition(".")
        for use in re.finditer(
            rf"^[ \t]*+import\s+(?P<static>static\s+)?{quoted}\.(?:(?P<owner>{owner})\b|\*)"
            rf"(?:\s+as\s+(?P<as>\w+)|\.(?:{method}\b|(?P<all>\*)))?",
            text,
            re.MULTILINE,
        ):
            yield "", method if use["static"] else f"{use['as'] or owner}.{method}"
        if f"{module}.{owner}" in text:
            yield f"{module}.", call
    elif made.language == "csharp":
        kind = call.removeprefix("new ")
        if re.search(rf"^[ \t]*+(?:global\s+)?using\s+{quoted}\s*;", text, re.MULTILINE):
            yield "", call
        alias = re.search(
            rf"^[ \t]*+(?:global\s+)?using\s+(\w+)\s*=\s*{quoted}\.{kind}\s*;", text, re.M
        )
        if alias is not None:
            yield "", f"new {alias[1]}"
        if f"{module}.{kind}" in text:
            yield "", f"new {module}.{kind}"
    elif made.language == "rust":
        owner, _, method = call.partition("::")
        yield f"{module}::", call
        for use in re.finditer(rf"\buse\s+{quoted}\s+as\s+(\w+)\s*;", text):
            yield f"{use[1]}::", call
        for use in re.finditer(rf"\buse\s+{quoted}::([^;]{{1,2000}}+);", text):
            for name in re.finditer(rf"(?<![\w:])(?:config::)?{owner}\b(?:\s+as\s+(\w+))?", use[1]):
                yield "", f"{name[1] or owner}::{method}"


def _behind(text: str, end: int) -> tuple[str, list[str]]:
    """The chain of calls, or the braces, behind the offset `end`, and what is called in it."""
    at, names = end, []
    while at - end < _MOST:
        # no further: a comment there may not end
        step = _STEP.match(text, at, end + _MOST)
        if step is None:
            break
        names.append(step["name"])
        at = _closed(text, step.start("call")) if step["call"] else step.end()
        block = _BRACES.match(text, at) if step["name"] in _SCOPES else None
        if block is not None:
            at = _closed(text, block.end() - 1)
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
    """The arguments of a call."""
    depth, start = 0, 0
    for token in _TOKEN.finditer(arguments):
        depth += (token["open"] is not None) - (token["close"] is not None)
        if token["comma"] and depth == 0:
            yield arguments[start : token.start()].strip()
            start = token.end()
    if last := arguments[start:].strip():
        yield last


def _without_comments(text: str, language: str) -> str:
    pattern = _HASHED if language == "ruby" else _STRING
    return pattern.sub(lambda match: " " if match[0][0] in "/#" else match[0], text)


@cache
def _compiled(regex: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(regex, flags)
