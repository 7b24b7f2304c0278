"""What a rule says about a variable that a file sets: the launch's words, at a place in a file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from guard import variables
from guard.agents.registry import is_switch, keeps
from guard.catalog.classify import PREFIXES
from guard.catalog.key_values import is_placeholder
from guard.errors import either
from guard.findings import allow
from guard.late import late
from guard.rules.files import base_urls
from guard.rules.files.secrets import catalogued_variables, variable_kind

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.rules.files.scope import Placed, Scope

_COMMON = (
    b"_KEY",
    b"_TOKEN",
    b"apikey",  # these in any case: keys of settings that a shell text writes are called so, too
    b"base_url",
    b"api_base",
    *(prefix.encode() for prefix, kind, _ in PREFIXES if kind != "runtime"),
    b"NODE_TLS_REJECT",
    b"TF_VAR_",
)
_UNJUDGED = ("", "other_service", "grey", "ambient", "runtime")


@cache
def needles() -> tuple[bytes, ...]:
    """Bytes of which every variable that is judged here holds one, in the case that it has."""
    names = sorted(n for n, (kind, _) in catalogued_variables().items() if kind not in _UNJUDGED)
    common = [part.decode().upper() for part in _COMMON]
    others = (name.encode() for name in names if not any(part in name.upper() for part in common))
    return (*_COMMON, *others)


_URL = late(r"\bhttps?://[^\s\"'`|;,)}]+")
_REFERENCE = late(
    r"\$\{\{\s*(?P<expression>[^}]*)\}\}"
    r"|\$\{(?:(?:local|container)?[Ee]nv:|input:)?(?P<braced>[A-Za-z_]\w*)(?P<default>[^}]*)\}"
    r"|\$\((?P<macro>[A-Za-z_]\w*)\)"
    r"|\$(?P<plain>[A-Za-z_]\w*)"
)
_NAME_THEN_VALUE = late(r"[\"']?\w+[\"']?\s*[:=]")
_MEMBER = late(r"\b(?:secrets|env|vars|inputs|variables|parameters)\.([A-Za-z_]\w*)")


def references(value: str) -> list[str]:
    """The variables and secrets that `value` is made of: `$A`, `${A:-b}`, `${{ secrets.A }}`."""
    found = []
    for match in _REFERENCE.finditer(value):
        if match["expression"] is not None:
            found.extend(_MEMBER.findall(match["expression"]))
        else:
            found.append(match["braced"] or match["macro"] or match["plain"])
    return found


def is_gateway_key(name: str, policy: CompiledPolicy) -> bool:
    """Whether a variable or secret called `name` holds the gateway's key, as far as names tell."""
    return any(name == p.key_env for p in policy.providers) or "PORTKEY" in name.upper()


def check_variable(
    scope: Scope,
    name: str,
    value: str | None,
    place: Placed,
    *,
    agent: bool = False,
    handed: bool = True,
) -> Iterator[Finding]:
    """Findings for `name` set to `value` at `place`, at most one.

    `value` is as written, references included; None if the variable is handed on without one.
    `agent` tells that only a call of the agent gets it, for which `NODE_*` counts as well.
    Not `handed` means that its receiver had it before: `export NAME=$NAME` changes nothing.
    """
    kind, owner = variable_kind(name, scope.policy)
    if not kind or scope.policy.excepted(f"env:{name}") is not None:
        return
    found: Finding | None = None
    if kind == "provider_key":
        if handed or value is None or not _only_itself(name, value):
            found = _key(scope, name, value, place, owner)
    elif value is None or not value.strip() or is_switch(name, value):
        return
    elif kind == "base_url":
        found = _base_url(scope, name, value, place)
    elif kind in ("provider_setting", "unknown_key"):
        found = _opens_a_provider(scope, name, kind, owner, value, place)
    elif kind != "http_proxy" or _literal(value):
        found = of_setting(scope, name, kind, owner, value.strip(), place, agent=agent)
    if found is not None:
        yield found


def of_setting(
    scope: Scope,
    name: str,
    kind: str,
    owner: str,
    value: str,
    place: Placed,
    *,
    sample: bool = False,
    agent: bool = False,
) -> Finding | None:
    """The finding for a proxy, a setting that redirects the agent, or one of its runtime's.

    What is set for the runtime of any program (`NODE_OPTIONS`) counts for an agent alone. In a
    `sample` a proxy is a warning, and a setting that redirects is only shown.
    """
    policy = scope.policy
    verdict = variables.judge(name, kind, owner, value, policy, keeps=keeps(), text=True)
    if not verdict.rule or kind == "ambient" or is_switch(name, value):
        return None
    if kind == "runtime" and not agent and name != "NODE_TLS_REJECT_UNAUTHORIZED":
        return None
    if kind == "agent_redirect" and sample:
        return None
    fix, warning = f"remove {name}", False
    if kind == "http_proxy":
        if policy.excepted(verdict.subject) is not None:
            return None
        fix = either(fix, allow("proxy", verdict.place))
        warning = sample or policy.proxies_action == "flag"
    return scope.finding(
        verdict.rule,
        place,
        name,
        f"{name} {verdict.words}",
        fix=fix,
        severity="warning" if warning else "",
    )


def _opens_a_provider(
    scope: Scope, name: str, kind: str, owner: str, value: str, place: Placed
) -> Finding | None:
    verdict = variables.judge(name, kind, owner, value.strip(), scope.policy, text=True)
    switch = value.strip().lower() in variables.ON
    if not verdict.rule or (not switch and not _literal(value)):
        return None
    if not switch and is_placeholder(value):
        return scope.placeholder(verdict.rule, place, name, owner or "a service")
    fix = f"remove {name}" if kind == "provider_setting" else fix_unknown(name)
    message = f"{scope.where} gets {name}, which {verdict.words}"
    return scope.finding(verdict.rule, place, name, message, fix=fix)


def fix_unknown(name: str) -> str:
    """What to do about a variable that may hold a model's key or not."""
    return (
        f"if it opens a model provider, add {name} to keys.extra in your policy\n"
        f"if not:\n{allow('env', name, '30d')}"
    )


def _key(scope: Scope, name: str, value: str | None, place: Placed, owner: str) -> Finding | None:
    referred = references(value or "")
    if value is not None:
        if not value.strip():
            return None
        if referred and all(is_gateway_key(r, scope.policy) for r in referred):
            return None
        if not referred and "$" not in value and "`" not in value and is_placeholder(value):
            return scope.placeholder("RG101", place, name, owner)
    if scope.ci and (referred or value is None):
        return handed_to_ci(scope, name, owner, place)
    return scope.finding(
        "RG101",
        place,
        name,
        f"{scope.where} gets {name}, which {variables.words_of(name, 'provider_key', owner)}",
        fix="keep the credential in Portkey and set PORTKEY_API_KEY where the agent starts",
        secret="" if value is None or referred else value,
    )


def handed_to_ci(scope: Scope, name: str, owner: str, place: Placed) -> Finding:
    """The finding for a CI job that gets the direct key `name` of `owner`."""
    return scope.finding(
        "RG112",
        place,
        name,
        f"{scope.where} gets {name}, which {variables.words_of(name, 'provider_key', owner)}",
        fix="pass the gateway's key instead: PORTKEY_API_KEY from the CI's secrets, "
        f"with {scope.policy.base_url} as the base URL",
    )


def _only_itself(name: str, value: str) -> bool:
    """Whether `value` is what the variable already holds: `${NAME}`, `${NAME:-}`, `${NAME:?}`."""
    match = _REFERENCE.fullmatch(value.strip())
    if match is None or name not in (match["braced"], match["plain"]):
        return False
    default = match["default"] or ""
    return default.lstrip(":")[:1] in ("", "?") or default in ("-", ":-", "=", ":=")


def _literal(value: str) -> bool:
    return "$" not in value and "`" not in value


def _base_url(scope: Scope, name: str, value: str, place: Placed) -> Finding | None:
    file = scope.file
    written = file.text[place.start : place.start + len(name) + 6]
    if _NAME_THEN_VALUE.match(written) and base_urls.DETECTOR.wants(file.path, file.name):
        return None  # it sees every URL that is written behind a name, this one too
    if value.strip().lower() in variables.OFF | variables.ON:
        return None
    urls = _URL.findall(value) or ([value] if _literal(value) else [])
    found = (base_urls.of_variable(scope, name, url, place) for url in urls)
    return next(filter(None, found), None)
