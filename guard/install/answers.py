"""The answers that `routeguard setup` takes as options, as far as they can be judged at once.

install.sh asks here before it makes an environment, so nothing of it needs a library.
"""

from __future__ import annotations

import re
import shlex

from guard import shells
from guard.catalog.key_shapes import is_key, looks_like_key
from guard.errors import UsageError, either

LAYOUTS = ("one", "each")
PLAIN_KEY = "PORTKEY_API_KEY"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_BY_COMMAND = "'command:op read op://dev/portkey/key'"


def names_variable(typed: str) -> bool:
    """Whether `typed` is the name of a variable, and not a key itself."""
    return _NAME.fullmatch(typed) is not None and not is_key(typed, apart=False)


def command(typed: str) -> list[str]:
    """The words of a command that prints the key. Raises UsageError."""
    try:
        words = shlex.split(typed)
    except ValueError:
        raise UsageError("The command has a quote without its partner.") from None
    if not words or any(looks_like_key(word) for word in words):
        raise UsageError("A command that prints the key, never the key itself.")
    return words


def key_source(given: str) -> tuple[str, list[str]]:
    """What `--key-from` says: ("env", [NAME]), ("command", WORDS) or ("keyring", []).

    Raises UsageError for anything else, and shows nothing of it: it may be a key.
    """
    kind, _, rest = given.partition(":")
    if given == "keyring":
        return given, []
    if kind == "command" and rest:
        return kind, command(rest)
    if kind == "env" and rest and not names_variable(rest):
        raise UsageError(
            "--key-from env: takes the name of a variable, never a key itself",
            fix=f"--key-from env:{PLAIN_KEY}",
        )
    if kind == "env" and rest:
        return kind, [rest]
    raise UsageError(
        "--key-from takes env:NAME, keyring or command:WORDS, never a key itself",
        fix=either(*(f"--key-from {one}" for one in (f"env:{PLAIN_KEY}", "keyring", _BY_COMMAND))),
    )


def refuse_wrong(name: str, value: str) -> None:
    """Raise UsageError where setup's option `name`, given to install.sh, cannot be `value`."""
    if name == "--layout" and value not in LAYOUTS:
        raise UsageError(
            f"--layout takes {' or '.join(LAYOUTS)}, not {value!r}", fix="./install.sh --help"
        )
    if name == "--key-from":
        key_source(value)
    if name == "--gateway" and not value.startswith(("https://", "http://")):
        raise UsageError(
            "--gateway takes a URL that begins with https:// or http://", fix="./install.sh --help"
        )


def not_set(name: str, launcher: str, *, keyring: bool) -> list[str]:
    """Lines for a person whose gateway key is to come from the variable `name`, which is not set.

    `launcher` is how routeguard is called here; `keyring` whether the system has one.
    """
    stored = ["or keep it in the keyring:", f"{launcher} setup --key-from keyring"] * keyring
    return [
        shells.export(name),
        *stored,
        "or name a command that prints it:",
        f"{launcher} setup --key-from {_BY_COMMAND}",
        "without your Portkey API key nothing reaches the gateway",
    ]
