"""What source code does with an address that is written in it: call it, keep it, or only name it.

Judged by what stands around the string: the name it is given to, the function it is handed to, the
brackets. It is no parser, so what it cannot tell is only named.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from guard.late import late
from guard.sources.code_text import Bracket, Quoted

CALLED = "called"
"""The address is where a request goes, or what a client is given."""
KEPT = "kept"
"""The address is a value that a call may use: a constant, a default, what a function returns."""
NAMED = ""
"""The address is a name, a text or an example."""


class Use(NamedTuple):
    """What is done with an address (CALLED, KEPT, NAMED), and the name that it is given to."""

    kind: str
    key: str = ""


_WINDOW = 200

_KEYED = late(
    r"(?P<key>[A-Za-z_$][\w$.-]*)[\"'`]?\]?[ \t]*"
    r"(?P<op>\|\|=|\?\?=|:?=(?!>)|:|=>)\s*(?:await\s+)?[({]?\s*[frbuFRBU@$]{0,2}\Z"
)
_TYPED = late(
    r"(?P<key>[A-Za-z_$][\w$.-]*)\??[ \t]*:[ \t]*[A-Za-z_][\w.]*(?:[\[<][^\]>=]{0,60}[\]>])?"
    r"(?:[ \t]*\|[ \t]*\w+){0,3}[ \t]*(?P<op>=)(?!>)\s*[({]?\s*[frbuFRBU@$]{0,2}\Z"
)
_CHOSEN = late(r"\s+if\s")
"""What stands behind the string in Python's `"…" if x else y`."""
_FALLBACK = late(r"(?:\|\||\?\?|\bor|\belse|\?|\?:|:-)\s*[frbuFRBU]{0,2}\Z")
_TERNARY = late(r"\?[^?:{}\n]{0,120}:\s*\Z|\?\s*[\"'`][^\"'`\n]{0,200}[\"'`]\s*:\s*\Z")
_RETURNED = late(r"(?:\breturn|=>|\byield)\s*\(?\s*[frbu]{0,2}\Z")
_COMPARED_BEFORE = late(r"(?:[!=]==?|\bcase|\bin|\bis|\bnot|(?<![=-])[<>])\s*[frbu]{0,2}\Z")
_COMPARED_AFTER = late(r"\s*(?:[!=]==?|\bnot\s+in\b|\bin\b|\bis\b|\.(?:includes|startsWith))")
_CALLEE = late(r"(?P<new>\bnew\s+)?(?P<name>[A-Za-z_$][\w$.?]*)\s*(?:<[^<>()]{0,80}>)?\s*\Z")
_DEFINITION = late(
    r"(?:\bdef|\bfunction\*?|\bfunc|\bfn|\bfun|\bconstructor|\bclass|\basync)\s*[\w$]*\s*\Z"
    r"|\bconstructor\s*\Z"
)
_VERB_FIRST = late(
    r"\s*(?:\w+\s*,\s*)?(?:[\"'](?:GET|POST|PUT|PATCH|DELETE)[\"']|[\w.]*\.(?:Method)?"
    r"(?:Get|Post|Put|Patch|Delete|GET|POST|PUT))\s*,\s*\Z"
)
_PROSE_BEHIND = late(r"[^\s`\"']*(?:\s)")

_ENDPOINT = late(r"https?://[^/\s\"']+/(?:[\w.-]+/)+[\w{$]|https?://[^/\s\"']+/(?!v\d)\w")
"""An address with a path below that of the API's version: a made request to less goes nowhere."""

_HTTP = frozenset(
    (
        "get", "post", "put", "patch", "delete", "head", "request", "stream", "fetch", "urlopen",
        "axios", "got", "ky", "newrequest", "newrequestwithcontext", "postform", "websocket",
        "connect", "ws_connect", "websocket_connect", "eventsource", "fetcheventsource", "ofetch",
        "$fetch", "usefetch", "getasync", "postasync", "postasjsonasync", "httprequestmessage",
        "curl_init", "file_get_contents", "streamrequest", "request_raw", "getjson", "postjson",
        "async_post", "async_get", "apost", "aget", "fetchjson", "fetchwithretry",
        "create_connection",
    )
)  # fmt: skip
_READS = frozenset(
    ("getenv", "get", "setdefault", "pop", "env", "config", "getproperty", "coalesce", "default",
     "get_secret_str", "get_secret", "getattr", "get_from_dict_or_env", "secret_from_env",
     "getenvironmentvariable", "getenvor", "envor", "optional", "unwrap_or", "orelse", "fetch")
)  # fmt: skip
_SAYS = frozenset(
    (
        "print", "println", "printf", "fprintf", "sprintf", "log", "info", "debug", "warn",
        "warning", "error", "exception", "critical", "trace", "fatal", "echo", "write", "secho",
        "expect", "tobe", "toequal", "tostrictequal", "tocontain", "tomatch", "tomatchobject",
        "tohavebeencalledwith", "equal", "equals", "strictequal", "deepequal", "is_equal",
        "startswith", "starts_with", "endswith", "includes", "contains", "has", "hasprefix",
        "has_prefix", "indexof", "match", "search", "compile", "regexp", "replace", "replaceall",
        "split", "open", "openexternal", "open_new_tab", "text", "markdown", "link", "describe",
        "it", "test", "isinstance", "urlparse", "add_to_allowlist", "help", "note", "panic", "fail",
        "isequalto", "tohaveproperty", "stringcontaining", "label", "caption", "success",
        "removeprefix", "removesuffix", "strip", "lstrip", "rstrip", "trim",
    )
)  # fmt: skip
_SAYS_ENDS = ("error", "exception", "warning", "assert", "logger")
_DATA = frozenset(
    ("freeze", "object", "setstate", "usestate", "push", "append", "add", "dict", "extend",
     "defineconfig", "register", "set", "map", "concat", "entries", "update", "parse", "stringify",
     "dumps", "field", "literal", "enum")
)  # fmt: skip

_SAID = late(
    r"(?:.*_)?(?:placeholder|href|src|title|label|descr?|description|help|help_?text|hint|examples?"
    r"|docs?|docs?_?(?:url|link)|documentation(?:_?(?:url|link))?|homepage|website|referr?er"
    r"|http_referer|issuer|tooltip|message|pattern|regexp?|matcher|allow(?:ed)?|allow_?list"
    r"|white_?list|deny|block(?:ed)?|csp|connect_?src|claims?(?:_?key|_?path)?|prefix|namespace"
    r"|sign_?up(?:_?url)?|(?:api_?)?keys?_?(?:url|link|page)|get_?(?:api_?)?key(?:_?url)?"
    r"|api_?key_?url|terms|privacy|prompt|summary|caption|default_?(?:text|label)|icon|logo|avatar"
    r"|citation|aria_label|helper|subtitle|heading)s?"
    r"|\w*(?:claim_?path|claim_?key)|link|origin|scopes?|audience|aud|text|error|name|id|info|note"
    r"|comment|match|schema|\$schema|xmlns|content|body|subject|alt|source|image|reference|see|usage"
    r"|tags?|copy",
    re.IGNORECASE,
)
"""Names of what is shown, matched or compared."""

_MAPPING = late(
    r"claim|map|dict|cache|header|conf|setting|store|data|param|namespace|token|jwt|payload|env"
    r"|registry|state|option|kwarg|meta|attr|prop|record|row|lookup|index"
)
"""Names of what is looked into by its `get`, and is no client."""

_PREDICATE = late(
    r"(?:is|has|are|can|should|supports?|includes?|match(?:es)?|compare|equals?|same|detect|infer"
    r"|validate|check|verify|mask|redact|format|escape|encode|quote|visit|goto|navigate|redirect)"
    r"(?![a-z])"
)
"""Names of functions that ask something of an address, or show it, and send nothing to it."""

_FLAG = late(r"[\"'`](?P<flag>--?[\w-]+)[\"'`]\s*,\s*[frbu]?\Z")
_CLIENTS = late(r"[\[,]\s*[\"'`](?:[\w/]*/)?(?:curl|wget|http|https|xh|httpie)[\"'`]\s*,")
_BASE_CALLEE = late(
    r"(?:with|set|use)?_?(?:api_?)?(?:base_?(?:url|uri)|api_?base|endpoint|uri)", re.IGNORECASE
)


def use_of(text: str, quoted: Quoted, url: int, is_base: object) -> Use:
    """What the code `text` does with the address at `url`, which stands in the string `quoted`.

    `is_base` (name -> bool) tells whether a name is that of a base URL.
    """
    if _PROSE_BEHIND.match(text, url, quoted.end) or text[quoted.inner : url].strip("\"'"):
        return Use(NAMED)
    innermost = quoted.brackets[0] if quoted.brackets else None
    begin = max(innermost.at + 1 if innermost else 0, quoted.start - _WINDOW)
    lead = text[begin : quoted.start]
    behind = text[quoted.end : quoted.end + 40]
    if _COMPARED_AFTER.match(behind) or _COMPARED_BEFORE.search(lead):
        return Use(NAMED)
    callees = [_callee(text, bracket) for bracket in quoted.brackets]
    if any(_says(callee) for callee in callees[: _statement(text, quoted.brackets)]):
        return Use(NAMED)
    found = _TYPED.search(lead) or _KEYED.search(lead)
    key = found["key"] if found else ""
    if key and _SAID.fullmatch(_last(key)):
        return Use(NAMED)
    kind = innermost.kind if innermost else ""
    name = callees[0] if callees else ""
    if _CHOSEN.match(behind):
        return Use(KEPT)
    fallback = _is_fallback(lead) or _RETURNED.search(lead) or _TERNARY.search(lead)
    if not key and kind in ("[", "{") and not fallback:
        return Use(_element(text, quoted, lead, behind, kind), _flag(lead))
    return _judged(text, quoted, lead, found, name, callees, is_base, url)


def _judged(
    text: str,
    quoted: Quoted,
    lead: str,
    found: re.Match[str] | None,
    name: str,
    callees: list[str],
    is_base: object,
    url: int,
) -> Use:
    kind = quoted.brackets[0].kind if quoted.brackets else ""
    key = found["key"] if found else ""
    op = found["op"] if found else ""
    last = _last(name).lower()
    base = bool(key) and is_base(key)  # type: ignore[operator]
    if _is_fallback(lead) or _TERNARY.search(lead):
        return Use(KEPT, "" if op == ":" else _target(text, quoted.start))
    if _RETURNED.search(lead) and op in ("", "=>"):
        return Use(KEPT)
    if kind == "(" and not key:
        return _argument(lead, last, name, quoted, text)
    if kind == "(" and op in ("=", ":="):
        if not name:
            return Use(KEPT, key)
        if _is_definition(text, quoted.brackets[0]):
            return Use(KEPT, key)
        if _last(key).lower().startswith("default"):
            return Use(KEPT, key)
        if _last(name) == "Request" and not _sent(callees):
            return Use(KEPT if _ENDPOINT.match(text, url) else NAMED, key)
        if base or (last in _HTTP and _last(key).lower() in ("url", "uri")):
            return Use(KEPT if last in _DATA else CALLED, key)
        return Use(NAMED)
    if kind == "{" and op == ":":
        outer = _receiver(text, quoted, callees)
        plain = _last(outer).lower()
        if plain in _HTTP and _last(key).lower() in ("url", "uri"):
            return Use(CALLED, key)
        if base and plain and plain not in _DATA:
            return Use(CALLED, key)
        return Use(KEPT if base or _last(key).lower() == "default" else NAMED, key)
    if kind == "(" and op == ":" and base and name and last not in _DATA:
        return Use(CALLED, key)
    if op in ("=", ":=", "||=", "??="):
        owner, dot, _ = key.rpartition(".")
        if dot and base and owner not in ("self", "this", "cls"):
            return Use(CALLED, key)
        if re.search(r"environ(?:\[|\.)|process\.env|\benv\[|ENV\[|setenv", lead):
            return Use(CALLED, key)
        return Use(KEPT, key)
    return Use(KEPT if base else NAMED, key)


def _sent(callees: list[str]) -> bool:
    """Whether the request that is made is an argument of what sends it."""
    return any(_last(callee).lower() in ("urlopen", "send", "fetch") for callee in callees[1:])


def _argument(lead: str, last: str, name: str, quoted: Quoted, text: str) -> Use:
    """The use of a positional argument of `name`."""
    first = not lead.strip("frbuFRBU \t\n")
    if last in _READS and first:
        owner = name.rpartition(".")[0].lower()
        return Use(CALLED if last in _HTTP and not _MAPPING.search(owner) else NAMED)
    if (last in _HTTP or last.startswith("fetch")) and (first or _VERB_FIRST.search(lead)):
        return Use(CALLED)
    if last in _READS or last.startswith(("getenv", "get_env", "env_")):
        return Use(KEPT, _string_before(lead))
    if _BASE_CALLEE.fullmatch(last) and first:
        return Use(CALLED, _last(name))
    if last in ("setenv", "putenv"):
        return Use(CALLED, _string_before(lead))
    if name and (first or _last(name)[:1].isupper()) and not _PREDICATE.match(_last(name)):
        return Use(KEPT)
    if not name and (lead.rstrip()[-1:] == "," or _next(text, quoted) == ","):
        return Use(NAMED)
    if not name:
        before = text[max(0, quoted.brackets[0].at - _WINDOW) : quoted.brackets[0].at]
        found = _KEYED.search(before)
        return Use(KEPT if found else NAMED, found["key"] if found else "")
    return Use(NAMED)


def _receiver(text: str, quoted: Quoted, callees: list[str]) -> str:
    """What is called with the object that holds the string, or with one that holds that."""
    for number, bracket in enumerate(quoted.brackets[1:3], 1):
        inner = quoted.brackets[number - 1].at
        before = text[bracket.at + 1 : inner].rstrip()[-1:]
        if bracket.kind == "(":
            return callees[number] if before in ("", ",") else ""
        if bracket.kind != "{" or before != ":":
            return ""
    return ""


def _next(text: str, quoted: Quoted) -> str:
    """The first character behind the string that is no blank."""
    return text[quoted.end : quoted.end + 40].lstrip()[:1]


def _element(text: str, quoted: Quoted, lead: str, behind: str, kind: str) -> str:
    """The use of an element of a list or a set, of a key of a mapping, of a subscript."""
    if kind == "{" and behind.lstrip().startswith(":"):
        return NAMED
    opened = quoted.brackets[0].at
    if kind == "[" and (_FLAG.search(lead) or _CLIENTS.search(text[opened : quoted.start])):
        return CALLED
    return NAMED


def _flag(lead: str) -> str:
    found = _FLAG.search(lead)
    return found["flag"] if found else ""


def _callee(text: str, bracket: Bracket) -> str:
    """What is called at the bracket, "" for nothing."""
    if bracket.kind != "(":
        return ""
    found = _CALLEE.search(text, max(0, bracket.at - 100), bracket.at)
    if found is None or found["name"] in ("if", "while", "for", "return", "and", "or", "in", "not"):
        return ""
    return found["name"]


def _statement(text: str, brackets: tuple[Bracket, ...]) -> int:
    """How many of `brackets` belong to the statement: those inside of the nearest block."""
    for number, bracket in enumerate(brackets):
        if bracket.kind == "{" and text[max(0, bracket.at - 20) : bracket.at].rstrip()[
            -2:
        ].endswith(("=>", ")")):
            return number
    return len(brackets)


def _is_definition(text: str, bracket: Bracket) -> bool:
    line = text[text.rfind("\n", 0, bracket.at) + 1 : bracket.at]
    return bool(_DEFINITION.search(line)) or bool(re.search(r"\b(?:def|function|func|fn)\b", line))


def _says(callee: str) -> bool:
    last = _last(callee).lower()
    return bool(last) and (
        last in _SAYS or last.endswith(_SAYS_ENDS) or last.startswith(("assert", "log_", "print"))
    )


def _is_fallback(lead: str) -> bool:
    return _FALLBACK.search(lead) is not None


def _target(text: str, at: int) -> str:
    """The name that the statement at `at` assigns to, as far as its line tells."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    found = re.match(r"\s*(?:export\s+|const\s+|let\s+|var\s+)*([\w.$]+)[^=:\n]{0,40}[:=]", line)
    return found[1] if found else ""


def _string_before(lead: str) -> str:
    found = re.search(r"[\"'`](\w+)[\"'`]\s*,\s*\Z", lead)
    return found[1] if found else ""


def _last(name: str) -> str:
    return name.rpartition(".")[2].rstrip("?")
