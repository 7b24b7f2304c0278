"""Code that the working directory would slip into opencode by way of its optional imports.

opencode is a compiled Bun program, and Bun resolves an import that is not in the program from the
working directory: through `paths` and `baseUrl` of the nearest `tsconfig.json` or `jsconfig.json`,
through `node_modules` there and above, and through a `package.json` of that name. 1.18.33 asks for
`esprima` (optional in js-yaml) in every process, so a repository that answers runs in the agent,
with its environment. Run against the real binary; plugins need not be allowed for it, and no
switch turns it off.

A launch that can start elsewhere does (see `planner.starts_elsewhere`). The others are judged here
by the shape of what lies around, not by repeating Bun's resolution: whatever could answer counts.

Hot-path module; `hashlib` and `json` are imported only where something answers.
"""

from __future__ import annotations

import os

from guard.files import jsonc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "esprima"
"""The package that opencode 1.18.33 asks the working directory for."""

STUB = {"package.json": f'{{"name":"{NAME}","main":"index.js"}}\n', "index.js": ""}
"""A package that answers the import and does nothing, for the directory a launch starts in."""

_CONFIGS = ("tsconfig.json", "jsconfig.json")
_REDIRECTS = ("browser", "exports", "imports", "module", "type")
_MAX_EXTENDS = 16
_MAX_TARGETS = 100
_ANSWERS = f"answers the agent's import of {NAME}"
_MAY_ANSWER = f"may answer the agent's import of {NAME}"


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
        found += _named(os.path.join(at, "node_modules"), "")
        found += _self_reference(os.path.join(at, "package.json"))
        above = os.path.dirname(at)
        if above == at:
            return found
        at = above


def _named(directory: str, because: str, target: str = NAME) -> list[tuple[str, str]]:
    """(path, why) of what an import of `target` in `directory` could mean, releases apart."""
    found: list[tuple[str, str]] = []
    try:
        names = os.listdir(directory)
    except OSError:
        return found
    # the file systems of macOS do not tell cases apart, and `x.js` also means `x.ts`
    wanted = target.lower()
    stem = wanted.rpartition(".")[0] or wanted
    for name in names:
        if name.lower() != wanted and not name.lower().startswith(stem + "."):
            continue
        path, why = os.path.join(directory, name), f"{_ANSWERS} and is no released {NAME}"
        if os.path.isdir(path):
            path, why = _package(path)
        if why:
            found.append((path, why + because))
    return found


def _package(directory: str) -> tuple[str, str]:
    """The file that the package in `directory` runs, and why not ("" if released)."""
    import hashlib

    path, unknown = directory, f"{_ANSWERS} and is no released {NAME}"
    try:
        package = jsonc.read(os.path.join(directory, "package.json")) or {}
        main = package.get("main")
        path = os.path.join(directory, main if isinstance(main, str) else "index.js")
        entry = _released().get(str(package.get("version")))
        if entry is None or any(key in package for key in _REDIRECTS):
            return path, unknown
        if os.path.normpath(path) != os.path.normpath(os.path.join(directory, entry["main"])):
            return path, unknown
        raw = jsonc.read_bytes(path)
    except jsonc.UnreadableError as error:
        return path, f"{_ANSWERS} and cannot be checked: {error}"
    if raw is None or hashlib.sha256(raw).hexdigest() != entry["sha256"]:
        return path, unknown
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
        return [(path, f"{_MAY_ANSWER}: it {error}")]
    # Bun reads UTF-16 and escapes that JSON does not have
    odd = raw is not None and (b"\\" in raw or raw[:2] in (b"\xfe\xff", b"\xff\xfe"))
    if raw is None or not (odd or NAME.encode() in raw):
        return []
    try:
        package = jsonc.parse(raw.decode("utf-8-sig"))
    except (jsonc.UnreadableError, UnicodeDecodeError):
        return [(path, f"{_MAY_ANSWER}: it is not plain JSON")]
    if package.get("name") == NAME:
        return [(path, f"{_ANSWERS}: it gives this directory that name")]
    return []


def _of_config(path: str) -> list[tuple[str, str]]:
    """What the TypeScript config at `path`, and those it extends, could do to the import."""
    found: list[tuple[str, str]] = []
    pending, seen = [path], set[str]()
    targets: list[tuple[str, str, object]] = []
    bases: dict[str, None] = {}
    while pending:
        config = pending.pop()
        if config in seen:
            continue
        seen.add(config)
        if len(seen) + len(pending) > _MAX_EXTENDS:
            return [(path, f"{_MAY_ANSWER}: it extends over {_MAX_EXTENDS} files")]
        try:
            content = jsonc.read(config)
        except jsonc.UnreadableError as error:
            found.append((config, f"decides what the agent imports, and cannot be read: {error}"))
            continue
        if not content:
            continue
        here = os.path.dirname(config)
        bases[here] = None
        options = content.get("compilerOptions")
        if isinstance(options, dict):
            base, mapped = options.get("baseUrl"), options.get("paths")
            if isinstance(base, str):
                if "${" in base:
                    why = f"{_MAY_ANSWER}: its baseUrl is a template"
                    found.append((config, why))
                bases[os.path.join(here, base)] = None
                found += _named(os.path.join(here, base), f" (baseUrl in {config})")
            if isinstance(mapped, dict):
                targets += [(config, key, mapped[key]) for key in mapped if _matches(key)]
        extends = content.get("extends")
        for base in (extends if isinstance(extends, list) else [extends])[: _MAX_EXTENDS + 1]:
            if isinstance(base, str):
                pending += _extended(config, base)
    if sum(len(value) for _, _, value in targets if isinstance(value, list)) > _MAX_TARGETS:
        why = f"it maps the import to over {_MAX_TARGETS} places (paths)"
        return [*found, (path, f"{_MAY_ANSWER}: {why}")]
    for config, key, value in targets:
        found += _of_target(config, key, value, list(bases))
    return found


def _of_target(config: str, key: str, value: object, bases: list[str]) -> list[tuple[str, str]]:
    """What `paths` of `config` maps the import to by `key`, where something is there.

    A config takes `baseUrl` from those that it extends, and they from it, so a relative target
    may begin at each of `bases`.
    """
    unclear = [(config, f'{_MAY_ANSWER}: it maps "{key}" (paths)')]
    before, _, after = key.partition("*")
    star = NAME[len(before) : len(NAME) - len(after)]
    found = []
    for target in value if isinstance(value, list) else [None]:
        if not isinstance(target, str) or "${" in target or target.count("*") > 1:
            return unclear
        for base in bases:
            path = os.path.normpath(os.path.join(base, target.replace("*", star)))
            because = f' ("{key}" of paths in {config})'
            found += _named(os.path.dirname(path), because, os.path.basename(path))
    return list(dict.fromkeys(found))


def _matches(key: str) -> bool:
    before, star, after = key.partition("*")
    if not star:
        return key == NAME
    fits = NAME.startswith(before) and NAME.endswith(after)
    return fits and len(before) + len(after) <= len(NAME)


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
