"""A provider's key written out in a file (RG111): by its form, its randomness and what is near.

Keys with a prefix of their own are those of `prefixed`, and of `coded` where they are not written
as they are. Others are told by the name in front of them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from guard.catalog.classify import classify
from guard.catalog.key_values import entropy, is_placeholder, is_random
from guard.catalog.secret_patterns import secret_patterns
from guard.late import late
from guard.record import Record
from guard.rules.files import coded, prefixed
from guard.rules.files.coded import ACCOUNT_BEGINS, from_base64
from guard.rules.files.prefixed import (
    JOINT,
    SHORTEST,
    Literal,
    compiled,
    lowered,
    with_parts,
)
from guard.rules.files.scope import Placed, Scope, Span
from guard.rules.needles import Form, Needle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_ENTROPY_OF_A_NAMED_VALUE = 3.2
"""Bits per character that the value of a known variable needs to be taken for a key; random hex
of 32 digits has about 3.6, English words with hyphens are kept out by their form."""

# prefixes under which one deployment's name is another's: the framework hands the value on
_FRAMEWORK_PREFIXES = late(
    r"(?:TF_VAR|VITE|NEXT_PUBLIC|NUXT_PUBLIC|NUXT|REACT_APP|VUE_APP|EXPO_PUBLIC|GATSBY|PUBLIC"
    r"|MY|DEV|STAGING|PROD|TEST|LOCAL)_"
)

_HEX = late(r"[0-9a-f]+|[0-9A-F]+")

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

# a Google service account's private key, in JSON, in JSON within another text, and as it is
_PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----"
_PRIVATE_BODY = late(r"(?:\\+[nr]|[A-Za-z0-9+/=\s])*+")
_ACCOUNT_WORDS = ("gserviceaccount.com", "service_account", "private_key_id")
_ACCOUNT = "Google Cloud (a service account)"
_ACCOUNT_NEARBY = 3000
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
    from guard.catalog.entries import variables

    return {name: (known.kind, known.owner) for name, known in variables().items()}


class _Budget(Record):
    """How many more names may be looked behind; `spent` once one had to be left out."""

    left: int
    spent: bool = False

    def take(self) -> bool:
        """Whether there is one more."""
        self.left -= 1
        self.spent = self.left < 0
        return not self.spent


def _literals(
    text: str, policy: CompiledPolicy, *, plain: bool = False
) -> tuple[list[Literal], bool]:
    """The keys written out in `text`, in order, none overlapping; and whether all was looked at.

    `plain` where it is known that none is coded, which takes as long to see as all the rest.
    Of two that overlap the one stays that was told by its form, then by a variable's name.
    """
    found: list[Literal] = []
    lower = lowered(text)
    budget = _Budget(_MOST_NAMES)
    for source in (
        () if plain else coded.keys(text),  # before what reads them up to the first escape
        prefixed.keys(text, lower),
        _service_accounts(text),
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
    kept: list[Literal] = []
    for literal in sorted(found, key=lambda literal: literal.start):
        if not kept or literal.start >= kept[-1].end:
            kept.append(literal)
    return kept, not budget.spent


def _service_accounts(text: str) -> Iterator[Literal]:
    """The private keys of Google service accounts, also where their JSON is in base64."""
    at = text.find(_PRIVATE_KEY)
    while at >= 0:
        body = _PRIVATE_BODY.match(text, at + len(_PRIVATE_KEY))
        end = body.end() if body else at + len(_PRIVATE_KEY)
        around = text[max(0, at - _ACCOUNT_NEARBY) : end + _ACCOUNT_NEARBY]
        key = re.sub(r"\\+[nr]|\s", "", body.group() if body else "")
        if any(word in around for word in _ACCOUNT_WORDS) and _is_private_key(key):
            yield Literal(at, end, _ACCOUNT, "", text[at:end])
        at = text.find(_PRIVATE_KEY, end)
    for begin in ACCOUNT_BEGINS:
        at = text.find(begin)
        while at >= 0:
            found = compiled(r"[A-Za-z0-9+/=]*+").match(text, at)
            end = found.end() if found else at + len(begin)
            if end - at >= _LEAST_ACCOUNT and _PRIVATE_KEY.encode() in from_base64(text[at:end]):
                yield Literal(at, end, _ACCOUNT, "", text[at:end])
            at = text.find(begin, end)


_LEAST_PRIVATE_KEY = 800
"""Characters of a private key of 1024 bits in PKCS #8, in base64; Google's have 2048."""
_LEAST_ACCOUNT = 1200


def _is_private_key(key: str) -> bool:
    return len(key) >= _LEAST_PRIVATE_KEY and key.startswith("MII") and entropy(key) > 5


def _assigned(text: str, policy: CompiledPolicy, budget: _Budget) -> Iterator[Literal]:
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
                    value, past = with_parts(text, value, past, _ANY_PART, JOINT)
            if match is not None and _is_key(value, _ENTROPY_OF_A_NAMED_VALUE):
                yield Literal(match.start("value"), past, owner, name, value)
            elif (match := _QUOTED.match(text, end, end + _NAMED_WINDOW)) and is_placeholder(
                match["value"]
            ):
                yield Literal(*match.span("value"), owner, name, match["value"], placeholder=True)
        offset = text.find(_NAME_TAIL, end)


def _named(text: str, lower: str, budget: _Budget) -> Iterator[Literal]:
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
                    if compiled(pattern.value).fullmatch(value) and _is_key(value, pattern.entropy):
                        yield Literal(past, match.end("value"), pattern.owner, "", value)
                offset = lower.find(word, after)


def _is_key(value: str, least: float) -> bool:
    """Whether a value that something named a key is given is one, and not code or a sample."""
    if len(value) < SHORTEST or "://" in value or value[0] in ".:=" or value.isdigit():
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
        *coded.needles(),
        *prefixed.needles(),
        _NAME_TAIL.encode(),
        *(
            Form(word.encode(), _NAMED_FORM)
            for pattern in secret_patterns().named
            for word in pattern.words
        ),
        _PRIVATE_KEY.encode(),
        *(begin.encode() for begin in ACCOUNT_BEGINS),
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
        found, complete = _literals(text, policy, plain=file.plain)
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


def _finding(scope: Scope, literal: Literal, place: Placed) -> Finding:
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


def in_opaque(scope: Scope, what: str) -> Iterator[Finding]:
    """The findings for keys with a known prefix in a file that is `what` and no text: each once,
    about the file as a whole."""
    text = scope.file.data.decode("latin-1")
    # any byte may come before a key
    apart = re.sub("|".join(map(re.escape, prefixed.literals())), r" \g<0>", text)
    said: list[str] = []
    for found in (*prefixed.keys(text), *prefixed.keys(apart)):
        if not found.placeholder and not any(found.value in other for other in said):
            said.append(found.value)
            yield _of_whole(scope, found, f"in this {what} file")


def in_names(scope: Scope) -> Iterator[tuple[int, Finding]]:
    """The findings for keys in the names that the lines of the file are, each once, with the
    number of its first line."""
    said = set()
    for found in prefixed.keys(scope.file.text):
        if not found.placeholder and found.value not in said:
            said.add(found.value)
            finding = _of_whole(scope, found, "in the name of this file")
            yield scope.file.position(found.start)[0], finding


def _of_whole(scope: Scope, found: Literal, where: str) -> Finding:
    """The finding about a file as a whole for the key `found`, which is `where`."""
    finding = _finding(scope, found, Span(0, 0))
    finding.line = finding.column = finding.end_line = finding.end_column = 0
    finding.where = finding.path
    finding.message = f"{finding.message.removesuffix('in plain text')}{where}"
    return finding


def hidden(scope: Scope, text: str, place: Placed) -> Iterator[Finding]:
    """The findings for keys in `text`, which stands encoded at `place`."""
    scope.file.secrets.append(scope.file.text[place.start : place.end])
    for literal in _literals(text, scope.policy)[0]:
        yield _finding(scope, literal, place)


DETECTOR = Secrets()
