"""What a value has to be to serve as the gateway's key. Hot-path module."""

from __future__ import annotations

from guard.catalog.key_shapes import OTHER_VENDORS

FORBIDDEN = frozenset("{}\"'\\`")
"""Characters that no key, model or provider name may hold.

An agent may substitute `{env:…}` and `{file:…}` in the raw text of its config before it parses it,
and strip quotes from its arguments: a name with one of these could change the config that carries
it.
"""


def unusable_key(value: str) -> str:
    """Why `value` cannot be the gateway's key, "" if it can. Never repeats the value.

    An agent may put it into the raw text of its config before it parses it: a quote or a backslash
    breaks the JSON, and the error prints the whole config with the key (run on the first one).
    """
    if any(c in FORBIDDEN for c in value):
        return "holds a quote, brace or backslash, which would break the agent's config"
    if not value.isascii() or any(c.isspace() or not c.isprintable() for c in value):
        return "holds a space or a control character (perhaps a line break at its end)"
    for prefix in OTHER_VENDORS:
        if value.startswith(prefix):
            return f"begins with {prefix}, as another vendor's keys do"
    return ""
