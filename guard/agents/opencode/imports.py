"""Code that the working directory would slip into opencode by way of its optional imports.

opencode is a compiled Bun program, and Bun resolves an import that is not in the program from the
working directory: through `paths` and `baseUrl` of the nearest `tsconfig.json` or `jsconfig.json`,
through `node_modules` there and above, and through a `package.json` of that name. 1.18.33 asks for
`esprima` (optional in js-yaml) in every process, so a repository that answers runs in the agent,
with its environment. Run against the real binary; plugins need not be allowed for it, and no
switch turns it off.

A launch that can start elsewhere does (see planner); the others are checked here.

Hot-path module; `hashlib` and `json` are imported only where something answers.
"""

from __future__ import annotations

import os

from guard.agents.opencode import jsonc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "esprima"
"""The package that opencode 1.18.33 asks the working directory for."""

_CONFIGS = ("tsconfig.json", "jsconfig.json")
_SUFFIXES = ("", ".js", ".ts", ".mjs", ".cjs", ".mts", ".cts", ".jsx", ".tsx", ".json", ".node")
_REDIRECTS = ("browser", "exports", "imports", "module", "type")
_MAX_EXTENDS = 16


def answers(directory: str) -> list[tuple[str, str]]:
    """(path, why) of everything from `directory` up to the root that answers the import.

    A released esprima, byte for byte, answers nothing: it is what the import is for.
    """
    found: list[tuple[str, str]] = []
    at = os.path.realpath(directory)
    nearest = True
    while True:
        for name in _CONFIGS if nearest else ():
            path = os.path.join(at, name)
            if os.path.lexists(path):
                nearest = False
                found += _of_config(path)
        found += _foreign(os.path.join(at, "node_modules", NAME), "")
        found += _self_reference(os.path.join(at, "package.json"))
        above = os.path.dirname(at)
        if above == at:
            return found
        at = above


def _foreign(base: str, because: str) -> list[tuple[str, str]]:
    """(path, why) of what an import of `base` runs, unless that is a released esprima."""
    found = []
    for suffix in _SUFFIXES:
        path = base + suffix
        if not os.path.lexists(path):
            continue
        path, why = _package(path) if os.path.isdir(path) else (path, _UNKNOWN)
        if why:
            found.append((path, why + because))
    return found


_UNKNOWN = f"answers the agent's import of {NAME} and is no released {NAME}"


def _package(directory: str) -> tuple[str, str]:
    """The file that the package in `directory` runs, and why not ("" if released)."""
    import hashlib

    path = directory
    try:
        package = jsonc.read(os.path.join(directory, "package.json")) or {}
        main = package.get("main")
        path = os.path.join(directory, main if isinstance(main, str) else "index.js")
        entry = _released().get(str(package.get("version")))
        if entry is None or any(key in package for key in _REDIRECTS):
            return path, _UNKNOWN
        if os.path.normpath(path) != os.path.normpath(os.path.join(directory, entry["main"])):
            return path, _UNKNOWN
        raw = jsonc.read_bytes(path)
    except jsonc.UnreadableError as error:
        return path, f"answers the agent's import of {NAME} and cannot be checked: {error}"
    if raw is None or hashlib.sha256(raw).hexdigest() != entry["sha256"]:
        return path, _UNKNOWN
    return path, ""


def _released() -> dict[str, Any]:
    import guard.catalog

    here = os.path.dirname(os.path.abspath(guard.catalog.__file__))
    raw = jsonc.read_bytes(os.path.join(here, "packages.json"))
    known = jsonc.parse((raw or b"{}").decode()).get(NAME)
    return known if isinstance(known, dict) else {}


def _self_reference(path: str) -> list[tuple[str, str]]:
    try:
        raw = jsonc.read_bytes(path)
    except jsonc.UnreadableError as error:
        return [(path, f"cannot be checked: {error}")]
    if raw is None or (NAME.encode() not in raw and b"\\u" not in raw):
        return []
    try:
        package = jsonc.parse(raw.decode("utf-8-sig", "replace"))
    except jsonc.UnreadableError as error:
        return [(path, f"names {NAME}, and cannot be checked: {error}")]
    if package.get("name") == NAME:
        return [(path, f"calls this directory {NAME}, which the agent imports")]
    return []


def _of_config(path: str) -> list[tuple[str, str]]:
    """What the TypeScript config at `path`, and those it extends, do to the import."""
    found = []
    pending, seen = [path], 0
    while pending and seen < _MAX_EXTENDS:
        config = pending.pop()
        seen += 1
        try:
            content = jsonc.read(config)
        except jsonc.UnreadableError as error:
            found.append(
                (config, f"decides what the agent imports, and cannot be checked: {error}")
            )
            continue
        if not content:
            continue
        options = content.get("compilerOptions")
        if isinstance(options, dict):
            found += _of_options(config, options)
        extends = content.get("extends")
        for base in extends if isinstance(extends, list) else [extends]:
            if isinstance(base, str):
                pending += _extended(config, base)
    return found


def _of_options(config: str, options: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    base = options.get("baseUrl")
    directory = os.path.dirname(config)
    root = os.path.join(directory, base) if isinstance(base, str) else directory
    paths = options.get("paths")
    for key, targets in paths.items() if isinstance(paths, dict) else ():
        part = _matched(key)
        if part is None:
            continue
        for target in targets if isinstance(targets, list) else ():
            if isinstance(target, str):
                place = os.path.normpath(os.path.join(root, target.replace("*", part, 1)))
                found += _foreign(place, f' (by "{key}" in {config})')
    if isinstance(base, str):
        found += _foreign(os.path.normpath(os.path.join(root, NAME)), f" (by baseUrl in {config})")
    return found


def _matched(key: str) -> str | None:
    """What the star of a `paths` key stands for in the import; None if the key does not fit."""
    before, star, after = key.partition("*")
    if not star:
        return "" if key == NAME else None
    if not (NAME.startswith(before) and NAME.endswith(after)):
        return None
    length = len(NAME) - len(before) - len(after)
    return NAME[len(before) : len(before) + length] if length >= 0 else None


def _extended(config: str, base: str) -> list[str]:
    directory = os.path.dirname(config)
    spelled = [os.path.join(directory, base)]
    while not base.startswith((".", "/")):
        spelled.append(os.path.join(directory, "node_modules", base))
        above = os.path.dirname(directory)
        if above == directory:
            break
        directory = above
    found = []
    for path in spelled:
        for spelling in (path, f"{path}.json", os.path.join(path, "tsconfig.json")):
            if os.path.isfile(spelling):
                found.append(os.path.normpath(spelling))
                break
    return found
