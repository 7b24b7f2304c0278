"""A provider's key written out in a file (RG111): by its form, its randomness and what is near.

The text is searched for literals first, at the speed of C; only where one stands does a regex
look. No regex here has two ways to match the same text, so a hostile line costs linear time.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import log2
from typing import TYPE_CHECKING

from guard.catalog.classify import classify
from guard.catalog.secret_patterns import PrefixedKey, secret_patterns
from guard.rules.files.scope import Placed, Scope, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

NEARBY = 300
"""Characters before and after an ambiguous key in which one of its words has to stand."""

_ENTROPY_OF_A_NAMED_VALUE = 3.2
"""Bits per character that the value of a known variable needs to be taken for a key; random hex
of 32 digits has about 3.6, English words with hyphens are kept out by their form."""

_SHORTEST = 20
_LONGEST = 2200

# prefixes under which one deployment's name is another's: the framework hands the value on
_FRAMEWORK_PREFIXES = re.compile(
    r"(?:TF_VAR|VITE|NEXT_PUBLIC|NUXT_PUBLIC|NUXT|REACT_APP|VUE_APP|EXPO_PUBLIC|GATSBY|PUBLIC"
    r"|MY|DEV|STAGING|PROD|TEST|LOCAL)_"
)

_WORDLIKE = re.compile(r"[a-z]{2,}\d{0,2}|[A-Z][a-z]+|[A-Z]{2,}|\d{0,4}|[a-zA-Z]")
_SEPARATORS = re.compile(r"[-_./:+=\s]+")
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_RUN = re.compile(r"(.)\1{5,}")

_PLAIN = (
    "test", "none", "null", "nil", "empty", "unused", "local", "ollama", "lm-studio", "lmstudio",
    "not-needed", "no-key", "no-key-required", "nokey", "na", "n/a", "undefined", "false", "true",
    "fixme", "xxx", "changeit", "key", "foo", "bar", "foobar", "secret", "mock", "stub", "sk-",
    "anything", "noop", "required", "optional", "placeholder", "dummy", "fake", "example",
)  # fmt: skip

# `sha256=` in a wheel's RECORD, `sha512-` in a lock file: a digest that begins like a key
_DIGEST = re.compile(r"sha\d{1,3}[=:-]\Z", re.IGNORECASE)

_NAME_TAIL = "API_KEY"
_NAME = re.compile(r"[A-Za-z0-9_]*\Z")
_NAME_LENGTH = 80

_VALUE = r"(?P<value>[A-Za-z0-9_\-.+/=:]{20,300}+)(?![A-Za-z0-9_\-.+/=:(\[{$<])"

# after the name of a variable: NAME=value, "NAME": "value", ("NAME", "value"), a Kubernetes
# env entry, whose value stands on the next line
_ASSIGNED = re.compile(
    r"(?:[\"'`\])]{0,3}[ \t]{0,4}(?:=>|[:?]?=|:)[ \t]{0,4}[\"'`]?"
    r"|[\"'`],[ \t]{0,4}[\"'`]"
    r"|[\"']?,?\s{1,40}[\"']?value[\"']?[ \t]{0,3}[:=][ \t]{0,4}[\"']?)" + _VALUE
)

# from a vendor's name to a value that something called a key or a token is given
_NAMED = re.compile(
    r"[^=;#\n]{0,60}?(?:\n[^=;#\n]{0,60}?){0,2}"
    r"(?:(?:api[_-]?key|[_-]key|\bkey|token|authorization)[\"'`\])]{0,3}\s{0,4}"
    r"(?:=>|[:?]?=|:|,)\s{0,4}[\"'`]?(?:bearer[ \t]{1,3})?|bearer[ \t]{1,3})" + _VALUE,
    re.IGNORECASE,
)
_NAMED_WINDOW = 640

_MOST_NAMES = 20_000
"""Names in one file behind which a value is looked for, about half a second's worth."""


def entropy(text: str) -> float:
    """The Shannon entropy of `text` in bits per character."""
    if not text:
        return 0.0
    size = len(text)
    return -sum(n / size * log2(n / size) for n in Counter(text).values())


def is_form(value: str) -> bool:
    """Whether `value` is to be filled in: empty, a word, a template, a drawing.

    A sequence such as 12345678 is not: in a file that is in use it is a value.
    """
    value = value.strip()
    if len(value) < 3 or value.lower() in _PLAIN:
        return True
    if value[0] in "<[{*.#" or "..." in value or "…" in value or "***" in value:
        return True
    words = _placeholder_words(rows=False)
    body = _without_prefix(value)
    if words.search(value) or words.match(body) or body.lower() in _PLAIN:
        return True
    return len(body) < 16 and body.lower().startswith(("test", "xxx", "fake", "dummy", "mock"))


def is_placeholder(value: str) -> bool:
    """Whether `value` only stands for a key: a form to fill in, or not drawn at random."""
    value = value.strip()
    if is_form(value) or _placeholder_words().search(value):
        return True
    body = _without_prefix(value)
    return _RUN.search(body) is not None or _mostly_sequence(body)


def _without_prefix(value: str) -> str:
    for pattern in secret_patterns().prefixed:
        if value.startswith(pattern.prefix):
            return value[len(pattern.prefix) :]
    return value


@cache
def _placeholder_words(*, rows: bool = True) -> re.Pattern[str]:
    """Finds a word of placeholders, in one case throughout or with a capital; `rows` also of those
    that are a row of letters or digits.

    A random key of 100 characters holds some four letters in mixed case too often: a short word
    also has to begin or end where a word can.
    """
    parts = []
    for word in secret_patterns().placeholders:
        if not rows and _mostly_sequence(word):
            continue
        for spelled in dict.fromkeys((word, word.upper(), word.capitalize())):
            escaped = re.escape(spelled)
            if len(word) > 5:
                parts.append(escaped)
            else:
                parts.append(rf"(?<![A-Za-z0-9]){escaped}|{escaped}(?![A-Za-z0-9])")
    return re.compile("|".join(parts))


def _mostly_sequence(value: str) -> bool:
    """Whether two characters in five belong to a run like `abcd` or `4321`, four or longer."""
    inside = 0
    for step in (1, -1):
        length = 1
        for before, after in zip(value, value[1:] + "\0", strict=True):
            if ord(after) - ord(before) == step and after.isalnum():
                length += 1
                continue
            if length >= 4:
                inside += length
            length = 1
    return inside * 5 >= len(value) * 2


def is_random(value: str, least: float) -> bool:
    """Whether `value` looks drawn at random: entropy, no words, no pattern.

    `least` is in bits per character; a text of n characters has no more than log2(n).
    """
    if entropy(value) < min(least, 0.8 * log2(len(value) or 1)):
        return False
    return not all(_WORDLIKE.fullmatch(part) for part in _SEPARATORS.split(value))


def variable_kind(name: str, policy: CompiledPolicy) -> tuple[str, str]:
    """(kind, owner) of the variable `name`, also behind a framework's prefix.

    `VITE_OPENAI_API_KEY` and `TF_VAR_openai_api_key` are OpenAI's key under another name. Names
    are case-sensitive, as in an environment, but for Terraform's, which are lower case by habit.
    """
    gateway_keys = {provider.key_env for provider in policy.providers if provider.key_env}
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


@cache
def _scans() -> tuple[tuple[str, re.Pattern[str], tuple[PrefixedKey, ...]], ...]:
    """(literal, regex for what begins with it, the patterns it may be), one entry per literal.

    A prefix that begins with another one is found with it: `sk-ant-` with `sk-`.
    """
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
        # word is an escape such as \n in a JSON string
        scan = re.compile(
            rf"{escaped}(?:(?<![A-Za-z0-9_]{escaped})|(?<=\\[nrt]{escaped}))[{charset}]*+"
        )
        scans.append((literal, scan, group))
    return tuple(scans)


@cache
def _compiled(regex: str) -> re.Pattern[str]:
    return re.compile(regex)


@dataclass(slots=True)
class _Budget:
    """How many more names may be looked behind; `spent` once one had to be left out."""

    left: int
    spent: bool = False

    def take(self) -> bool:
        """Whether there is one more."""
        self.left -= 1
        self.spent = self.left < 0
        return not self.spent


@dataclass(frozen=True, slots=True)
class _Literal:
    """A key that was found: where it stands, whose it is, the variable that holds it."""

    start: int
    end: int
    owner: str
    name: str


def _literals(text: str, policy: CompiledPolicy) -> tuple[list[_Literal], bool]:
    """The keys written out in `text`, in order, none overlapping; and whether all was looked at.

    Of two that overlap the one stays that was told by its form, then by a variable's name.
    """
    found: list[_Literal] = []
    lower = _lowered(text)
    budget = _Budget(_MOST_NAMES)
    for source in (
        _prefixed(text, lower),
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
    for literal, scan, patterns in _scans():
        if literal not in text:
            continue
        for match in scan.finditer(text):
            token = match.group()
            if not _SHORTEST <= len(token) <= _LONGEST:
                continue
            for candidate in dict.fromkeys((token, token.rstrip("-_"))):
                pattern = _matching(candidate, patterns)
                if pattern is not None:
                    break
            else:
                continue
            body = candidate[len(pattern.prefix) :]
            if is_placeholder(candidate) or not is_random(body, pattern.entropy):
                continue
            start, end = match.start(), match.start() + len(candidate)
            if pattern.words and not _near(lower, start, end, pattern.words):
                continue
            if _DIGEST.search(text, max(0, start - 10), start):
                continue
            yield _Literal(start, end, pattern.owner, "")


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
            if match and _is_key(match["value"], _ENTROPY_OF_A_NAMED_VALUE):
                yield _Literal(match.start("value"), match.end("value"), owner, name)
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
                        yield _Literal(past, match.end("value"), pattern.owner, "")
                offset = lower.find(word, after)


def _is_key(value: str, least: float) -> bool:
    """Whether a value that something named a key is given is one, and not code or a sample."""
    if len(value) < _SHORTEST or "://" in value or value[0] in ".:=" or value.isdigit():
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


class Secrets:
    """RG111: the text of a provider's key, or of the gateway's, wherever it stands."""

    name = "secrets"
    needles = (
        *(literal.lower().encode() for literal, _, _ in _scans()),
        b"api_key",
        b"portkey",
        b"mistral",
        b"cohere",
        b"together",
        b"azure",
        b"zhipu",
        b"bigmodel",
        b"ai21",
        b"fireworks",
    )

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
            secret = text[literal.start : literal.end]
            yield _finding(scope, literal.owner, literal.name, literal, secret)


def _finding(scope: Scope, owner: str, name: str, place: Placed, secret: str) -> Finding:
    message = f"a key of {owner} in plain text"
    fix = "revoke it at the provider, keep the credential in Portkey, and call the gateway"
    if owner == "Portkey":
        message = "a Portkey API key in plain text"
        fix = (
            "revoke it in Portkey, then read it from the environment or a secret store: "
            "{env:PORTKEY_API_KEY}"
        )
    return scope.finding("RG111", place, name or owner, message, fix=fix, secret=secret)


ENCODED = tuple(
    base64.b64encode(literal.encode())[: len(literal) * 8 // 6].lower()
    for literal, _, _ in _scans()
)
"""How base64 of a known prefix begins, in lower case, to look for."""


def hidden(scope: Scope, text: str, place: Placed) -> Iterator[Finding]:
    """The findings for keys in `text`, which stands encoded at `place`."""
    for literal in _literals(text, scope.policy)[0]:
        yield _finding(scope, literal.owner, literal.name, place, text[literal.start : literal.end])


DETECTOR = Secrets()
