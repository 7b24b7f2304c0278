"""The gateway key in the system's keyring, by the library `keyring` where it is installed.

The value goes to the library in this process, never onto a command line and never into a file. A
launch reads it by a command of its own, so that the hot path imports nothing of this.
"""

from __future__ import annotations

import subprocess
from importlib import import_module
from typing import Any

from guard.install.refusals import NotPossibleError

SERVICE = "routeguard"
"""The service under which the key is stored; the name of its variable is the user."""

_RECOMMENDED = 1.0
"""Lowest priority of a backend that keyring itself recommends: below are files in clear text
(keyrings.alt) and none at all (keyring.backends.fail). Source: keyring.core.recommended."""


def read_command(python: str, name: str) -> list[str]:
    """The command that prints the stored key, for the policy. `python` has to have keyring."""
    return [python, "-I", "-m", "keyring", "get", SERVICE, name]


def stored_name(command: list[str]) -> str:
    """The name of the key that `command` (of a policy) prints from the keyring, else ""."""
    if len(command) == 7 and command[1:] == read_command("", command[6])[1:]:
        return command[6]
    return ""


def why_not() -> str:
    """Why no key can be stored here; "" if one can."""
    try:
        library = import_module("keyring")
    except ImportError:
        return (
            "the keyring library is not installed: install routeguard[keyring]; in a clone: "
            "./install.sh --key-from keyring"
        )
    try:
        found: Any = library.get_keyring()
        for backend in getattr(found, "backends", None) or [found]:
            if float(backend.priority) >= _RECOMMENDED:
                return ""
    except Exception as error:  # whatever a backend raises
        return f"the system's keyring does not answer ({type(error).__name__})"
    return "there is no keyring service in this session: no desktop, or a container"


def store(name: str, value: str, python: str) -> None:
    """Put `value` into the keyring and read it back the way a launch will.

    Raises NotPossibleError if it cannot be stored or read.
    """
    from guard.masking import remember

    remember(value)
    try:
        import_module("keyring").set_password(SERVICE, name, value)
    except Exception as error:  # whatever a backend raises
        raise NotPossibleError(
            "the key could not be put into the system's keyring",
            why=type(error).__name__,
            fix="unlock the keyring and run this again, or choose another place: --key-from env:"
            f"{name}, --key-from 'command:…'",
        ) from None
    try:
        done = subprocess.run(
            read_command(python, name), stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
        read = done.stdout.decode("utf-8", "replace").removesuffix("\n")
    except (OSError, subprocess.TimeoutExpired):
        read = ""
    if read != value:
        raise NotPossibleError(
            "the key was stored and cannot be read back",
            where=" ".join(read_command(python, name)),
            fix="choose another place: --key-from env:" + name,
        )


def forget(command: list[str]) -> bool:
    """Delete what `command` reads, by the same Python; whether that worked."""
    words = [*command[:4], "del", *command[5:]]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
