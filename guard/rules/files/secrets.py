"""A provider's key written out in a file (RG111): by its form, its randomness and what is near.

The text is searched for literals first, at the speed of C; only where one stands does a regex
look. No regex here has two ways to match the same text, so a hostile line costs linear time.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_left
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from guard.catalog.classify import classify
from guard.catalog.key_values import LONGEST, entropy, is_placeholder, is_random
from guard.catalog.secret_patterns import PrefixedKey, secret_patterns
from guard.late import late
from guard.record import Record
from guard.rules.files.scope import Placed, Scope, Span
from guard.rules.needles import Form, Needle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

NEARBY = 300
"""Characters before and after an ambiguous key in which one of its words has to stand."""

_ENTROPY_OF_A_NAMED_VALUE = 3.2
"""Bits per character that the value of a known variable needs to be taken for a key; random hex
of 32 digits has about 3.6, English words with hyphens are kept out by their form."""

_SHORTEST = 20

# prefixes under which one deployment's name is another's: the framework hands the value on
_FRAMEWORK_PREFIXES = late(
    r"(?:TF_VAR|VITE|NEXT_PUBLIC|NUXT_PUBLIC|NUXT|REACT_APP|VUE_APP|EXPO_PUBLIC|GATSBY|PUBLIC"
    r"|MY|DEV|STAGING|PROD|TEST|LOCAL)_"
)

_HEX = late(r"[0-9a-f]+|[0-9A-F]+")

# `sha256=` in a wheel's RECORD, `sha512-` in a lock file: a digest that begins like a key
_DIGEST = late(r"sha\d{1,3}[=:-]\Z", re.IGNORECASE)

_CAMEL_CASE = re.compile(r"_*[a-z]{2,}(?:[A-Z][a-z]{1,}|[A-Z]{2,3}(?=[A-Z][a-z])){2,}\d?")
"""A name in code: in a random key a capital is followed by one more as often as not."""

_NAME_TAIL = "API_KEY"
_NAME = late(r"[A-Za-z0-9_]*\Z")
_NAME_LENGTH = 80

_VALUE = r"(?P<value>[A-Za-z0-9_\-.+/=:]{20,300}+)(?![A-Za-z0-9_\-.+/=:(\[{$<])"

# after the name of a variable: NAME=value, "NAME": "value", ("NAME", "value"), a Kubernetes
# env entry, whose value stands on the next line
_GIVEN = (
    r"(?:[\"'`\])]{0,3}[ \t]{0,4}(?:=>|[:?]?=|:)[ \t]{0,4}[\"'`]?"
    r"|[\"'`],[ \t]{0,4}[\"'`]"
    r"|[\"']?,?\s{1,40}[\"']?value[\"']?[ \t]{0,3}[:=][ \t]{0,4}[\"']?)"
)
_ASSIGNED = late(_GIVEN + _VALUE)
_FIRST_PART = late(_GIVEN + r"(?P<value>[A-Za-z0-9_\-.+/=:]{1,300}+)(?=[\"'`\\])")
_ANY_PART = late(r"[A-Za-z0-9_\-.+/=:]*+")

# between the parts of a text that stand beside each other or are put together: "a" "b", 'a' + 'b',
# "a".concat("b"), ["a", "b"].join(""), a"b" and a line that goes on in the next
_QUOTE = r"(?:[fFrRbBuU@$]{0,2}[\"'`])"
_BLANK = r"(?:[ \t\r\n\\_]{1,100}+|(?://|#)[^\r\n]{0,100}+){0,8}+"
_OPERATORS = r"\+|\.\.|\.concat\(|\.|&|~|<>|\|\|"
_BESIDE = rf"{_BLANK}{_QUOTE}|[\"'](?=[A-Za-z0-9])|\\\r?\n[ \t]{{0,40}}+"
_JOINT = late(rf"[\"'`]{_BLANK}(?:{_OPERATORS})?{_BESIDE}")
# in a list a comma joins only where the list is put together
_COMMA = late(rf"[\"'`]{_BLANK},{_BLANK}{_QUOTE}")
_JOINED_BEFORE = late(r"(?:join|paste0|concat|cat)\(\s{0,3}[\[(]?\s{0,3}[rbuf]?[\"'`]\Z")
_JOINED_BEHIND = late(r"[\"'`]\s{0,3},?\s{0,3}\]\s{0,3}\.join\(")
_MOST_JOINTS = 20
_ENDS_A_PART = ('"', "'", "`", "\\")
"""What `_JOINT` and `_COMMA` begin with."""

# a Google service account's private key, in JSON, in JSON within another text, and as it is
_PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----"
_PRIVATE_BODY = late(r"(?:\\+[nr]|[A-Za-z0-9+/=\s])*+")
_ACCOUNT_WORDS = ("gserviceaccount.com", "service_account", "private_key_id")
_ACCOUNT = "Google Cloud (a service account)"
_ACCOUNT_NEARBY = 3000
_ACCOUNTS_IN_BASE64 = ("ewogICJ0eXBlIjog", "eyJ0eXBlIjogIn", "eyJ0eXBlIjoi")
"""How the JSON of a service account begins in base64: as Google writes it, and on one line."""

# the same with a short value in quotes, which can only stand for a key
_QUOTED = late(
    r"[\"'`\])]{0,3}[ \t]{0,4}(?:=>|[:?]?=|:|,)[ \t]{0,4}[\"'`](?P<value>[^\s\"'`]{3,80})[\"'`]"
)

# from a vendor's name to a value that something called a key or a token is given
_NAMED = late(
    r"[^=;#\n]{0,60}?(?:\n[^=;#\n]{0,60}?){0,2}"
    r"(?:(?:api[_-]?key|[_-]key|\bkey|token|authorization)[\"'`\])]{0,3}\s{0,4}"
    r"(?:=>|[:?]?=|:|,)\s{0,4}[\"'`]?(?:bearer[ \t]{1,3})?|bearer[ \t]{1,3})" + _VALUE,
    re.IGNORECASE,
)
_NAMED_WINDOW = 640

# what _NAMED and _VALUE match, in the bytes of a file: what `\s` and a letter in any case may be
# outside of ASCII (U+00A0, U+0131, U+212A) counts as well
_NAMED_FORM = (
    rb"(?:(?:(?:k|\xe2\x84\xaa)ey|to(?:k|\xe2\x84\xaa)en|author[a-z\x80-\xff]{3,9})"
    rb"[\"'`\])]{0,3}[\x00-\x20\x80-\xff]{0,12}(?:=>|[:?]?=|:|,)[\x00-\x20\x80-\xff]{0,12}"
    rb"[\"'`]?(?:bearer[ \t]{1,3})?|bearer[ \t]{1,3})[A-Za-z0-9_\-.+/=:]{20}"
)

_MOST_NAMES = 20_000
"""Names in one file behind which a value is looked for, about half a second's worth."""


def variable_kind(name: str, policy: CompiledPolicy) -> tuple[str, str]:
    """(kind, owner) of the variable `name`, also behind a framework's prefix.

    `VITE_OPENAI_API_KEY` and `TF_VAR_openai_api_key` are OpenAI's key under another name. Names
    are case-sensitive, as in an environment, but for Terraform's, which are lower case by habit.
    """
    gateway_keys = policy.gateway_keys
    variables = policy.variables or catalogued_variables()
    kind, owner = classify(name, variables, gateway_keys)
    if kind not in ("", "unknown_key"):
        return kind, owner
    plain = name.upper() if name.startswith("TF_VAR_") else name
    while prefix := _FRAMEWORK_PREFIXES.match(plain):
        plain = plain[prefix.end() :]
    if plain == name:
        return kind, owner
    inner = classify(plain, variables, gateway_keys)
    return inner if inner[0] else (kind, owner)


@cache
def catalogued_variables() -> Mapping[str, tuple[str, str]]:
    """(kind, owner) by name, for a policy that was built without the catalogue."""
    from guard.catalog import variables

    return {name: (known.kind, known.owner) for name, known in variables().items()}


_ESCAPES = (
    # in a string, in a URL, and what colours a terminal: \n, \x27, \u0027, %3D, ESC [ 0 ; 32 m
    *(r"\\[nrt]", r"\\x[0-9A-Fa-f]{2}", r"\\u[0-9A-Fa-f]{4}", r"%[0-9A-Fa-f]{2}"),
    *(r"\[m", r"[\[;][0-9]m", r"[\[;][0-9]{2}m", r"[\[;][0-9]{3}m"),
)
"""What may stand right before a key though it ends in a letter or a digit."""


class _Scan(NamedTuple):
    """What begins with `literal`: the regex for what may be a key or the first part of one, that
    for another part, and the patterns that it may be."""

    literal: str
    start: re.Pattern[str]
    part: re.Pattern[str]
    patterns: tuple[PrefixedKey, ...]


@cache
def _scans() -> tuple[_Scan, ...]:
    """One for each literal. A prefix that begins with another is found with it: `sk-ant-` with
    `sk-`."""
    patterns = secret_patterns().prefixed
    literals = sorted({p.prefix for p in patterns}, key=len)
    shortest = [
        literal
        for literal in literals
        if not any(literal != other and literal.startswith(other) for other in literals)
    ]
    scans = []
    for literal in shortest:
        group = tuple(p for p in patterns if p.prefix.startswith(literal))
        charset = "".join(dict.fromkeys(p.charset for p in group))
        escaped = re.escape(literal)
        # behind the literal, so that it stays a literal prefix: not inside a word, unless the
        # word is the end of an escape
        escapes = "|".join(rf"(?<={escape}{escaped})" for escape in _ESCAPES)
        start = rf"{escaped}(?:(?<![A-Za-z0-9_]{escaped})|{escapes})"
        # as long as a key, or up to what ends a text that may go on in another one
        rest = rf"(?:[{charset}]{{{_SHORTEST - len(literal)},}}+|[{charset}]*+(?=[\"'`\\]))"
        scans.append(_Scan(literal, late(start + rest), late(rf"[{charset}]*+"), group))
    return tuple(scans)


def _form_needle(literal: str, patterns: tuple[PrefixedKey, ...]) -> Form:
    """What a file with a key that begins with `literal` holds: as many characters as one has, or
    fewer up to the end of a text or line that goes on elsewhere (`_JOINT`, `_COMMA`)."""
    charset = "".join(dict.fromkeys(pattern.charset for pattern in patterns))
    rest = _SHORTEST - len(literal)
    form = rf"{re.escape(literal)}(?:[{charset}]{{{rest}}}|[{charset}]{{0,{rest}}}[\"'`\\])"
    return Form(literal.lower().encode(), form.encode())


@cache
def _compiled(regex: str) -> re.Pattern[str]:
    return re.compile(regex)


class _Budget(Record):
    """How many more names may be looked behind; `spent` once one had to be left out."""

    left: int
    spent: bool = False

    def take(self) -> bool:
        """Whether there is one more."""
        self.left -= 1
        self.spent = self.left < 0
        return not self.spent


class _Literal(NamedTuple):
    """A key that was found: where it stands, whose it is, the variable that holds it, itself.

    A `placeholder` only stands for one.
    """

    start: int
    end: int
    owner: str
    name: str
    value: str
    placeholder: bool = False


def _literals(text: str, policy: CompiledPolicy) -> tuple[list[_Literal], bool]:
    """The keys written out in `text`, in order, none overlapping; and whether all was looked at.

    Of two that overlap the one stays that was told by its form, then by a variable's name.
    """
    found: list[_Literal] = []
    lower = _lowered(text)
    budget = _Budget(_MOST_NAMES)
    for source in (
        _prefixed(text, lower),
        _service_accounts(text),
        _coded(text),
        _assigned(text, policy, budget),
        _named(text, lower, budget),
    ):
        taken = sorted(found, key=lambda literal: literal.start)
        starts = [literal.start for literal in taken]
        for literal in source:
            before = bisect_left(starts, literal.end) - 1
            if before < 0 or taken[before].end <= literal.start:
                found.append(literal)
    # two names can lead to one value: `AZURE_API_KEY` and the word `azure` in it
    kept: list[_Literal] = []
    for literal in sorted(found, key=lambda literal: literal.start):
        if not kept or literal.start >= kept[-1].end:
            kept.append(literal)
    return kept, not budget.spent


def _lowered(text: str) -> str:
    """`text` in lower case with every offset kept: only U+0130 grows when lowered."""
    return text.replace("\u0130", "I").lower()


def _prefixed(text: str, lower: str) -> Iterator[_Literal]:
    for literal, scan, part, patterns in _scans():
        if literal not in text:
            continue
        for match in scan.finditer(text):
            start, end = match.span()
            candidate, pattern = _fitting(match.group(), patterns)
            if pattern is not None:
                end = start + len(candidate)
            elif text[end : end + 1] not in _ENDS_A_PART:
                continue
            else:
                whole, end = _with_parts(text, match.group(), match.end(), part, _JOINT)
                if whole == match.group():
                    whole, end = _with_parts(text, whole, end, part, _COMMA)
                    if not (
                        _JOINED_BEFORE.search(text, max(0, start - 20), start)
                        or _JOINED_BEHIND.match(text, end)
                    ):
                        continue
                candidate, pattern = _fitting(whole, patterns)
            if pattern is None:
                continue
            body = candidate[len(pattern.prefix) :]
            placeholder = is_placeholder(candidate)
            if not placeholder and not is_random(body, pattern.entropy):
                continue
            if pattern.words and not _near(lower, start, end, pattern.words):
                continue
            if _DIGEST.search(text, max(0, start - 10), start):
                continue
            yield _Literal(start, end, pattern.owner, "", candidate, placeholder)


def _fitting(token: str, patterns: tuple[PrefixedKey, ...]) -> tuple[str, PrefixedKey | None]:
    """The part of `token` that is a key by its form, and the pattern that says so."""
    if _SHORTEST <= len(token) <= LONGEST:
        for candidate in dict.fromkeys((token, token.rstrip("-_"))):
            pattern = _matching(candidate, patterns)
            if pattern is not None:
                return candidate, pattern
    return token, None


def _with_parts(
    text: str, first: str, end: int, part: re.Pattern[str], between: re.Pattern[str]
) -> tuple[str, int]:
    """The text that begins with `first`, up to `end`, and goes on in literals beside it.

    `part` matches what one of those may hold, `between` what joins two of them. The end is that of
    the last one.
    """
    parts = [first]
    for _ in range(_MOST_JOINTS):
        joint = between.match(text, end)
        found = part.match(text, joint.end()) if joint is not None else None
        if found is None or not found.group():
            break
        parts.append(found.group())
        end = found.end()
    return "".join(parts), end


def _service_accounts(text: str) -> Iterator[_Literal]:
    """The private keys of Google service accounts, also where their JSON is in base64."""
    at = text.find(_PRIVATE_KEY)
    while at >= 0:
        body = _PRIVATE_BODY.match(text, at + len(_PRIVATE_KEY))
        end = body.end() if body else at + len(_PRIVATE_KEY)
        around = text[max(0, at - _ACCOUNT_NEARBY) : end + _ACCOUNT_NEARBY]
        key = re.sub(r"\\+[nr]|\s", "", body.group() if body else "")
        if any(word in around for word in _ACCOUNT_WORDS) and _is_private_key(key):
            yield _Literal(at, end, _ACCOUNT, "", text[at:end])
        at = text.find(_PRIVATE_KEY, end)
    for begin in _ACCOUNTS_IN_BASE64:
        at = text.find(begin)
        while at >= 0:
            found = _compiled(r"[A-Za-z0-9+/=]*+").match(text, at)
            end = found.end() if found else at + len(begin)
            if end - at >= _LEAST_ACCOUNT and _PRIVATE_KEY in _from_base64(text[at:end]):
                yield _Literal(at, end, _ACCOUNT, "", text[at:end])
            at = text.find(begin, end)


def _coded(text: str) -> Iterator[_Literal]:
    """The keys with a known prefix that stand in base64 or in hex, with nothing before them."""
    for begins, run, decode in (
        (
            _in_base64(),
            r"[A-Za-z0-9+/_-]++(?P<more>(?:\r?\n[ \t]++[A-Za-z0-9+/_-]++)*+)={0,2}",
            _from_base64,
        ),
        (_in_hex(), r"[0-9A-Fa-f]++(?P<more>)", _from_hex),
    ):
        for begin in begins:
            at = text.find(begin)
            while at >= 0:
                match = _compiled(run).match(text, at)
                end = at + len(begin)
                if match is not None and not text[at - 1 : at].isalnum():
                    # on one line, or on several that are indented, as YAML has it
                    for end in dict.fromkeys((match.start("more"), match.end())):
                        if (found := _decoded(text, at, end, decode)) is not None:
                            yield found
                            break
                at = text.find(begin, end)


def _decoded(text: str, at: int, end: int, decode: Callable[[str], str]) -> _Literal | None:
    if end - at < _LEAST_CODED:
        return None
    plain = decode("".join(text[at:end].split()))
    # what stands around it may tell whose it is
    half = NEARBY // 2
    near = f"{plain}\n{text[max(0, at - half) : at]}\n{text[end : end + half]}"
    for found in _prefixed(near, _lowered(near)):
        if found.end <= len(plain):
            return found._replace(start=at, end=end, value=text[at:end])
    return None


_LEAST_CODED = 27
"""Characters of the shortest key in base64."""
_LEAST_PRIVATE_KEY = 800
"""Characters of a private key of 1024 bits in PKCS #8, in base64; Google's have 2048."""
_LEAST_ACCOUNT = 1200


def _is_private_key(key: str) -> bool:
    return len(key) >= _LEAST_PRIVATE_KEY and key.startswith("MII") and entropy(key) > 5


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(
            text + "=" * (-len(text) % 4), b"-_" if re.search("[-_]", text) else None
        ).decode()
    except ValueError:
        return ""


def _from_hex(text: str) -> str:
    try:
        return bytes.fromhex(text[: len(text) // 2 * 2]).decode()
    except ValueError:
        return ""


def _matching(token: str, patterns: tuple[PrefixedKey, ...]) -> PrefixedKey | None:
    for pattern in patterns:
        body = len(pattern.prefix)
        if token.startswith(pattern.prefix) and _compiled(pattern.body).fullmatch(token, body):
            return pattern
    return None


def _near(lower: str, start: int, end: int, words: tuple[str, ...]) -> bool:
    before = lower[max(0, start - NEARBY) : start]
    after = lower[end : end + NEARBY]
    return any(word in before or word in after for word in words)


def _assigned(text: str, policy: CompiledPolicy, budget: _Budget) -> Iterator[_Literal]:
    """What a variable that the catalogue knows as a provider's or the gateway's key is given."""
    offset = text.find(_NAME_TAIL)
    while offset >= 0 and budget.take():
        end = offset + len(_NAME_TAIL)
        head = _NAME.search(text[max(0, offset - _NAME_LENGTH) : offset])
        name = (head.group() if head else "") + _NAME_TAIL
        kind, owner = variable_kind(name, policy)
        if kind in ("provider_key", "gateway_key"):
            match = _ASSIGNED.match(text, end, end + _NAMED_WINDOW)
            match = match or _FIRST_PART.match(text, end, end + _NAMED_WINDOW)
            value, past = "", end
            if match is not None:
                value, past = match["value"], match.end("value")
                if not _is_key(value, _ENTROPY_OF_A_NAMED_VALUE):
                    value, past = _with_parts(text, value, past, _ANY_PART, _JOINT)
            if match is not None and _is_key(value, _ENTROPY_OF_A_NAMED_VALUE):
                yield _Literal(match.start("value"), past, owner, name, value)
            elif (match := _QUOTED.match(text, end, end + _NAMED_WINDOW)) and is_placeholder(
                match["value"]
            ):
                yield _Literal(*match.span("value"), owner, name, match["value"], placeholder=True)
        offset = text.find(_NAME_TAIL, end)


def _named(text: str, lower: str, budget: _Budget) -> Iterator[_Literal]:
    """What stands behind a vendor's name and something called a key, if it has the form."""
    for pattern in secret_patterns().named:
        for word in pattern.words:
            offset = lower.find(word)
            past = -1
            while offset >= 0 and budget.take():
                after = offset + len(word)
                match = _NAMED.match(text, after, after + _NAMED_WINDOW)
                if match and match.start("value") > past:
                    value = match["value"]
                    past = match.start("value")
                    if _compiled(pattern.value).fullmatch(value) and _is_key(
                        value, pattern.entropy
                    ):
                        yield _Literal(past, match.end("value"), pattern.owner, "", value)
                offset = lower.find(word, after)


def _is_key(value: str, least: float) -> bool:
    """Whether a value that something named a key is given is one, and not code or a sample."""
    if len(value) < _SHORTEST or "://" in value or value[0] in ".:=" or value.isdigit():
        return False
    if _CAMEL_CASE.fullmatch(value):
        return False
    # names in code change between lower case, upper case and digits far less often
    kinds = [_character_kind(character) for character in value]
    changes = sum(a != b for a, b in pairwise(kinds))
    if changes < len(value) * (0.15 if _HEX.fullmatch(value) else 0.3):
        return False
    return not is_placeholder(value) and is_random(value, least)


def _character_kind(character: str) -> int:
    if character.isdigit():
        return 1
    if character.isalpha():
        return 2 if character.islower() else 3
    return 4


@cache
def _needles() -> tuple[Needle, ...]:
    return (
        *(_form_needle(scan.literal, scan.patterns) for scan in _scans()),
        _NAME_TAIL.encode(),
        *(
            Form(word.encode(), _NAMED_FORM)
            for pattern in secret_patterns().named
            for word in pattern.words
        ),
        _PRIVATE_KEY.encode(),
        *(begin.encode() for begin in _ACCOUNTS_IN_BASE64),
        *(
            Form(begin.lower().encode(), begin.encode() + rb"[A-Za-z0-9+/_-]{20}")
            for begin in _in_base64()
        ),
        *(
            Form(begin.lower().encode(), begin.encode() + rb"[0-9A-Fa-f]{34}")
            for begin in _in_hex()
        ),
    )


class Secrets:
    """RG111: the text of a provider's key, or of the gateway's, wherever it stands."""

    name = "secrets"

    @property
    def needles(self) -> tuple[Needle, ...]:
        """What every key has that is found here."""
        return _needles()

    def wants(self, path: str, name: str) -> bool:
        """Every file: a key can be anywhere."""
        return True

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterable[Finding]:
        """A finding for each key, at the key itself."""
        text = file.text
        scope = Scope(file, policy)
        found, complete = _literals(text, policy)
        if not complete:
            yield scope.finding(
                "RG903",
                Span(0, 0),
                self.name,
                f"more than {_MOST_NAMES} names of keys: the values behind the rest were not "
                "checked; keys with a known prefix were",
            )
        for literal in found:
            yield _finding(scope, literal, literal)


def _finding(scope: Scope, literal: _Literal, place: Placed) -> Finding:
    """The finding at `place` for the key `literal`."""
    if literal.placeholder:
        return scope.placeholder("RG111", place, literal.name or literal.owner, literal.owner)
    message = f"a key of {literal.owner} in plain text"
    fix = "revoke it at the provider, keep the credential in Portkey, and call the gateway"
    if literal.owner == "Portkey":
        message = "a Portkey API key in plain text"
        fix = (
            "revoke it in Portkey, then read it from the environment or a secret store: "
            "{env:PORTKEY_API_KEY}"
        )
    subject = literal.name or literal.owner
    return scope.finding("RG111", place, subject, message, fix=fix, secret=literal.value)


@cache
def encoded() -> tuple[bytes, ...]:
    """How base64 of a known prefix begins, to look for."""
    return tuple(begin.encode() for begin in (*_in_base64(), *_ACCOUNTS_IN_BASE64))


@cache
def _in_base64() -> tuple[str, ...]:
    """How base64 of each literal begins, whatever follows it."""
    return tuple(
        base64.b64encode(scan.literal.encode())[: len(scan.literal) * 8 // 6].decode()
        for scan in _scans()
    )


@cache
def _in_hex() -> tuple[str, ...]:
    """The literals in hex, in lower case and in upper case."""
    plain = [scan.literal.encode().hex() for scan in _scans()]
    return tuple(dict.fromkeys((*plain, *(digits.upper() for digits in plain))))


def hidden(scope: Scope, text: str, place: Placed) -> Iterator[Finding]:
    """The findings for keys in `text`, which stands encoded at `place`."""
    scope.file.secrets.append(scope.file.text[place.start : place.end])
    for literal in _literals(text, scope.policy)[0]:
        yield _finding(scope, literal, place)


DETECTOR = Secrets()
