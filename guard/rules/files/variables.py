"""What a rule says about a variable that a file sets: the launch's words, at a place in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard.agents.environment import proxies
from guard.agents.registry import AGENTS, keeps
from guard.net import host_of, is_this_machine
from guard.rules.files import base_urls
from guard.rules.files.location import at
from guard.rules.files.secrets import is_placeholder, variable_kind

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.compiled import CompiledPolicy
    from guard.sources.file import SourceFile

NEEDLES = (
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
    b"claude_code_use_",
)
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
_ON = frozenset(("1", "true", "yes", "on"))


def is_on(value: str | None) -> bool:
    """Whether `value` switches something on."""
    return value is not None and value.strip().lower() in _ON


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
    elif kind == "provider_setting" and is_on(value):
        yield at(
            file,
            "RG101",
            start,
            end,
            name,
            f"{where} gets {name}, which alone opens {owner or 'a provider'}",
            fix=f"remove {name}; the route belongs into the policy",
        )
    elif kind == "base_url":
        yield from _base_url(file, policy, name, value or "", start, end)
    elif kind == "agent_redirect":
        if name in keeps() or any(name in agent.switches for agent in AGENTS) or not value:
            return
        yield at(
            file,
            "RG105",
            start,
            end,
            name,
            f"{name} redirects the agent: it changes its configuration, credentials or route",
            fix=f"remove {name}; the route belongs into the policy",
        )
    elif kind == "http_proxy":
        for finding in proxies({name: _literal(value)}, policy, 0.0):
            yield at(
                file,
                finding.rule,
                start,
                end,
                finding.subject,
                finding.message,
                fix=finding.fix,
                severity=finding.severity,
            )
    elif kind == "runtime":
        switched_off = name == "NODE_TLS_REJECT_UNAUTHORIZED" and value == "0"
        if switched_off or (agent and value):
            yield at(
                file,
                "RG108",
                start,
                end,
                name,
                f"{name} switches off TLS verification"
                if switched_off
                else f"{name} can load code into the agent or weaken its TLS",
                fix=f"remove {name}",
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
    of = f" ({owner})" if owner else ""
    referred: list[str] = []
    if value is not None:
        if not value.strip():
            return
        referred = references(value)
        if referred and all(is_gateway_key(r, policy) for r in referred):
            return
        if not referred and "$" not in value and "`" not in value and is_placeholder(value):
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
        f"{where} gets {name}, which reaches a model provider directly{of}",
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
        f"{where} gets {name}, which reaches a model provider directly"
        + (f" ({owner})" if owner else ""),
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
    if value.strip() in _ON or value.strip() in ("0", "false", "no", "off"):
        return
    ours = host_of(policy.base_url)
    urls = _URL.findall(value) or ([value] if _literal(value).strip() else [])
    for url in urls:
        host = host_of(url)
        if not host or host == ours or "$" in host or host.endswith((".example", ".invalid")):
            continue
        if host in ("example.com", "example.org") or host.endswith((".example.com", ".test")):
            continue
        what = "a program on this machine" if is_this_machine(host) else host
        yield at(
            file,
            "RG103",
            start,
            end,
            name,
            f"{name} sends model calls to {what}, not to the gateway",
            fix=f"{name}={policy.base_url}",
        )
        return
