"""The one judge of variables: what is done with one, under which rule, in which words.

A launch, `why`, `check --env` and the detectors of files all ask `judge`. They differ in what they
know of a value: an environment has it, and what is set there counts whatever it is; a text may hold
a reference, a form to fill in or a sample, which is for its reader to tell. The prompt, a script of
the shell, goes by names alone (guard/hook/render.py).

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.catalog.classify import RUNTIME_WITH_RULE, rule_of_kind
from guard.net import (
    PROXY_VARIABLES,
    Url,
    authority,
    is_loopback,
    is_path_within,
    is_plain_loopback,
    is_this_machine,
    read_url,
)
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from guard.policy.values import CompiledPolicy

OFF = frozenset(("", "0", "false", "no", "off"))
"""What switches a variable off that is a switch; in lower case."""

ON = frozenset(("1", "true", "yes", "on"))

AUTHORITIES = frozenset(
    ("NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA", "SSL_CERT_DIR", "SSL_CERT_FILE")
)
"""Certificates to trust: a company's own authority more often than an interceptor."""

BUNDLES = (
    *("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"),
    *("/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"),
)
"""Where Debian, Fedora, openSUSE and Alpine keep the certificates that the system trusts."""

_REMOVED = frozenset(("provider_key", "provider_setting", "base_url", "agent_redirect", "runtime"))
"""The kinds that a launch takes away."""


class Verdict(Record):
    """What is done with one variable, and why.

    `rule` is "" where nothing is wrong; `words` complete its name to a sentence. `removed` tells
    that a launch of an agent takes it away, `place` is what an address leads to ("" for none),
    and `subject` that of an exception ("" where there can be none). `advice` is how the policy
    keeps for good what a company needs of it, with the lines to paste; "" where it cannot.
    """

    kind: str
    owner: str
    rule: str = ""
    words: str = ""
    removed: bool = False
    place: str = ""
    subject: str = ""
    advice: str = ""


def judge(
    name: str,
    kind: str,
    owner: str,
    value: str | None,
    policy: CompiledPolicy,
    *,
    keeps: Collection[str] = (),
    text: bool = False,
) -> Verdict:
    """The verdict on `name`, which `classify` called (`kind`, `owner`), with `value`.

    None for a value stands for one that is not known. `keeps` are names, or `NAME=VALUE`, that
    stay although they are the agent's. `text` tells that a file sets it: then other programs may
    get it, in a container too. Exceptions of the policy are not looked at.
    """
    if name in keeps or f"{name}={value}" in keeps:
        return Verdict(kind, owner)
    rule = rule_of(name, kind, policy)
    if kind == "http_proxy":
        return _proxy(name, kind, owner, value, policy, text=text)
    if kind == "unknown_key":
        wanted = rule if policy.keys_unknown == "flag" else ""
        words = "looks like an API key of an unknown service"
        return Verdict(kind, owner, rule=wanted, words=words, subject=f"env:{name}")
    if kind == "ambient":
        words = f"kept: other tools need it; the pinned providers make it harmless ({owner})"
        return Verdict(kind, owner, rule=rule, words=words)
    if kind not in _REMOVED:
        return Verdict(kind, owner)
    place = ""
    if kind == "provider_setting" and value is not None and value.strip().lower() in OFF:
        return Verdict(kind, owner)
    if kind == "base_url" and value is not None:
        if leads_to_gateway(value, policy.base_url):
            return Verdict(kind, owner)
        place = shown(value)
    if name == "NODE_TLS_REJECT_UNAUTHORIZED" and value in ON:
        return Verdict(kind, owner)  # what Node.js and Bun do anyway
    if name in AUTHORITIES and not text and value and value == policy.gateway_ca:
        return Verdict(kind, owner)
    return Verdict(
        kind,
        owner,
        rule=rule,
        words=words_of(name, kind, owner) + (f", to {place}" if place else ""),
        removed=True,
        place=place,
        subject=f"env:{name}",
        advice="" if text or policy.gateway_ca else ca_for_good(name, value or ""),
    )


def ca_for_good(name: str, value: str) -> str:
    """The policy setting that replaces the CA variable `name` permanently; "" if there is none."""
    if name not in AUTHORITIES or value.strip().lower() in OFF:
        return ""
    path = value if name != "SSL_CERT_DIR" else ""
    if name == "NODE_USE_SYSTEM_CA":
        import os

        path = next((bundle for bundle in BUNDLES if os.path.isfile(bundle)), "")
    if path[:1] != "/" or not path.isprintable() or any(c in "\"'\\{}`" for c in path):
        path = "/path/to/company-ca.pem"
    return _for_good(f'ca = "{path}"')


def _for_good(setting: str) -> str:
    return f"if it is your company's, keep it for good in your policy:\n[gateway]\n{setting}"


def rule_of(name: str, kind: str, policy: CompiledPolicy) -> str:
    """The rule for which the variable `name` of this kind counts, "" for none.

    Of what a launch removes not everything is a finding where it is set: `NODE_ENV`, switches of
    an agent that only make it smaller. The data says which (variables.toml, `rule`).
    """
    if name in policy.harmless or (kind == "runtime" and name not in RUNTIME_WITH_RULE):
        return ""
    return rule_of_kind(kind)


def words_of(name: str, kind: str, owner: str) -> str:
    """What is wrong with a variable of this kind, as the predicate after its name."""
    of = f" ({owner})" if owner else ""
    if kind == "provider_key":
        return f"reaches a model provider directly{of}"
    if kind == "provider_setting":
        return f"alone opens a model provider{of}"
    if kind == "base_url":
        return "points an agent away from the gateway"
    if kind == "agent_redirect":
        return "redirects the agent"
    if name == "NODE_TLS_REJECT_UNAUTHORIZED":
        return "switches off TLS verification"
    if name in AUTHORITIES:
        return "changes which TLS certificates are trusted"
    return "can load code into the agent or weaken its TLS"


def _proxy(
    name: str, kind: str, owner: str, value: str | None, policy: CompiledPolicy, *, text: bool
) -> Verdict:
    # one on this machine sees the prompt and the key of a plain-http gateway, and those of an https
    # one whenever its certificate is trusted (run)
    found = read_url(value or "")
    if policy.gateway_proxy and not text and name in PROXY_VARIABLES:
        # the launch sets it, so that nothing else decides where the agent's connections go
        words = "[gateway] proxy of your policy takes its place"
        return Verdict(kind, owner, words=words, removed=value != policy.gateway_proxy)
    if found is None or not (text or name in PROXY_VARIABLES):
        return Verdict(kind, owner)
    if not (is_this_machine(found.host) if text else is_loopback(found.host)):
        return Verdict(kind, owner)
    place = authority(found.host, found.effective_port())
    return Verdict(
        kind,
        owner,
        rule="RG104",
        words=f"sends the agent through a proxy on this machine ({place})",
        place=place,
        subject=f"proxy:{place}",
        advice="" if text else _proxy_for_good(found),
    )


def _proxy_for_good(found: Url) -> str:
    """The policy setting for a proxy on this machine; "" for a scheme that it does not accept."""
    if found.scheme not in ("", "http", "https"):
        return ""
    host = found.host if is_plain_loopback(found.host) else "127.0.0.1"
    place = authority(host, found.effective_port())
    return _for_good(f'proxy = "{found.scheme or "http"}://{place}"')


def leads_to_gateway(url: str, base_url: str) -> bool:
    """Whether `url` is one of the gateway's, spelled exactly as the policy spells it.

    What a URL parser makes of anything else is its own choice.
    """
    scheme, _, rest = base_url.partition("://")
    plain = f"{scheme}://{rest.partition('/')[0]}"
    default = {"https": ":443", "http": ":80"}.get(scheme, "")
    for start in (plain, f"{plain}{default}"):
        if url == start or url.startswith(f"{start}/"):
            return is_path_within(url[len(start) :], f"/{rest.partition('/')[2]}")
    return False


def shown(url: str) -> str:
    """Where `url` leads, for a message: the host, with the port if it is given.

    A key that was put in the place of a host is not shown: it has no dot and no top-level domain.
    """
    found = read_url(url)
    if found is None:
        return "another host"
    host = found.host.rstrip(".")
    last = host.rpartition(".")[2]
    if not is_this_machine(host) and (last == host or not last.isalpha()) and not _is_ip(host):
        host = "another host"
    return authority(host, found.port) if found.port > 0 else host


def _is_ip(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and all(p.isascii() and p.isdigit() and len(p) < 4 for p in parts)
