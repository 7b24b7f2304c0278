"""What a rule says about a variable that a file sets: the launch's words, at a place in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard import variables
from guard.agents.registry import is_switch, keeps
from guard.rules.files import base_urls
from guard.rules.files.location import at
from guard.rules.files.secrets import catalogued_variables, is_form, variable_kind

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_COMMON = (
    b"_key",
    b"_token",
    b"apikey",
    b"_pat",
    b"base_url",
    b"api_base",
    b"_endpoint",
    b"_host",
    b"_proxy",
    b"opencode_",
    b"node_tls_reject",
)
_JUDGED = ("provider_key", "provider_setting", "base_url", "agent_redirect", "http_proxy")


def _needles() -> tuple[bytes, ...]:
    names = (
        name.lower().encode()
        for name, (kind, _) in sorted(catalogued_variables().items())
        if kind in _JUDGED
    )
    return (*_COMMON, *(name for name in names if not any(part in name for part in _COMMON)))


NEEDLES = _needles()
"""Lower-case bytes of which every variable that is judged here holds one."""

_URL = re.compile(r"\bhttps?://[^\s\"'`|;,)}]+")
_REFERENCE = re.compile(
    r"\$\{\{\s*(?P<expression>[^}]*)\}\}"
    r"|\$\{(?P<braced>[A-Za-z_]\w*)(?P<default>[^}]*)\}"
    r"|\$\((?P<macro>[A-Za-z_]\w*)\)"
    r"|\$(?P<plain>[A-Za-z_]\w*)"
)
_NAME_THEN_VALUE = re.compile(r"[\"']?\w+[\"']?\s*[:=]")
_MEMBER = re.compile(r"\b(?:secrets|env|vars|inputs|variables|parameters)\.([A-Za-z_]\w*)")


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


def judge(
    file: SourceFile,
    policy: CompiledPolicy,
    name: str,
    value: str | None,
    start: int,
    end: int,
    *,
    where: str,
    ci: bool = False,
    agent: bool = False,
    handed: bool = True,
) -> Iterator[Finding]:
    """Findings for `name` set to `value` between two offsets of `file`.

    `value` is as written, references included; None if the variable is handed on without one.
    `where` says in words what gets it ("a child process", "the container"). `ci` tells that a CI
    job gets it, `agent` that only a call of the agent does, for which `NODE_*` counts as well.
    Not `handed` means that whoever gets it had it before: `export NAME=$NAME` changes nothing.
    """
    kind, owner = variable_kind(name, policy)
    if not kind or policy.excepted(f"env:{name}") is not None:
        return
    if kind == "provider_key":
        if not handed and value is not None and _only_itself(name, value):
            return
        yield from _key(file, policy, name, value, start, end, owner, where, ci)
        return
    if value is None or not value.strip() or is_switch(name, value):
        return
    verdict = variables.judge(name, kind, owner, value.strip(), policy, keeps=keeps(), text=True)
    if not verdict.rule or kind == "ambient":
        return
    message, fix = f"{name} {verdict.words}", f"remove {name}"
    if kind == "base_url":
        yield from _base_url(file, policy, name, value, start, end)
        return
    if kind in ("provider_setting", "unknown_key"):
        switch = value.strip().lower() in variables.ON
        if not switch and (not _literal(value) or is_form(value)):
            return
        if kind == "unknown_key":
            fix = f"name {name} in your policy if it is a model key, or except it"
        message = f"{where} gets {name}, which {verdict.words}"
    elif kind == "http_proxy":
        if not _literal(value) or policy.excepted(verdict.subject) is not None:
            return
        fix += f", or add an [[exception]] with the subject {verdict.subject} to your policy"
    elif kind == "runtime" and not agent and name != "NODE_TLS_REJECT_UNAUTHORIZED":
        return  # for the program it starts; only an agent's is ours to judge
    flagged = kind == "http_proxy" and policy.proxies_action == "flag"
    yield at(
        file,
        verdict.rule,
        start,
        end,
        name,
        message,
        fix=fix,
        severity="warning" if flagged else "",
    )


def _key(
    file: SourceFile,
    policy: CompiledPolicy,
    name: str,
    value: str | None,
    start: int,
    end: int,
    owner: str,
    where: str,
    ci: bool,
) -> Iterator[Finding]:
    referred: list[str] = []
    if value is not None:
        if not value.strip():
            return
        referred = references(value)
        if referred and all(is_gateway_key(r, policy) for r in referred):
            return
        if not referred and "$" not in value and "`" not in value and is_form(value):
            return
    if ci and (referred or value is None):
        yield handed_to_ci(file, policy, name, owner, start, end, where)
        return
    literal = value if value is not None and not referred else ""
    yield at(
        file,
        "RG101",
        start,
        end,
        name,
        f"{where} gets {name}, which {variables.words_of(name, 'provider_key', owner)}",
        fix="keep the credential in Portkey and set PORTKEY_API_KEY where the agent starts",
        secret=literal,
    )


def handed_to_ci(
    file: SourceFile,
    policy: CompiledPolicy,
    name: str,
    owner: str,
    start: int,
    end: int,
    where: str,
) -> Finding:
    """The finding for a CI job (`where`) that gets the direct key `name` of `owner`."""
    return at(
        file,
        "RG112",
        start,
        end,
        name,
        f"{where} gets {name}, which {variables.words_of(name, 'provider_key', owner)}",
        fix="hand it the gateway's key instead: PORTKEY_API_KEY from the CI's secrets, "
        f"with {policy.base_url} as the base URL",
    )


def _only_itself(name: str, value: str) -> bool:
    """Whether `value` is what the variable already holds: `${NAME}`, `${NAME:-}`, `${NAME:?}`."""
    match = _REFERENCE.fullmatch(value.strip())
    if match is None or name not in (match["braced"], match["plain"]):
        return False
    default = match["default"] or ""
    return default.lstrip(":")[:1] in ("", "?") or default in ("-", ":-", "=", ":=")


def _literal(value: str | None) -> str:
    return "" if value is None or "$" in value or "`" in value else value


def _base_url(
    file: SourceFile, policy: CompiledPolicy, name: str, value: str, start: int, end: int
) -> Iterator[Finding]:
    written = file.text[start : start + len(name) + 6]
    if _NAME_THEN_VALUE.match(written) and base_urls.DETECTOR.wants(file.path, file.name):
        return  # it sees every URL that is written behind a name, this one too
    if value.strip().lower() in variables.OFF | variables.ON:
        return
    for url in _URL.findall(value) or ([value] if _literal(value).strip() else []):
        finding = base_urls.of_variable(file, policy, name, url, start, end)
        if finding is not None:
            yield finding
            return
