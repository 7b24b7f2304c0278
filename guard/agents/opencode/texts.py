"""The texts that a config of opencode reads from files beside it, by `{file:…}`.

Hot-path module.
"""

from __future__ import annotations

import os

from guard.files import jsonc
from guard.paths import leads_into

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_TEXT = 64 * 1024
"""Bytes of a text that a config reads by `{file:…}`."""


def replace_files(content: dict[str, Any], folder: str, home: str) -> dict[tuple[str, str], str]:
    """Put the texts of `{file:…}` into the agents and commands of `content`, a config in `folder`.

    As opencode does, but only files that really lie in the config's folder, and no text in which
    opencode would replace something again. Returns why, by (group, name), for each that stays.
    """
    unresolved: dict[tuple[str, str], str] = {}
    for group in ("agent", "mode", "command"):
        entries = content.get(group)
        if not isinstance(entries, dict):
            continue
        for name, entry in list(entries.items()):
            try:
                entries[name] = _with_files(entry, folder, home)
            except jsonc.UnreadableError as error:
                unresolved[group, name] = str(error)
    return unresolved


def _with_files(value: object, folder: str, home: str) -> Any:
    if isinstance(value, dict):
        return {k: _with_files(v, folder, home) for k, v in value.items()}
    if isinstance(value, list):
        return [_with_files(v, folder, home) for v in value]
    if not isinstance(value, str) or "{file:" not in value:
        return value
    before, _, rest = value.partition("{file:")
    named, closed, rest = rest.partition("}")
    if not closed or not named or "{" in named:
        raise jsonc.UnreadableError("it holds an unclosed {file:")
    path = os.path.join(home, named[2:]) if named.startswith("~/") else os.path.join(folder, named)
    if not is_file_within(path, folder):
        raise jsonc.UnreadableError(
            f"it reads {named[:80]!r}, which is not a file in the folder of its config"
        )
    raw = jsonc.read_bytes(path, _MOST_TEXT)
    try:
        text = (raw or b"").decode("utf-8").strip()
    except UnicodeDecodeError:
        raise jsonc.UnreadableError(f"it reads {named[:80]!r}, which is not UTF-8") from None
    if "{env:" in text or "{file:" in text:
        raise jsonc.UnreadableError(f"it reads {named[:80]!r}, which opencode would replace in")
    return before + text + str(_with_files(rest, folder, home))


def is_file_within(path: str, directory: str) -> bool:
    """Whether `path` leads to a regular file that really lies below `directory`."""
    return os.path.isfile(path) and leads_into(path, directory)
