"""The mask for every text that leaves routeguard, whatever command writes it.

The dispatcher (guard/dispatch.py) puts it in front of stdout and stderr, so no command can forget
it. Called directly it is for what leaves another way: a file, the audit log, a text that is encoded
or folded before it is written. Masked are: keys by their form, the values of
variables with a secret's name, user and password of a URL, and what stands behind a name like
`token=` or an option like `--password`.

Hot-path module: imported when the first text is written, and works without `re`.
"""

from __future__ import annotations

import os
import sys

from guard.catalog import key_shapes
from guard.errors import printable
from guard.findings import Excerpt, Finding, mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

_SECRET_PARTS = frozenset(
    (
        *("KEY", "KEYS", "APIKEY", "TOKEN", "TOKENS", "SECRET", "SECRETS", "PASSWORD", "PASSWD"),
        *("PASSPHRASE", "PASS", "PWD", "CREDENTIAL", "CREDENTIALS", "AUTH", "AUTHORIZATION"),
        *("BEARER", "PAT", "COOKIE", "JWT"),
    )
)
_SECRET_ENDINGS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD")
_NO_SECRETS = frozenset(("PWD", "OLDPWD"))

_SHORT = 8
"""Characters of a value from which it is recognised in a text: shorter ones are in every text."""
_LONG = 16

_NAMED = (
    *("key", "token", "secret", "password", "passwd", "pwd", "passphrase", "authorization"),
    *("credential", "credentials", "auth", "bearer", "basic"),
)
"""What stands in front of a secret: `api_key=…`, `"token": "…"`, `--password …`, `Bearer …`."""

_BETWEEN = " \t\r\n\"'`:=,>["
_ENDS = frozenset(" \t\r\n\"'`,;&)]}<>|\\#")
_URL_ENDS = frozenset("/\\?# \t\r\n\"'`<>|")
_DIGITS = frozenset("0123456789")


class MaskedBytes:
    """A byte stream behind which no secret is written."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def write(self, data: Any) -> int:
        """Write `data` masked; returns its length, as whoever wrote it expects."""
        text = bytes(data).decode("utf-8", "surrogateescape")
        self._inner.write(masked(text).encode("utf-8", "surrogateescape"))
        return len(data)

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write `lines`, masked together."""
        self.write(b"".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def masked(text: str) -> str:
    """`text` with every secret in it masked. Masking twice changes nothing more."""
    return masked_at(text, 0, 0)[0]


def masked_at(text: str, start: int, end: int) -> tuple[str, int, int]:
    """`text` masked, and what its part from `start` to `end` has become.

    A border inside of a secret moves outwards, so that the part holds the whole mask.
    """
    for value in _values():
        if value in text:
            text, start, end = replaced(text, all_of(value, text), start, end)
    for find in (_of_urls, _of_names, key_shapes.spans):
        found = sorted(find(text))
        if found:
            text, start, end = replaced(text, found, start, end)
    return text, start, end


def all_of(value: str, text: str) -> Iterator[tuple[int, int]]:
    """The places of `value` in `text`."""
    at = text.find(value)
    while at >= 0:
        yield at, at + len(value)
        at = text.find(value, at + len(value))


def replaced(
    text: str, spans: Iterable[tuple[int, int]], start: int, end: int
) -> tuple[str, int, int]:
    """`text` with a mask for each of `spans`, which are in order; `start` and `end` as they move.

    Of two that overlap nothing of the second is shown.
    """
    out: list[str] = []
    done = moved = 0
    new_start, new_end = start, end
    for first, last in spans:
        if last <= done:
            continue
        part = text[first:last]
        # what is a mask already stays one
        shown = part if "****" in part and len(part) <= len("12****34") else mask(part)
        if first < done:
            first, shown = done, ""
        out += (text[done:first], shown)
        if last <= start:
            new_start = start + moved + len(shown) - (last - first)
        elif first < start:
            new_start = first + moved
        if last <= end:
            new_end = end + moved + len(shown) - (last - first)
        elif first < end:
            new_end = first + moved + len(shown)
        moved += len(shown) - (last - first)
        done = last
    out.append(text[done:])
    return "".join(out), new_start, new_end


def is_clean(text: str) -> bool:
    """Whether `text` holds no secret: a command in it works when it is pasted."""
    return masked(text) == text


def without_secrets(finding: Finding) -> Finding:
    """`finding` as it may be written anywhere, also folded or encoded.

    A line of the fix that would hold a secret is replaced by where to edit.
    """
    clean = Finding(
        finding.rule,
        masked(finding.subject),
        masked(finding.message),
        where=masked(finding.where),
        fix=fix_without_secrets(finding.fix, finding.where),
        severity=finding.severity,
        path=masked(finding.path),
        line=finding.line,
        column=finding.column,
        end_line=finding.end_line,
        end_column=finding.end_column,
        digest=finding.digest,
        context=masked(finding.context),
        excerpt=_clean(finding.excerpt),
        placeholder=finding.placeholder,
    )
    clean.where = masked(finding.where)
    return clean


def _clean(excerpt: Excerpt | None) -> Excerpt | None:
    return Excerpt(*masked_at(excerpt.text, excerpt.start, excerpt.end)) if excerpt else None


def fix_without_secrets(fix: str, where: str) -> str:
    """`fix` with each line that holds a secret replaced by where to edit, as it is no command."""
    if is_clean(fix):
        return fix
    if where == "command line" or any(word in fix for word in typed(sys.argv[1:])):
        instead = "type it without the key; your shell's history holds the key as well"
    else:
        place = masked(where) if where and where != "environment" else "it"
        instead = f"edit {place} by hand: the key in it is not repeated here"
    lines = [line if is_clean(line) else instead for line in fix.split("\n")]
    return "\n".join(dict.fromkeys(lines))


# Values that are known to be secret ---------------------------------------------------------------

_remembered: set[str] = set()
_names: set[str] = set()
_known: tuple[str, ...] | None = None


def remember(*values: str) -> None:
    """From now on mask each of `values`: keys that came from somewhere else than a variable."""
    global _known
    _remembered.update(values)
    _known = None


def remember_names(names: Iterable[str]) -> None:
    """From now on mask the values of these variables: the policy names them as a key's."""
    global _known
    _names.update(names)
    _known = None


def forget() -> None:
    """Know nothing: the environment may be another one now."""
    global _known
    _remembered.clear()
    _names.clear()
    _known = None


def _values() -> tuple[str, ...]:
    global _known
    if _known is None:
        _known = _spellings({*_of_environment(os.environ), *_remembered, *typed(sys.argv[1:])})
    return _known


_OF_AGENTS = ("exec", "explain", "line")
"""Our commands whose words belong to another program."""


def typed(argv: list[str]) -> Iterator[str]:
    """The words of our command line `argv` that are keys: pasted in place of a name, as a rule."""
    apart = argv[:1] != [] and argv[0] in _OF_AGENTS
    checks = argv[:1] == ["check"]
    for word in argv:
        for part in word.translate(_WORD_ENDS).split():
            # --key=VALUE, NAME=VALUE, env:VALUE; a key may end in `=`
            value = part.partition("=")[2]
            whole = value if value.strip("=") else part
            if "://" in whole:
                found_in = whole.replace("/", ":").split(":")
            else:
                found_in = [whole.lstrip("-"), whole.rpartition(":")[2]]
            for found in found_in:
                name = _without_commits(found) if checks else found
                if key_shapes.is_key(name, apart=apart) and not _is_a_place(found):
                    yield found


_WORD_ENDS = str.maketrans(dict.fromkeys("\"'`,;&(){}[]<>|@?", " "))


def _without_commits(word: str) -> str:
    """`word` without the ids of commits in it: `check --since ID`, `--output ID.sarif` of a CI job.

    No provider's key is 40 hexadecimal digits without a prefix (gitleaks.toml).
    """
    parts = word.translate(key_shapes.PARTS).split()
    names = [part for part in parts if len(part) != _COMMIT or not _HEX_DIGITS.issuperset(part)]
    return word if names == parts else "-".join(names)


_COMMIT = 40
_HEX_DIGITS = frozenset("0123456789abcdef")


def _is_a_place(word: str) -> bool:
    """A path, of which only the part that looks like a key is hidden, or the name of a variable."""
    return word in os.environ or os.path.lexists(word) or word.startswith(("/", "./", "../", "~"))


def _of_environment(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in environ.items():
        if len(value) < _SHORT:
            continue
        if name in _names or _is_secret_name(name):
            # SSH_AUTH_SOCK, API_KEY_FILE: a place, and not what is kept there
            if value[0] != "/" or not os.path.lexists(value):
                yield value
                if "\n" in value:
                    yield from (line.strip() for line in value.split("\n"))
        elif "@" in value and "://" in value:
            for start, end in _of_urls(value):
                yield value[start:end].partition(":")[2]


def _is_secret_name(name: str) -> bool:
    upper = name.upper()
    if upper in _NO_SECRETS:
        return False
    if upper.endswith(_SECRET_ENDINGS):
        return True
    return not _SECRET_PARTS.isdisjoint(upper.replace("-", "_").replace(".", "_").split("_"))


def _spellings(values: Iterable[str]) -> tuple[str, ...]:
    """The forms in which `values` may stand in a text, the longest first."""
    found: set[str] = set()
    for value in values:
        if len(value) < _SHORT or value.isdigit():
            continue
        if len(value) < _LONG and value.isalpha() and value.islower():
            continue  # a word such as `portkey` is no secret, whatever holds it
        found.add(value)
        if len(value) >= _LONG:
            found.add(value.lower())
        if not value.replace("-", "").replace("_", "").isalnum() or not value.isascii():
            quoted = "".join(
                chr(byte) if chr(byte).isalnum() and byte < 128 else f"%{byte:02X}"
                for byte in value.encode("utf-8", "surrogateescape")
            )
            for safe in ("-_.~", "-_.~/"):
                text = quoted
                for char in safe:
                    text = text.replace(f"%{ord(char):02X}", char)
                found.add(text)
            import json

            found.add(json.dumps(value)[1:-1])
            found.add(printable(value))
            found.add(value.replace("'", "'\\''"))
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


# What tells by its surroundings -------------------------------------------------------------------


def _of_urls(text: str) -> Iterator[tuple[int, int]]:
    """User and password of each URL, also as a browser reads `https:\\\\user:pw@host`."""
    at = text.find("@")
    while at >= 0:
        start = at
        while start > 0 and text[start - 1] not in _URL_ENDS:
            start -= 1
        before = text[:start].rstrip("/\\")
        slashes = start - len(before)
        user = text[start:at]
        if not slashes and ":" in user:
            scheme, _, rest = user.partition(":")
            if scheme.lower() in ("http", "https") and rest:
                start, user = at - len(rest), rest
                before, slashes = text[:start], 2
        name, colon, password = user.partition(":")
        if slashes and before.endswith((":", "%3A", "%3a")) and user:
            # git@host is an account, not a secret
            if colon or not (name.isalpha() and name.islower() and len(name) < _SHORT):
                yield start, at
        elif slashes == 0 and colon and name.isalnum() and _is_mixed(password):
            yield at - len(password), at
        at = text.find("@", at + 1)


def _is_mixed(word: str) -> bool:
    return len(word) >= _SHORT and not _DIGITS.isdisjoint(word) and word.isalnum()


def _of_names(text: str) -> Iterator[tuple[int, int]]:
    """What stands behind a word that says that a secret follows."""
    lower = text.lower()
    if len(lower) != len(text):
        return
    for word in _NAMED:
        at = lower.find(word)
        while at >= 0:
            name_end = at + len(word)
            at = lower.find(word, name_end)
            start = name_end
            while start < len(text) and text[start] in _BETWEEN:
                start += 1
            if start == name_end:
                continue
            if lower.startswith(("bearer ", "basic "), start):
                continue  # the word itself is met on its own
            end = start
            while end < len(text) and text[end] not in _ENDS:
                end += 1
            if _is_value(text[start:end], text[name_end:start], _option(lower, name_end)):
                yield start, end


def _option(lower: str, name_end: int) -> bool:
    """Whether the name that ends here is an option: `--password`, `-key`."""
    start = name_end
    while start > 0 and (lower[start - 1].isalnum() or lower[start - 1] in "-_"):
        start -= 1
    return lower[start] == "-"


def _is_value(value: str, between: str, option: bool) -> bool:
    """Whether `value`, behind the name of a secret, is one: not a word, a place or a reference."""
    if not value or value[0] in "-$<{(*…%@/~" or "…" in value or "://" in value or "****" in value:
        return False
    letters = value.replace("_", "").replace("-", "").replace(".", "")
    if letters.isalpha() and letters.isupper():
        return False  # KEY, TOKEN, GITHUB_TOKEN: what a usage calls it
    if option and "`" not in between:
        return len(value) >= 4
    digits = sum(char in _DIGITS for char in value)
    if between == "=":
        return len(value) >= 6 and (digits > 0 or len(value) >= _LONG)
    longest = max((len(part) for part in value.translate(key_shapes.PARTS).split()), default=0)
    return longest >= _LONG and digits >= 3
