"""The instruction files: those that opencode picks, and those that `instructions` of a config mean.

An absolute entry, or one in the home, is a pattern in its last part only; any other is looked for
in the working directory and each directory up to the worktree's top (`systemPaths` in the source
of 1.18.33), here also beside the user's own config. Files of a project that lead out of it are not
given to the agent, whoever names them, and nothing is fetched.

Hot-path module; `fnmatch` is imported for patterns only.
"""

from __future__ import annotations

import os

from guard.paths import leads_into

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_FILES = 200
"""Files of one config that are given to the agent."""

_MOST_ENTRIES = 20_000
"""Entries of directories that one pattern is compared with."""

_MARKS = "*?[{"

INSTRUCTION_FILES = ("AGENTS.md", "CLAUDE.md", "CONTEXT.md")
"""In this order; the first name that exists anywhere up to the worktree is the one used."""


def resolve(
    entries: object,
    *,
    upwards: list[str],
    within: str,
    home: str,
    beside: str = "",
    anywhere: bool = False,
) -> tuple[list[str], list[tuple[str, str]]]:
    """The absolute paths that `entries` mean, and (entry, why) of each that means none.

    `upwards` are the directories from the working one to the top of the worktree; a file that is
    found there has to lie in `within` really. `beside` is the user's own directory, "" for others;
    `anywhere` tells that an absolute entry, or one in the home, may mean any file.
    """
    found: dict[str, None] = {}
    notes: list[tuple[str, str]] = []
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, str):
            continue
        if "://" in entry:
            notes.append((entry, "it would be fetched at every start"))
            continue
        if "{env:" in entry or "{file:" in entry:
            notes.append((entry, "it is only known after {env:…} or {file:…} is replaced"))
            continue
        path = os.path.join(home, entry[2:]) if entry.startswith("~/") else entry
        free: list[str] = []
        if os.path.isabs(path):
            files = expand(os.path.basename(path), os.path.dirname(path))
            free = files if anywhere else []
        else:
            files = [file for place in upwards for file in expand(path, place)]
            free = expand(path, beside) if beside else []
            files += free
        outside = [f for f in files if f not in free and not leads_into(f, within)]
        odd = [f for f in files if not is_plain_path(f)]
        asked = [] if anywhere else [f for f in files if is_asked_about(f)]
        usable = [f for f in files if f not in outside and f not in odd and f not in asked]
        if not files:
            notes.append((entry, "no such file"))
        if outside:
            notes.append((outside[0], "it leads out of the project"))
        if odd:
            notes.append((entry, "a file name holds a character that opencode would replace"))
        if asked:
            notes.append((asked[0], "opencode asks before it reads a dotenv file"))
        if len(found) + len(usable) > MOST_FILES:
            notes.append((entry, f"it matches more than {MOST_FILES} files"))
            usable = usable[: MOST_FILES - len(found)]
        found.update(dict.fromkeys(usable))
    return list(found), notes


def picked(directory: str, top: str) -> list[str]:
    """The instruction files from `directory` up to `top`, as opencode picks them by itself."""
    for name in INSTRUCTION_FILES:
        found = []
        at = directory
        while True:
            path = os.path.join(at, name)
            if os.path.isfile(path):
                found.append(path)
            above = os.path.dirname(at)
            if at == top or above == at:
                break
            at = above
        if found:
            return found
    return []


def is_plain_path(path: str) -> bool:
    """Whether `path` means itself in opencode's config: no substitution, no glob, no escape.

    Only the last part of an absolute entry is a pattern (run on 1.18.33 in a folder `[old]`).
    """
    named = os.path.basename(path)
    return (
        path.isprintable()
        and not any(c in "{}\\" for c in path)
        and not any(c in "*?[]!" for c in named)
    )


def is_asked_about(path: str) -> bool:
    """Whether opencode asks before it reads `path`, or what it links to: a dotenv file."""
    names = [os.path.basename(p) for p in (path, os.path.realpath(path))]
    return any(
        (name.endswith(".env") or ".env." in name) and not name.endswith(".env.example")
        for name in names
    )


def expand(pattern: str, directory: str) -> list[str]:
    """The files below `directory` that `pattern` means, sorted; links to files count."""
    if not any(mark in pattern for mark in _MARKS):
        path = os.path.normpath(os.path.join(directory, pattern))
        return [path] if pattern and os.path.isfile(path) else []
    left = [_MOST_ENTRIES]
    found: dict[str, None] = {}
    for form in _forms(pattern):
        parts = [part for part in form.split("/") if part not in ("", ".")]
        found.update(dict.fromkeys(_below(directory, parts, left)))
    return sorted(found)


def _forms(pattern: str) -> list[str]:
    """`pattern` without its braces: one form for each of their alternatives."""
    forms = [pattern]
    done: list[str] = []
    while forms and len(done) + len(forms) <= 64:
        form = forms.pop()
        end = form.find("}")
        start = form.rfind("{", 0, end) if end >= 0 else -1
        if start < 0:
            done.append(form)
            continue
        forms += [form[:start] + a + form[end + 1 :] for a in form[start + 1 : end].split(",")]
    return done


def _below(directory: str, parts: list[str], left: list[int]) -> Iterable[str]:
    pending = [(directory, 0)]
    seen = set()
    while pending:
        at, number = pending.pop()
        if (at, number) in seen or number >= len(parts):
            continue
        seen.add((at, number))
        part, last = parts[number], number == len(parts) - 1
        if part == "..":
            pending.append((os.path.dirname(at), number + 1))
            continue
        if part == "**":
            # no directory at all, or each one below; links are not followed
            pending.append((at, number + 1))
        if part != "**" and not any(mark in part for mark in _MARKS):
            path = os.path.join(at, part)
            if last and os.path.isfile(path):
                yield path
            elif not last and os.path.isdir(path):
                pending.append((path, number + 1))
            continue
        try:
            names = os.listdir(at)
        except OSError:
            continue
        left[0] -= len(names)
        if left[0] < 0:
            return
        for name in names:
            path = os.path.join(at, name)
            if part == "**":
                if os.path.isdir(path) and not os.path.islink(path):
                    pending.append((path, number))
                if last and os.path.isfile(path):
                    yield path
            elif _fits(name, part):
                if last and os.path.isfile(path):
                    yield path
                elif not last and os.path.isdir(path):
                    pending.append((path, number + 1))


def _fits(name: str, part: str) -> bool:
    import fnmatch

    return fnmatch.fnmatchcase(name, part)
