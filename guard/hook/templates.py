"""The templates of `shell/`: where they lie, how they are filled in, what quotes a word.

Hot-path module.
"""

from __future__ import annotations

import os
import sys

from guard import paths
from guard.errors import GuardError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def quote_sh(text: str) -> str:
    """`text` as one word of a POSIX shell, whatever it holds but NUL."""
    return "'" + text.replace("'", "'\\''") + "'"


def quote_bash(text: str) -> str:
    """`text` as one word of bash."""
    return quote_sh(text)


def quote_zsh(text: str) -> str:
    """`text` as one word of zsh, whatever its options: RC_QUOTES reads two quotes side by side
    in a quoted part as one, CSH_JUNKIE_QUOTES allows no new line in it."""
    return quote_sh(text).replace("\n", "'$'\\n''")


def quote_fish(text: str) -> str:
    """`text` as one word of fish, where a backslash escapes itself and the single quote."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


QUOTES: dict[str, Callable[[str], str]] = {
    "bash": quote_bash,
    "zsh": quote_zsh,
    "fish": quote_fish,
}
"""How a text becomes a word of each shell."""


def template_places(name: str, *, package: str = paths.PACKAGE) -> list[str]:
    """Where `shell/<name>` may lie: in the installed package, and in the clone around it.

    A directory `shell` beside an installed package is somebody else's, so the second place counts
    only where pyproject.toml lies.
    """
    places = [os.path.join(package, "shell", name)]
    if paths.is_clone(package):
        places.append(os.path.join(os.path.dirname(package), "shell", name))
    return places


def template(name: str, *, package: str = paths.PACKAGE) -> str:
    """The text of `shell/<name>`, from the first directory that has it.

    Raises GuardError (RG503) if it is in none.
    """
    places = template_places(name, package=package)
    for place in places:
        try:
            with open(place, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise GuardError(
                "cannot read one of its own files",
                where=place,
                why=str(error),
                fix="install routeguard again",
                rule="RG503",
            ) from None
    raise GuardError(
        f"one of its own files is missing: {name}",
        where=places[0],
        fix="install routeguard again",
        rule="RG503",
    )


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with each `__WORD__` of `values` replaced; in one pass, so no value is read again."""
    out: list[str] = []
    done = 0
    while True:
        start = text.find("__", done)
        if start < 0:
            break
        end = text.find("__", start + 2)
        word = text[start + 2 : end] if end >= 0 else ""
        if word in values:
            out += (text[done:start], values[word])
            done = end + 2
        else:
            out.append(text[done : start + 2])
            done = start + 2
    out.append(text[done:])
    return "".join(out)


def interpreter() -> tuple[str, str]:
    """The absolute paths of this Python and of our main file, as the wrappers call them.

    Symbolic links stay as they are: install.sh takes a new version into use by changing one.
    Raises GuardError (RG503) if Python does not know where it lies.
    """
    python = sys.executable
    if not os.path.isabs(python):
        raise GuardError(
            "cannot find the Python that runs it",
            where=python or "sys.executable is empty",
            fix="call routeguard by an absolute path",
            rule="RG503",
        )
    return python, os.path.join(paths.PACKAGE, "__main__.py")
