"""What a launch of Claude Code is planned from. Hot-path module."""

from __future__ import annotations

import os
import sys

from guard.agents import adapter
from guard.files import jsonc
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from guard.agents.claude_code import grammar
    from guard.agents.claude_code.own import Own
    from guard.agents.managed import Met

MERGE = "parentSettingsBehavior"
"""Key of an administrator's file: with the value "merge", the restrictions of the program that
starts Claude Code count beside the file; without it they are dropped whole (case 100)."""


class Settings(Record):
    """One settings file: its content, or why it cannot be read."""

    path: str
    content: dict[str, Any]
    unreadable: str = ""


class Facts(adapter.Facts):
    """What was found: the command line, the binary, an administrator's files.

    `managed_servers` is the file by which an administrator chose the MCP servers, "" for none.
    `given` is what the user passed as `--settings`, `given_wrong` why that cannot be read.
    `shims` is the directory of the shims, "" for none. `own` is what the user's own settings start.
    """

    invocation: grammar.Invocation
    managed: list[Settings]
    met: Met
    managed_servers: str
    shims: str
    given: dict[str, Any]
    given_wrong: str
    working_directory: str
    own: Own


def managed_servers(root: str = "") -> str:
    """The administrator's file of MCP servers, "" for none: beside it no other server starts."""
    path = f"{root}{folder_of(macos=sys.platform == 'darwin')}/managed-mcp.json"
    return path if os.path.lexists(path) else ""


def folder_of(*, macos: bool) -> str:
    """Where an administrator's settings lie."""
    return "/Library/Application Support/ClaudeCode" if macos else "/etc/claude-code"


def managed_files(root: str = "") -> list[Settings]:
    """The administrator's settings that are there; `root` stands before their paths."""
    folder = root + folder_of(macos=sys.platform == "darwin")
    found = []
    for path in (f"{folder}/managed-settings.json", *_parts(f"{folder}/managed-settings.d")):
        try:
            content = jsonc.read(path)
        except jsonc.UnreadableError as error:
            found.append(Settings(path, {}, str(error)))
            continue
        if content is not None:
            found.append(Settings(path, content))
    return found


def _parts(folder: str) -> list[str]:
    try:
        return [
            os.path.join(folder, name)
            for name in sorted(os.listdir(folder))
            if name.endswith(".json")
        ]
    except OSError:
        return []


def given_settings(values: list[str], cwd: str) -> tuple[dict[str, Any], str]:
    """The object of the last `--settings` in `values`, a file or JSON, and why it is not readable.

    As Claude Code tells them apart: what begins with a brace is JSON. Of several it reads the last
    (2.1.332: the tool that the first denied was offered to the model, the one of the second not).
    """
    if not values:
        return {}, ""
    value = values[-1]
    try:
        if value.lstrip().startswith("{"):
            return jsonc.parse(value), ""
        content = jsonc.read(os.path.join(cwd, value))
    except jsonc.UnreadableError as error:
        return {}, str(error)
    if content is None:
        return {}, "there is no such file, or it is empty"
    return content, ""
