"""What pinning cannot neutralise, or what the user should know, from the surroundings.

Hot-path module. Pure, except that an exception for a file reads the file and what it imports.
"""

from __future__ import annotations

import os

from guard.agents.opencode import definitions
from guard.agents.opencode.arguments import login_server, shown
from guard.agents.opencode.config import ALWAYS, ROUTE_KEYS, left_out, unsafe_substitution
from guard.agents.opencode.store import ORGANISATION, WELLKNOWN, credentials_in
from guard.files import jsonc
from guard.findings import Finding, allow, unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from guard.agents.covered import Coverage, Uncovered
    from guard.agents.opencode.surroundings import Config, Surroundings
    from guard.policy.values import CompiledPolicy

SUBSTITUTED_KEY = "a key is only known after {env:…} is replaced"
IMPORTED = "the agent imports this file when it starts"
SENDS = "; code inside the agent can send prompts and keys anywhere"

_NO_PACKAGE = (
    *("/", ".", "~", "{"),
    *("data:", "file:", "git+", "git:", "git@", "github:", "gitlab:", "http:", "https:"),
)
"""How a specification begins that is no name of a published package."""

CODE_KEYS = ("plugin", "plugins", "reference", "references")
"""Keys by which a config file makes the agent import code or read other trees."""

_TABLES = ("provider", "providers", "reference", "references")
"""Keys whose value is an object of named entries: an empty one adds none."""


def check(
    found: Surroundings, policy: CompiledPolicy, environ: Mapping[str, str], now: float
) -> list[Finding]:
    """Every finding about files. Those of severity "error" forbid the launch."""
    findings = check_project(found, policy, environ, now)
    findings.extend(check_store(found, policy, now))
    findings.extend(_of_user(found))
    findings.extend(found.about_managed)
    for config in found.managed:
        # one that routeguard wrote is compared with what pins the launch, by the planner
        findings.extend([] if config.ours else _of_managed(config))
    findings.extend(_direct(found.credentials, found.credentials_file))
    return findings


def check_project(
    found: Surroundings, policy: CompiledPolicy, environ: Mapping[str, str], now: float
) -> list[Finding]:
    """Findings about what a project would make the agent run, whether it calls a model or not."""
    findings: list[Finding] = []
    files = [(path, IMPORTED) for path in found.code]
    files += [(path, f"this file {why}") for path, why in found.imports]
    if files or found.project:
        # most projects have none
        from guard.agents.covered import Coverage

        coverage = Coverage(policy, now)
        for path, reason in files:
            missing = coverage.missing(path)
            if missing is not None:
                findings.append(_code(path, reason, missing))
        for config in found.project:
            findings.extend(_of_project(config, coverage, environ))
    for path, why in found.unreadable:
        findings.append(unreadable(path, why))
    return findings


def _of_project(config: Config, coverage: Coverage, environ: Mapping[str, str]) -> list[Finding]:
    if config.error:
        return [unreadable(config.path, config.error)]
    findings: list[Finding] = []
    unclear = unclear_in(config.content, environ)
    if unclear:
        return [unreadable(config.path, unclear)]
    reasons = [reason for _, reason in code_in(config.content)]
    missing = coverage.missing(config.path, named_code(config.content)) if reasons else None
    if missing is not None:
        findings.extend(_code(config.path, reason, missing) for reason in reasons)
    ignored = [key for key in ROUTE_KEYS if key in config.content and key not in CODE_KEYS]
    if ignored:
        why = "a project may not choose the route"
        findings.append(left_out(", ".join(ignored), why, config.path))
    return findings


def unclear_in(content: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """Why what opencode makes of a project's config cannot be told, "" if it can.

    It replaces `{env:NAME}` by the value in `environ` before it reads the file.
    """
    if _substituted_key(content):
        return SUBSTITUTED_KEY
    return unsafe_substitution(content, environ, files=True)


def code_in(content: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """(keys that lead there, why) of what a project's config makes the agent run."""
    found: list[tuple[tuple[str, ...], str]] = [
        ((key,), f"the key {key} makes the agent load code or other directories")
        for key in CODE_KEYS
        if content.get(key)
    ]
    found += [
        (keys, f"{'.'.join(keys)} names a package file ({spec}) that the agent would run")
        for keys, spec in _packages(content)
    ]
    return found


def _of_user(found: Surroundings) -> list[Finding]:
    findings: list[Finding] = []
    for config in found.user:
        if config.error:
            findings.append(unreadable(config.path, config.error))
    return findings + not_loaded(found.user_code, "plugins and tools")


def not_loaded(code: list[str], what: str) -> list[Finding]:
    """The note on the user's own `code`, by its paths, which a launch does not load."""
    if not code:
        return []
    return [
        Finding(
            "RG301",
            ", ".join(code),
            f"not loaded under the guard: {what} run inside the agent and can send by themselves",
            where="your own opencode directory",
            severity="note",
        )
    ]


def _of_managed(config: Config) -> list[Finding]:
    if config.error:
        return [unreadable(config.path, config.error)]
    keys = [key for key in ROUTE_KEYS if key in config.content]
    keys = [key for key in keys if not _changes_nothing(key, config.content[key])]
    for group in ("agent", "mode", "command", "agents", "commands"):
        for name, entry in _items(config.content.get(group)):
            if not isinstance(entry, dict):
                continue
            sets = [key for key in ("model", "request") if key in entry]
            if group in ("agent", "mode"):
                sets = ["model"] * ("model" in entry) + definitions.options(entry)[1]
            keys += [f"{group}.{name}.{key}" for key in sets]
    return [
        Finding(
            "RG302",
            key,
            f"the administrator's opencode config sets {key}, which outranks the pinned route",
            where=config.path,
            fix="ask the administrator to leave the route to routeguard's system policy",
        )
        for key in keys
    ]


def _changes_nothing(key: str, value: object) -> bool:
    """Whether an administrator's `value` of a route key leaves what is pinned as it is.

    opencode merges objects, and takes his value for ours elsewhere.
    """
    if isinstance(value, dict):
        ours = ALWAYS.get(key, {})
        merged = isinstance(ours, dict) and (ours or key in _TABLES)
        return bool(merged) and all(_same(inner, ours.get(n)) for n, inner in value.items())
    return (key in ALWAYS and _same(value, ALWAYS[key])) or (value == [] and key in CODE_KEYS)


def _same(a: object, b: object) -> bool:
    # in Python, 0 equals False
    return type(a) is type(b) and a == b and a is not None


def check_store(found: Surroundings, policy: CompiledPolicy, now: float) -> list[Finding]:
    """Findings about stored logins by which a server adds configuration to whatever is started.

    Every command of opencode that reads its configuration asks that server, and runs what it
    answers: MCP servers, plugins (`session list`, `stats`, `mcp list`: run on 1.18.33).
    """
    findings = [unreadable(path, why) for path, why in found.unreadable_store]
    findings += _logins(found.credentials, found.credentials_file, policy, now)
    for path, kind in found.accounts:
        if kind == ORGANISATION:
            message = (
                "an organisation of the opencode console is active, and its config outranks ours"
            )
            fix = "opencode console logout"
        else:
            message = (
                "opencode 2 is logged in to its console, whose server is asked for providers "
                "in every launch"
            )
            fix = "delete from credential where integration_id = 'opencode'"
            usual = os.path.basename(path) == "opencode.db"
            fix = shown(["opencode", "db", fix] if usual else ["sqlite3", path, fix])
        findings.append(Finding("RG302", path, message, where=path, fix=fix))
    return findings


def check_inline_store(content: str, policy: CompiledPolicy, now: float) -> list[Finding]:
    """Findings about logins in `content`, the value of OPENCODE_AUTH_CONTENT, "" if it is not kept.

    opencode takes it for its store, instead of the file.
    """
    if not content:
        return []
    where = "environment variable OPENCODE_AUTH_CONTENT"
    try:
        credentials = credentials_in(jsonc.parse(content))
    except jsonc.UnreadableError as error:
        return [unreadable(where, str(error))]
    return _logins(credentials, where, policy, now) + _direct(credentials, where)


def _logins(
    credentials: list[tuple[str, str]], where: str, policy: CompiledPolicy, now: float
) -> list[Finding]:
    return [
        login_server(
            name,
            "lets that server",
            where,
            shown(["opencode", "auth", "logout", name]),
            policy,
            now,
        )
        for name, kind in credentials
        if kind == WELLKNOWN
    ]


def _direct(credentials: list[tuple[str, str]], where: str) -> list[Finding]:
    return not_used([name for name, kind in credentials if kind != WELLKNOWN], where)


def not_used(logins: list[str], where: str) -> list[Finding]:
    """The finding for the `logins` that are stored at `where`, by the names of their providers."""
    if not logins:
        return []
    return [
        Finding(
            "RG304",
            ", ".join(logins),
            "stored, and not used under the guard",
            where=where,
            fix="opencode auth logout PROVIDER removes it for good",
        )
    ]


def _code(path: str, reason: str, missing: Uncovered) -> Finding:
    return Finding(
        "RG301", path, reason + SENDS + missing.why, where=path, fix=without_code(missing)
    )


def without_code(missing: Uncovered) -> str:
    """What to do about code that no exception covers; `check` says the same."""
    if not missing.path:
        return "remove it"
    trusted = allow("file", shown([missing.path]), "30d")
    return f"remove it; or, if you have read it and trust it as it is now:\n{trusted}"


def named_code(content: dict[str, Any]) -> list[str]:
    """What a config names as code, in the words of an import; a package as `npm:NAME@VERSION`.

    A plugin is a text, `{"package": …}` or `[…, options]`: a path or URL of a file, or what npm
    would install (the loaders of 1.18.33).
    """
    found = [spec.removeprefix("aisdk:") for _, spec in _packages(content)]
    for key in ("plugin", "plugins"):
        value = content.get(key)
        for entry in value if isinstance(value, list) else [value]:
            spec = entry[0] if isinstance(entry, list) and entry else entry
            if isinstance(spec, dict):
                spec = spec.get("package") or "?"
            if isinstance(spec, str):
                found.append(spec if _no_package(spec) else f"npm:{spec}")
            elif spec:
                found.append("npm:?")
    return found


def _packages(content: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """(keys, spec) of each SDK package that is a file instead of a published package."""
    found: list[tuple[tuple[str, ...], str]] = []
    for group in ("provider", "providers"):
        for name, entry in _items(content.get(group)):
            places: list[tuple[tuple[str, ...], Any]] = [((group, name), entry)]
            for model, definition in _items(entry.get("models") if _items(entry) else None):
                below = (group, name, "models", model)
                places.append((below, definition))
                if isinstance(definition, dict):
                    places.append(((*below, "provider"), definition.get("provider")))
            for where, place in places:
                for key, spec in _items(place):
                    if key in ("npm", "package") and isinstance(spec, str) and _no_package(spec):
                        found.append(((*where, key), spec))
    return found


def _no_package(spec: str) -> bool:
    """Whether `npm` or `package` names a file, a URL or a repository, not a published package."""
    bare = spec.removeprefix("aisdk:").lower()
    return bare.startswith(_NO_PACKAGE)


def _items(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _substituted_key(value: object) -> bool:
    below = [value]
    while below:
        item = below.pop()
        if isinstance(item, dict):
            if any("{env:" in key or "{file:" in key for key in item):
                return True
            below.extend(item.values())
        elif isinstance(item, list):
            below.extend(item)
    return False
