"""The Markdown files that opencode reads beside its config: agents, commands, modes, skills.

Reads, judges nothing. Hot-path module.
"""

from __future__ import annotations

import os

from guard.agents.opencode import frontmatter
from guard.files import jsonc
from guard.files.read import UnreadableError, read_bytes
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

AGENTS = ("agent", "agents")
MODES = ("mode", "modes")
COMMANDS = ("command", "commands")
SKILLS = ("skill", "skills")
FOLDERS = (*AGENTS, *COMMANDS, *MODES, *SKILLS)
"""The folders of Markdown files in each of opencode's directories."""

SHARED_SKILLS = (".claude/skills", ".agents/skills")
"""Folders of other agents whose skills opencode reads, in a home and in each directory upwards."""

MOST_FILES = 5000
"""Files and folders in one of these folders above which it is not looked through."""

_HEAD = 256


def is_agent(path: str) -> bool:
    """Whether `path` is that of an agent's or a mode's Markdown file in a project, by its names."""
    _, dot, inside = f"/{path}".rpartition("/.opencode/")
    return bool(dot) and inside.partition("/")[0] in (*AGENTS, *MODES)


def programs(folder: str, unreadable: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """(path, why) of the files below `folder` whose head opencode would run.

    Links are followed, as opencode follows them. Folders that cannot be looked through are added
    to `unreadable` as (path, why).
    """
    found = []
    for path in files_below(folder):
        if path.endswith("/"):
            unreadable.append((path[:-1], f"holds over {MOST_FILES} entries, or cannot be listed"))
            continue
        try:
            why = program(read_bytes(path, _HEAD, cut=True) or b"")
        except UnreadableError:
            continue
        if why:
            found.append((path, why))
    return found


def program(content: bytes) -> str:
    """Why a Markdown file with this content, or its first bytes, is a program; "" if it is none."""
    head = content[:_HEAD].decode("utf-8", "replace")
    language = frontmatter.foreign_language(head)
    if language:
        return f"begins with ---{language[:20]}: opencode runs such a head as a program"
    if len(content) >= _HEAD and "\n" not in head and head.removeprefix("\ufeff")[:3] == "---":
        # a language behind any number of blanks counts (run on 1.18.33)
        return "begins with --- and a line without an end: opencode may run such a head"
    return ""


def files_below(folder: str) -> list[str]:
    """The `.md` files below `folder`, links followed; a folder that hides more ends in a slash."""
    found: list[str] = []
    pending, seen, count = [folder], set(), 0
    while pending:
        at = pending.pop()
        try:
            status = os.stat(at)
            names = sorted(os.listdir(at))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            found.append(f"{at}/")
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        count += len(names)
        if count > MOST_FILES:
            found.append(f"{at}/")
            return found
        for name in names:
            path = os.path.join(at, name)
            if os.path.isdir(path):
                pending.append(path)
            elif name.lower().endswith(".md"):
                found.append(path)
    return sorted(found)


def text_of(path: str) -> str:
    """The text of a Markdown file. Raises UnreadableError."""
    raw = jsonc.read_bytes(path)
    try:
        return "" if raw is None else raw.decode("utf-8")
    except UnicodeDecodeError:
        raise jsonc.UnreadableError("is not UTF-8") from None


class Definition(Record):
    """An agent or command in a Markdown file, as opencode names and reads it.

    `kind` is "agent" or "command"; `path` the file; `fields` the data of the head with the body as
    `prompt` or `template`; `error` says why the file cannot be read (then `fields` is empty and
    `name` is that of the file). `linked` tells that the agent is given the file itself where
    nothing in it has to change.
    """

    kind: str
    name: str
    path: str
    fields: dict[str, Any]
    error: str
    linked: bool = False


def definitions(root: str) -> list[Definition]:
    """The agents, modes and commands below `root`, one of opencode's directories.

    In the order in which opencode merges them: commands, agents, modes.
    """
    found = []
    for folders in (COMMANDS, AGENTS, MODES):
        for folder in folders:
            base = os.path.join(root, folder)
            for path in files_below(base):
                relative = os.path.relpath(path, base)
                if path.endswith("/") or not path.endswith(".md"):
                    continue
                if folders is MODES and "/" in relative:
                    continue
                # `agents/agent/x.md` is agent/x (run on 1.18.33)
                found.append(_definition(path, relative.removesuffix(".md"), folders))
    return found


def skills(folder: str) -> list[Definition]:
    """The skills below `folder`, which opencode offers as commands, too: `kind` is "skill"."""
    found = []
    for path in files_below(folder):
        if os.path.basename(path) == "SKILL.md":
            where = os.path.dirname(path)
            one = _definition(path, os.path.basename(where), SKILLS)
            try:
                one.fields = {"template": text_of(path)}
            except jsonc.UnreadableError:
                one.fields = {}
            found.append(one)
    return found


def _definition(path: str, name: str, folders: tuple[str, ...]) -> Definition:
    kind = "command" if folders is COMMANDS else "skill" if folders is SKILLS else "agent"
    try:
        data, body = frontmatter.read(text_of(path))
    except (frontmatter.FrontMatterError, jsonc.UnreadableError) as error:
        return Definition(kind, name, path, {}, str(error))
    named = data.pop("name", name)
    if not isinstance(named, str) or not named:
        return Definition(kind, name, path, {}, "its name is not a string")
    fields = {**data, ("template" if kind == "command" else "prompt"): body}
    if folders is MODES:
        fields["mode"] = "primary"
    return Definition(kind, named, path, fields, "")
