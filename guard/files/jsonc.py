"""JSON with comments and trailing commas: the one reader, for a launch and for `check`.

The agent reads its config with the npm package jsonc-parser 3 (`allowTrailingComma`, any error
stops it). Its grammar, as read in the agent's binary: blanks, tabs, line feeds and carriage
returns between tokens; `//` ends at a line break, `/*` needs its end; one comma may stand behind
the last value of an object or a list, none behind no value; strings, numbers and words as in JSON.
That is what is accepted here (compared on 160,000 texts with jsonc-parser 3.3.1: where both take
a text, they make the same of it). What it accepts besides is refused, by a launch and by `check`
in the same words, because two readers would make two things of it: a key that is named twice (the
last one counts there), `__proto__` (in JavaScript no key of its own), half of a surrogate pair,
depth, and more values than people write.

Hot-path module; `json` and `re` are imported for what is no plain JSON.
"""

from __future__ import annotations

from guard.files import quick_json
from guard.files.read import MAX_BYTES as MAX_BYTES
from guard.files.read import BeyondLimitsError, text_of
from guard.files.read import MalformedError as MalformedError
from guard.files.read import UnreadableError as UnreadableError
from guard.files.read import read_bytes as read_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any

MAX_DEPTH = 64

MAX_PARTS = 20_000
"""Objects, lists, commas and comments of one file: twenty times those of a large config."""

_WHITE = " \t\r\n"
_tokens: re.Pattern[str] | None = None


def read(path: str) -> dict[str, Any] | None:
    """The object in the file at `path`; None if there is no such file or it is blank.

    Raises UnreadableError.
    """
    raw = read_bytes(path)
    return None if raw is None else decode(raw)


def decode(raw: bytes) -> dict[str, Any] | None:
    """The object that a file with the content `raw` holds, None if it is blank.

    Raises UnreadableError.
    """
    text = text_of(raw, MAX_BYTES)
    return parse(text) if text.strip(_WHITE) else None


def parse(text: str) -> dict[str, Any]:
    """The object that `text` holds. Raises MalformedError, with a line number if there is one."""
    if sum(map(text.count, (",", "[", "{", "//", "/*"))) > MAX_PARTS:
        raise BeyondLimitsError(f"holds more than {MAX_PARTS} values and comments")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise MalformedError("names a key twice")
        if "__proto__" in found:
            raise MalformedError("holds the key __proto__")
        return found

    value = _value(text, unique)
    if not isinstance(value, dict):
        raise MalformedError("is not a JSON object")
    _inspect(value)
    return value


def valid(text: str) -> str:
    """`text` as plain JSON, every token at its place. Raises MalformedError if it is none.

    For other programs' files, whose readers take a key that is named twice.
    """
    _value(text, None)
    return plain(text)


def plain(text: str) -> str:
    """`text` with comments and trailing commas blanked; everything else stays at its place.

    What is no JSON with comments stays as malformed as it is. Raises MalformedError.
    """
    out: list[str] = []
    done = 0
    for token in _pattern().finditer(text):
        kind = token.lastgroup
        if kind is None:
            continue
        at, end = token.span()
        if kind == "open":
            raise MalformedError("has a comment without an end", at)
        if kind == "stray":
            raise _malformed(text, end - 1)
        if kind == "unclosed":
            break
        out.append(text[done:at])
        # line breaks stay: a message names a line
        comment = token.group()
        if "\n" in comment or "\r" in comment:
            out += [c if c in "\r\n" else " " for c in comment]
        else:
            out.append(" " * (end - at))
        done = end
    return "".join([*out, text[done:]]) if out else text


def _value(text: str, hook: Any) -> Any:
    try:
        try:
            return quick_json.loads(text, hook, _no_constant)
        except ValueError as error:
            if not hasattr(error, "pos"):
                raise
            bare = plain(text)
            if bare is text:
                raise
            return quick_json.loads(bare, hook, _no_constant)
    except RecursionError:
        raise BeyondLimitsError("is nested too deeply") from None
    except ValueError as error:
        at = getattr(error, "pos", None)  # of json.JSONDecodeError
        if at is not None:
            raise _malformed(text, at) from None
        # Python reads no number of more than 4300 digits
        raise MalformedError("holds a number that is too long") from None


def _no_constant(name: str) -> None:
    raise MalformedError(f"holds {name}, which is not JSON")


def _malformed(text: str, offset: int) -> MalformedError:
    line = text.count("\n", 0, offset) + 1
    return MalformedError(f"is not valid JSON at line {line}", min(offset, len(text)))


def _pattern() -> re.Pattern[str]:
    """Finds what is not plain JSON, and strings, in which nothing of it counts.

    Every repetition is possessive, and of the white space and comments around a comma each is
    looked at by the bracket before it and by the comma: the time is linear in the length.
    """
    global _tokens
    if _tokens is None:
        import re

        comment = r"//[^\r\n]*+|/\*[^*]*+\*++(?:[^/*][^*]*+\*++)*+/"
        gap = rf"(?:[{_WHITE}]++|{comment})*+"
        _tokens = re.compile(
            r'"(?:[^"\\]++|\\[\s\S])*+"'
            r'|(?P<unclosed>")'
            rf"|(?P<comment>{comment})"
            r"|(?P<open>/\*)"
            rf"|(?P<stray>[\[{{,:]{gap},)"
            rf"|(?P<trailing>,(?={gap}[\]}}]))"
        )
    return _tokens


def _inspect(value: object) -> None:
    """Raises MalformedError for what is nested deeper than MAX_DEPTH, or holds half a character."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for item in level:
            inside = [*item, *item.values()] if isinstance(item, dict) else item
            assert isinstance(inside, list)
            for part in inside:
                if isinstance(part, (dict, list)):
                    below.append(part)
                elif isinstance(part, str) and not part.isascii():
                    _refuse_half(part)
        if not below:
            return
        level = below
    raise BeyondLimitsError("is nested too deeply")


def _refuse_half(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MalformedError("holds half of a surrogate pair") from None
