"""What a key looks like, in any text: known prefixes, and long words drawn at random.

Hot-path module: works without `re`. The prefixes are those of secrets.toml and of the services
beside model providers whose tokens lie in many environments (github.com, gitlab.com, AWS, Slack,
npm, PyPI, Stripe; prefixes as their documentation gives them). `check` judges a key's form more
closely (guard/rules/files/secrets.py); here a text is only to be shown or not.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER_VENDORS = (
    "sk-ant-",
    "sk-proj-",
    "sk-or-",
    "sk-svcacct-",
    "gsk_",
    "AIza",
    "hf_",
    "xai-",
    "ghp_",
    "github_pat_",
    "glpat-",
    "AKIA",
    "r8_",
    "pplx-",
    "nvapi-",
    "tgp_v1_",
)
"""Prefixes of keys that cannot be the gateway's."""

_TELLING = (
    *("sk-ant-", "sk-proj-", "sk-or-v1-", "sk-svcacct-", "sk-admin-", "sk-none-", "sk-kimi-"),
    *("gsk_", "aiza", "akia", "asia", "absk", "bedrock-api-key-", "tgp_v1_", "vck_", "api_org_"),
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "ya29.", "eyj"),
    *("xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-", "sk_live_", "rk_live_", "pk_live_"),
)
"""Prefixes, in lower case, that begin nothing else: what follows them is a key in any case."""

_COMMON = (
    *("sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "csk-", "fw_", "hf_", "xai-", "r8_", "pplx-"),
    *("nvapi-", "npm_", "pypi-", "whsec_"),
)
"""Prefixes, in lower case, that begin other words too: what follows has to look like a key."""

_LEAST = 12
"""Characters that follow the prefix of a key."""

_RANDOM = 16
"""Characters of a word without a known prefix from which it can be a key."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_LETTERS_AND_DIGITS = frozenset(_LETTERS + _DIGITS)
_BODY = frozenset(_LETTERS + _DIGITS + "_-")
_DOTTED = frozenset(_LETTERS + _DIGITS + "_-.")
_BASE64 = frozenset(_LETTERS + _DIGITS + "_-+/=")
_CHARSETS = {"eyj": _DOTTED, "ya29.": _DOTTED, "absk": _BASE64, "bedrock-api-key-": _BASE64}
_AWS = 16
_SHORT_PREFIXES = {"akia": _AWS, "asia": _AWS, "aiza": 30, "absk": 40, "eyj": 12}
"""Least characters behind a prefix of a few letters, a digit among them or all in capitals."""


class _Separators(dict[int, str]):
    """For str.translate: a blank for every character that is no part of a word."""

    def __init__(self, kept: str) -> None:
        super().__init__((ord(char), char) for char in kept)

    def __missing__(self, code: int) -> str:
        return " "


_WORDS = _Separators(_LETTERS + _DIGITS + "_-+/=")
PARTS = _Separators(_LETTERS + _DIGITS)


def looks_like_key(text: str) -> bool:
    """Whether `text` holds something so much like a key that it must not be shown."""
    return next(spans(text), None) is not None


def is_key(word: str, *, apart: bool) -> bool:
    """Whether `word`, typed where a name was asked for, is rather a key.

    In any text digests and ids are shown, as they are what the text is about. Nobody types one for
    a name, so here they count: Mistral, Cohere, Azure and Together have keys of 32 to 64 letters
    and digits of one case, AWS secrets have 40 of base64 (gitleaks.toml). `apart` is stricter: the
    word stands among those of another program, which has ids for its sessions.
    """
    if looks_like_key(word):
        return True
    body = word.rstrip("=")
    if not body.isascii() or not _LEAST <= len(body) <= _LONGEST or body[0] in "/.~":
        return False
    lower = body.lower()
    if lower.startswith(_TELLING + _COMMON) and not apart:
        return sum(map(str.isdigit, body)) >= 2
    parts = body.translate(PARTS).split()
    if any(map(_is_mixed, [body] if apart and len(parts) > 1 else parts)):
        return True
    if "/" in body or "+" in body:
        return body.replace("/", "").replace("+", "").isalnum() and _is_base64(body, parts)
    # an id of 36 characters, which some services give out as a key
    return not apart and [len(part) for part in parts] == [8, 4, 4, 4, 12] and _is_hex(lower)


_LONGEST = 512
"""Characters of a word, more is a text."""

_HEX_DIGITS = frozenset("0123456789abcdef-")


def _is_hex(lower: str) -> bool:
    return _HEX_DIGITS.issuperset(lower)


def _is_mixed(part: str) -> bool:
    """Whether letters and digits follow each other as in no name, or nothing else does so long."""
    if len(part) < _RANDOM or not part.isalnum():
        return False
    if len(part) >= 32:
        return not part.isdigit()
    if len(part) >= 24 and _is_hex(part.lower()):
        return True
    numbers = "".join(char if char.isdigit() else " " for char in part).split()
    return len(numbers) >= 3


def _is_base64(body: str, parts: list[str]) -> bool:
    """Whether `body` is no path: letters of both cases, no part of it a word."""
    if len(body) < 20 or any(len(part) > 2 and part.isalpha() and part.islower() for part in parts):
        return False
    upper, small = sum(map(str.isupper, body)), sum(map(str.islower, body))
    return min(upper, small) >= 3 and any(map(str.isdigit, body))


def spans(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each part of `text` that looks like a key; they may overlap."""
    if len(text) < _LEAST:
        return
    lower = text.lower()
    if len(lower) != len(text):  # U+0130 grows
        lower = "".join(char.lower() if char.isascii() else char for char in text)
    for prefix in _TELLING:
        if prefix in lower:
            yield from _behind(prefix, text, lower, telling=True)
    for prefix in _COMMON:
        if prefix in lower:
            yield from _behind(prefix, text, lower, telling=False)
    yield from _random(text)


def _behind(prefix: str, text: str, lower: str, *, telling: bool) -> Iterator[tuple[int, int]]:
    charset = _CHARSETS.get(prefix, _BODY)
    start = lower.find(prefix)
    while start >= 0:
        body = start + len(prefix)
        end = body
        while end < len(text) and text[end] in charset:
            end += 1
        end = body + len(text[body:end].rstrip("-_.="))
        if end - body >= _LEAST and (
            _is_telling(prefix, text[body:end])
            if telling
            else text[max(start - 1, 0) : start] not in _LETTERS_AND_DIGITS
            and _is_body(text[body:end])
        ):
            yield start, end
        start = lower.find(prefix, max(end, body))


def _is_telling(prefix: str, body: str) -> bool:
    least = _SHORT_PREFIXES.get(prefix, 0)
    if not least:
        return True
    start = body[:least]
    return (
        len(start) == least
        and (any(char.isdigit() for char in body) or body.isupper())
        and (least != _AWS or start.isalnum())
    )


def _is_body(body: str) -> bool:
    """Whether what follows a common prefix is a key: a long part that is not made of words."""
    for part in body.translate(PARTS).split():
        if len(part) >= 20:
            return True
        if len(part) >= 10 and (any(char.isdigit() for char in part) or _is_random(part)):
            return True
    return _random_characters(body) >= _RANDOM


def _random(text: str) -> Iterator[tuple[int, int]]:
    done = 0
    for word in text.translate(_WORDS).split():
        at = text.index(word, done)
        done = at + len(word)
        if len(word) < _RANDOM or _random_characters(word) < _RANDOM:
            continue
        first, last = len(word), 0
        place = 0
        for part in word.translate(PARTS).split():
            place = word.index(part, place)
            if len(part) >= 5 and _is_random(part):
                first, last = min(first, place), place + len(part)
            place += len(part)
        if not last:
            first, last = 0, len(word)
        # what stands in front of a slash is a path, in front of `=` a name
        first = max(word.rfind("/", 0, first), word.rfind("=", 0, first)) + 1
        slash = word.find("/", last)
        yield at + first, at + (len(word) if slash < 0 else slash)


def _random_characters(word: str) -> int:
    """How many characters of `word` stand in parts that look drawn at random; 0 for a few."""
    parts = word.translate(PARTS).split()
    sizes = [len(part) for part in parts if len(part) >= 5 and _is_random(part)]
    # names of built files have a short random part each, and a path may hold several of them
    if sizes and max(sizes) >= (10 if "/" in word else 7) and sum(sizes) >= _RANDOM:
        return sum(sizes)
    if "/" in word:
        return 0
    # base64url is cut by its own `-` and `_`: no part is long enough, all together are
    joined = "".join(part for part in parts if not _is_word(part))
    enough = len(joined) >= 20 and len(joined) >= 0.7 * sum(map(len, parts))
    return len(joined) if enough and _is_random(joined) else 0


def _is_word(part: str) -> bool:
    """Whether `part` is one word of names: `coder`, `Qwen3`, `GGUF`, `480B`."""
    letters = part.strip(_DIGITS)
    return len(part) <= 4 or not letters or letters[1:] == letters[1:].lower() or letters.isupper()


def _is_random(part: str) -> bool:
    """Whether letters and digits look drawn at random: both cases, and no words in them.

    Of one case alone are digests, ids and names of container layers, which have to be shown.
    `CamelCase` and `v2` are words: counted is where a new word, a row of capitals or a number
    begins.
    """
    if part.isdigit() or part == part.lower() or part == part.upper():
        return False
    pieces = 1
    numbers = 0
    digits = 0
    before = part[0]
    for char in part[1:]:
        if char.isdigit():
            digits += 1
            if not before.isdigit():
                pieces += 1
                numbers += 1
        elif before.isdigit() or (before.islower() and char.isupper()):
            pieces += 1
        before = char
    if part[0].isdigit():
        digits += 1
        numbers += 1
    # two letters in five are vowels in words, one in five at random
    few_vowels = sum(char in "aeiouyAEIOUY" for char in part) < 0.3 * (len(part) - digits)
    if pieces >= 0.32 * len(part):
        return numbers >= 2 or few_vowels
    if pieces < 0.18 * len(part):
        return False
    return (digits >= 3 and numbers >= 2) or (len(part) >= 24 and few_vowels)
