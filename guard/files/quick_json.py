"""JSON, read and written as by `json`, whose import (with `re` and `enum`) takes as long as a third
of the start of Python.

Its C half `_json` does what is plain. What it does not take, and what it cannot say, `json` does
or says, imported then.

Hot-path module.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_WHITE = " \t\n\r"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def loads(
    text: str,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
    constant: Callable[[str], Any] = _no_constant,
) -> Any:
    """The value that `text` holds, as `json.loads` reads it.

    `pairs` makes an object of its members, by default a dict, and `constant` a value of the words
    NaN, Infinity and -Infinity, which are not JSON: by default none. Raises ValueError, of what is
    malformed json.JSONDecodeError, RecursionError, and what `pairs` and `constant` raise.
    """
    try:
        scan = _scanner(pairs, constant)
        value, end = scan(text, len(text) - len(text.lstrip(_WHITE)))
        if not text[end:].strip(_WHITE):
            return value
    except Exception:  # noqa: S110 # whatever it is, json says it below, or what was wrong with it
        # a malformed text is StopIteration, or SystemError where json.decoder is not loaded (3.11)
        pass
    import json

    return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)


def _scanner(pairs: Callable[[list[tuple[str, Any]]], Any] | None, constant: Any) -> Any:
    """A scanner as `json.decoder` makes one, see `JSONDecoder` and `json.scanner` there."""
    from _json import make_scanner

    class Context:
        strict = True
        object_hook = None
        object_pairs_hook = pairs
        parse_float = float
        parse_int = int
        parse_constant = constant

    return make_scanner(Context)  # type: ignore[arg-type] # any object with these attributes


def dumps(value: object, comma: str = ", ", colon: str = ": ") -> str:
    """`value` as `json.dumps` writes it with these separators: made of dicts whose names are
    texts, lists, tuples, texts, numbers, booleans and None. Raises TypeError for anything else.
    """
    from _json import encode_basestring_ascii as quoted

    def written(value: object) -> str:
        if isinstance(value, str):
            return quoted(value)
        if value is None or value is True or value is False:
            return _WORDS[value]
        if isinstance(value, int):
            return int.__repr__(value)
        if isinstance(value, dict):
            # `quoted` raises TypeError for a name that is no text
            inside = [f"{quoted(name)}{colon}{written(one)}" for name, one in value.items()]
            return f"{{{comma.join(inside)}}}"
        if isinstance(value, (list, tuple)):
            return f"[{comma.join(map(written, value))}]"
        if isinstance(value, float):
            return _OTHER_NUMBERS.get(text := float.__repr__(value), text)
        raise TypeError(f"{type(value).__name__} is not JSON")

    return written(value)


_WORDS = {None: "null", True: "true", False: "false"}
_OTHER_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""What `json` makes of a float that JSON has no number for (1e999 is read as infinity)."""
